"""The number of compute threads, and how they wait for each other, next to other programs.

OpenMP threads synchronise several times in every layer. A waiting thread spins, so that it can go on at once; next to a
busy program it spins for a thread that is not scheduled, and two threads can become many times slower than one. So they
spin for less time than by default (`limit_spinning`), and a run starts with as many threads as there are idle cores
(`choose_threads`).

torch is imported late here: `limit_spinning` must run before that."""

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from zerosum.utils.errors import ConfigError

SPINS = 10_000
"""Iterations for which a waiting GNU OpenMP thread spins before it sleeps; the default of 300,000 is some milliseconds.
It has no measurable cost on an idle machine (docs/performance.md)."""

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables by which users control waiting; if one is set, it is respected."""

WINDOWS, WINDOW = 5, 0.05
"""Other programs are measured in this many windows of this many seconds; the median is used, so that short peaks do not
count."""

ROOM = 0.3
"""Cores that other programs may use before one counts as taken: a desktop is never completely idle."""

MOST_THREADS = 1024  # of a run; a system that cannot create more kills the process

_late = False


def limit_spinning() -> None:
    """Let waiting threads spin for 10,000 iterations, unless the user has set OMP_WAIT_POLICY or GOMP_SPINCOUNT. GNU
    OpenMP reads this when torch is imported, so it has no effect afterwards."""
    global _late
    _late = "torch" in sys.modules
    if not _late and not any(name in os.environ for name in POLICIES):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def spinning() -> str:
    """How threads wait in this process, in words for `doctor`."""
    given = ", ".join(f"{name}={os.environ[name]}" for name in POLICIES if name in os.environ)
    if _late:
        return f"{given or 'default'}; torch was imported before zerosum, which therefore set nothing"
    return given


@dataclass(frozen=True)
class Threads:
    """The number of threads of a run; why: the reason as a sentence; wanted: the number if nothing else ran."""

    count: int
    why: str
    wanted: int

    def pace(self, run: Path) -> "Pace":
        """The monitor of the speed of this run."""
        return Pace(self.count, self.wanted, cores(), run, Meter().others)


def check_threads(asked: int | str) -> None:
    """Raises ConfigError unless it is `auto` or an integer from 1 to 1,024."""
    if asked == "auto":
        return
    with suppress(TypeError, ValueError):
        if not isinstance(asked, bool | float) and 1 <= int(asked) <= MOST_THREADS:
            return
    raise ConfigError(f"threads is {asked!r}; expected auto or an integer from 1 to {MOST_THREADS}.")


def choose_threads(asked: int | str = "auto") -> Threads:
    """The requested number; for `auto` OMP_NUM_THREADS if the user has set it, else torch's number of threads (by
    default the cores) minus the cores that other programs use, at least 1.

    Measuring other programs takes a quarter of a second. Raises ConfigError as `check_threads` does."""
    import torch

    check_threads(asked)
    limit = torch.get_num_threads()
    if asked != "auto":
        return Threads(int(asked), f"Trains on {counted(int(asked))}, as requested.", int(asked))
    if os.environ.get("OMP_NUM_THREADS", "").partition(",")[0] == str(limit):
        return Threads(limit, f"Trains on {counted(limit)}, from OMP_NUM_THREADS.", limit)
    others = measure_others() if limit > 1 else None
    return idle_threads(limit, cores(), quota(), others)


def idle_threads(limit: int, cores: int, quota: float | None, others: float | None) -> Threads:
    """At most `limit` threads, limited to the idle cores: the process may use `quota` cores (None: all), and other
    programs use `others` (None: unknown)."""
    count, why = min(limit, cores), ""
    if quota is not None and round(quota) < count:
        count, why = max(1, round(quota)), f": its control group may use {quota:g} of the {cores} cores"
    wanted = count
    if (free := free_cores(cores, others)) < count:
        count, why = free, f": other programs use {others:.1f} of the {cores} cores"
    return Threads(count, f"Trains on {counted(count)}{why}.", wanted)


def resumed_threads(asked: int | str | None, stored: int | None) -> tuple[Threads, str]:
    """The threads of a resumed run: those it had (`stored`; None: unknown), unless others are requested; and a warning,
    if any."""
    import torch

    if asked is None:
        count = torch.get_num_threads() if stored is None else stored
        others = measure_others() if count > 1 and stored is not None else None
        remark = "" if stored is None else remark_on_resuming(count, cores(), others)
        return Threads(count, f"Trains on {counted(count)}, as before.", count), remark
    chosen = choose_threads(asked)
    if stored is None or stored == chosen.count:
        return chosen, ""
    return chosen, (
        f"From now on this run trains on {counted(chosen.count)} instead of {stored}: its weights are no longer bit "
        "for bit those of an uninterrupted run."
    )


def taken_cores(others: float | None) -> int:
    """The cores that other programs use, rounded (None: unknown)."""
    return 0 if others is None else max(0, math.ceil(others - ROOM))


def free_cores(cores: int, others: float | None) -> int:
    """The cores that are free for this process, at least 1."""
    return max(1, cores - taken_cores(others))


def remark_on_resuming(count: int, cores: int, others: float | None) -> str:
    """A warning about a run resumed with `count` threads on this number of cores, of which other programs use `others`;
    empty if the free cores suffice."""
    free = free_cores(cores, others)
    if free >= count:
        return ""
    have = f"this machine has {cores}" if cores < count else f"other programs use {others:.1f} of the {cores} here"
    return (
        f"This run trains on {counted(count)}, each of which needs a core, but {have}: it will be slow. It keeps "
        f"them so that its weights stay reproducible bit for bit; `--threads {free}` gives that up."
    )


class Pace:
    """Detects at log lines whether other programs have become busy, or idle, since training began.

    threads: those of the run; wanted: those it would use if nothing else ran; others: the cores that other programs
    have used since the last call, None if unknown."""

    SLOW, RECOVERED = 0.5, 0.7  # of the best speed so far: start and end of an episode
    LINES, IDLE_LINES = 3, 15  # log lines that must show it, so that short peaks do not count

    def __init__(self, threads: int, wanted: int, cores: int, run: Path, others: Callable[[], float | None]) -> None:
        self.threads, self.wanted, self.cores, self.run, self.others = threads, wanted, cores, run, others
        self._rates: deque[float] = deque(maxlen=self.LINES)
        self._used: deque[float] = deque(maxlen=self.IDLE_LINES)
        self._best, self._warned, self._told_idle = 0.0, False, wanted <= threads

    def __call__(self, rate: float) -> str:
        """The warning, once per episode; empty if there is none. rate: images per second of the steps alone, without
        waiting for data, samples, scores and checkpoints."""
        used = self.others()
        if used is None:
            return ""
        self._rates.append(rate)
        self._used.append(used)
        if len(self._rates) < self.LINES:
            return ""
        now, used = median(self._rates), median(list(self._used)[-self.LINES :])
        self._best = max(self._best, now)
        self._warned = self._warned and now < self.RECOVERED * self._best
        free = free_cores(self.cores, used)
        if now < self.SLOW * self._best and free < self.threads and not self._warned:
            self._warned = True
            return (
                f"Training has fallen from {self._best:,.1f} to {now:,.1f} images a second: other programs use "
                f"{used:.1f} of the {self.cores} cores, and it uses {counted(self.threads)}. {self._remedy(free)}"
            )
        idle = min(self.wanted, free_cores(self.cores, max(self._used)))
        if len(self._used) == self.IDLE_LINES and idle > self.threads and not self._told_idle:
            self._told_idle = True
            return (
                f"Cores are idle: training runs on {counted(self.threads)}, since other programs were busy when it "
                f"began, and they use {used:.1f} of the {self.cores} cores now. {self._remedy(idle)}"
            )
        return ""

    def _remedy(self, threads: int) -> str:
        return (
            f"To change that, stop it with Ctrl-C and continue with `zerosum resume {self.run} --threads {threads}`; "
            "its weights are then no longer bit for bit those of an uninterrupted run."
        )


def counted(count: int) -> str:
    """`1 thread`, `2 threads`."""
    return "1 thread" if count == 1 else f"{count} threads"


@contextmanager
def threads_restored() -> Iterator[None]:
    """Restore torch's number of threads after the block."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


