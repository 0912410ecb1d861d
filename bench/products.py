"""Passes of convolutions in torch's way and in that of engine/autotune/conv_gemm.py, mostly a product, in turns.

python -m bench products
python -m bench products --precision fp32
"""

import argparse
from itertools import islice

import torch

from zerosum.engine.autotune.conv_gemm import in_turns, name_in
from zerosum.engine.autotune.precision import DTYPES, Convolution
from zerosum.engine.device import keep_pages
from zerosum.utils.environment import processor

CASES = [  # pass, images, channels and side of the large map, channels of the small one; kernel 4, stride 2
    ("forward", 1, 512, 8, 512),
    ("forward", 1, 512, 16, 512),
    ("weight", 1, 512, 8, 512),
    ("weight", 1, 512, 16, 512),
    ("weight", 64, 256, 8, 512),
    ("weight", 64, 512, 4, 512),
    ("double-backward", 64, 64, 32, 128),
]
ROUNDS = 8


def main(words: list[str] | None = None) -> None:
    """Print a row a pass: the fastest of the rounds of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="bf16", choices=DTYPES)
    options = parser.parse_args(words)
    keep_pages()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.precision}")
    print("| pass | images | torch's, ms | otherwise, ms |\n|---|---|---|---|")
    for part, count, channels, side, outputs in CASES:
        shape = (count, channels, side, side)
        convolution = Convolution(shape, (outputs, channels, 4, 4), (2, 2), (1, 1), (1, 1), False, (0, 0), 1)
        name = name_in(part, convolution)
        assert name is not None
        rounds = islice(in_turns(part, convolution, name, options.precision), ROUNDS)
        theirs, own = (1000 * min(times) for times in zip(*rounds, strict=True))
        print(f"| {name} | {count} | {theirs:.2f} | {own:.2f} |", flush=True)


if __name__ == "__main__":
    main()
