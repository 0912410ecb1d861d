"""What stragglers and failures cost a training of many processes: a simulation of the arithmetic of docs/scale.md.

    python -m bench stragglers
    python -m bench stragglers --processes 256 --step 0.25 --spread 0.05 --mtbf-hours 50000

A step takes as long as its slowest process. A process's time is its own constant speed (spread), times a log-normal
factor of each step (jitter); now and then one stalls. Failures arrive at random; each loses the work since the last
checkpoint and the time to start again. The interval between checkpoints is Young's (1974): the square root of twice the
time to write one times the mean time between failures of all processes.
"""

import argparse
import math

import numpy as np


def slowdown(processes: int, spread: float, jitter: float, stall: float, stalls: float, steps: int = 2000) -> float:
    """Mean time of a step beside that of one process alone."""
    random = np.random.default_rng(0)
    own = np.exp(spread * random.standard_normal(processes))
    total = 0.0
    for _ in range(steps):
        times = own * np.exp(jitter * random.standard_normal(processes)) + stall * (random.random(processes) < stalls)
        total += times.max()
    return total / steps / float(own.mean())


def kept(processes: int, mtbf: float, write: float, restart: float, days: float = 30.0) -> tuple[float, float, float]:
    """The share of the time that is training that counts, in a simulation of some days; the interval between
    checkpoints in seconds, and the mean time between failures in hours. mtbf: of one process, in hours."""
    random = np.random.default_rng(1)
    between = mtbf * 3600 / processes
    interval = math.sqrt(2 * write * between)
    end, clock, done = days * 86400, 0.0, 0.0
    failure = random.exponential(between)
    while clock < end:
        if failure > clock + interval + write:
            clock, done = clock + interval + write, done + interval
        else:
            clock = failure + restart
            failure = clock + random.exponential(between)
    return done / clock, interval, between / 3600


def main() -> None:
    """Print both for several numbers of processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, action="append")
    parser.add_argument("--spread", type=float, default=0.01, help="of the processes' speeds, as a share")
    parser.add_argument("--jitter", type=float, default=0.02, help="of a process from step to step")
    parser.add_argument("--stall", type=float, default=10.0, help="length of a stall, in steps")
    parser.add_argument("--stalls", type=float, default=1e-5, help="their probability in a step of a process")
    parser.add_argument("--mtbf-hours", type=float, default=50_000, help="of one process")
    parser.add_argument("--write", type=float, default=20.0, help="seconds for a checkpoint")
    parser.add_argument("--restart", type=float, default=180.0, help="seconds until training goes on after a failure")
    options = parser.parse_args()
    print("processes  step  days between failures  minutes between checkpoints  share of the time that counts")
    for processes in options.processes or [1, 8, 64, 256, 1024]:
        step = slowdown(processes, options.spread, options.jitter, options.stall, options.stalls)
        share, interval, hours = kept(processes, options.mtbf_hours, options.write, options.restart)
        print(f"{processes:9}  {step:4.2f}  {hours / 24:21.1f}  {interval / 60:27.1f}  {share:29.3f}")


if __name__ == "__main__":
    main()