class Meter:
    """The cores that other programs use, on average since the last call or since its creation."""

    def __init__(self) -> None:
        self._before = _reading()

    def others(self) -> float | None:
        """None if the system does not report it."""
        now, before = _reading(), self._before
        self._before = now
        if not now.busy or now.busy.keys() != before.busy.keys():
            return _others_by_load()
        seconds = max(now.time - before.time, 1e-9)
        used = {cpu: now.busy[cpu] - before.busy[cpu] for cpu in now.busy}
        return max(0.0, sum(max(used[cpu] for cpu in core) for core in siblings()) - (now.own - before.own)) / seconds


def measure_others() -> float | None:
    """The cores that other programs use at the moment; None if the system does not report it."""
    meter, found = Meter(), []
    for _ in range(WINDOWS):
        time.sleep(WINDOW)
        found.append(meter.others())
    known = [others for others in found if others is not None]
    return median(known) if known else None


def cores() -> int:
    """The cores that this process may use; two threads of one core count once."""
    return len(siblings())


def siblings(folder: Path = Path("/sys/devices/system/cpu")) -> list[tuple[int, ...]]:
    """The processors that this process may use, grouped by core."""
    found: dict[str, list[int]] = {}
    for cpu in _allowed():
        core = str(cpu)
        with suppress(OSError):
            core = (folder / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
        found.setdefault(core, []).append(cpu)
    return [tuple(cpus) for cpus in found.values()]


def quota(folder: Path = Path("/sys/fs/cgroup"), group: Path = Path("/proc/self/cgroup")) -> float | None:
    """The cores that the control groups of this process (versions 1 and 2) may use; None for all."""
    found = []
    with suppress(OSError, ValueError):
        for line in group.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = folder / controllers if controllers else folder
            place = root / name.lstrip("/")
            found += [_quota_of(one) for one in (place, *place.parents) if one == root or root in one.parents]
    return min((cores for cores in found if cores is not None), default=None)


def _quota_of(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        most, period = (folder / "cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    with suppress(OSError, ValueError):
        most = (folder / "cpu.cfs_quota_us").read_text()
        return int(most) / int((folder / "cpu.cfs_period_us").read_text()) if int(most) > 0 else None
    return None


@dataclass(frozen=True)
class _Reading:
    """Seconds: of the clock, of this process, and of each processor; empty if the system does not report them."""

    time: float
    own: float
    busy: Mapping[int, float]


def _reading() -> _Reading:
    own, now = time.process_time(), time.monotonic()
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return _Reading(now, own, {})
    return _Reading(now, own, busy_seconds(text, _allowed(), os.sysconf("SC_CLK_TCK"), os.nice(0) > 0))


def busy_seconds(stat: str, allowed: Sequence[int], ticks: int, also_nice: bool) -> dict[int, float]:
    """Seconds for which each processor has been busy, from the text of /proc/stat (proc(5)): in programs, in the
    system, or stolen by the host. Programs with a nice value give way to this process, and count only with
    also_nice."""
    busy = {}
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed and len(fields) >= 8:
            user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
            busy[int(name[3:])] = (user + also_nice * nice + system + irq + softirq + steal) / ticks
    return busy if len(busy) == len(allowed) else {}


def _others_by_load() -> float | None:
    """From the load average of the last minute, without this process; for systems without /proc/stat."""
    if not hasattr(os, "getloadavg"):
        return None
    share = time.process_time() / max(60.0, time.monotonic() - _STARTED)
    return max(0.0, os.getloadavg()[0] - share)


def _allowed() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


_STARTED = time.monotonic()
