"""One step of Adam over the weights of pix2pix's generator, channels-last: torch's fused one, and ours.

python -m bench adam
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from zerosum.engine.adam import Adam
from zerosum.nn.networks.unet import Generator
from zerosum.utils.environment import processor


def step(kind: type[torch.optim.Adam]) -> Callable[[], float]:
    """A function that takes a step and returns its seconds."""
    network = Generator(3, 3).to(memory_format=torch.channels_last)
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer = kind(network.parameters(), 1e-3, fused=True)

    def timed() -> float:
        started = time.perf_counter()
        optimizer.step()
        return time.perf_counter() - started

    return timed


def main(words: list[str] | None = None) -> None:
    """Print the two in turns, and the median of their ratios."""
    argparse.ArgumentParser(description=__doc__).parse_args(words)
    theirs, ours = step(torch.optim.Adam), step(Adam)
    rows = [(theirs(), ours()) for _ in range(12)][2:]
    ratios = sorted(first / second for first, second in rows)
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"torch {1000 * median(row[0] for row in rows):.0f} ms, ours {1000 * median(row[1] for row in rows):.0f} ms: "
        f"{median(ratios):.1f} times as fast [{ratios[0]:.1f}-{ratios[-1]:.1f}]"
    )


if __name__ == "__main__":
    main()
