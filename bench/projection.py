"""Whether the latent of a generated image is found again: images of seeds, projected, against themselves.

    python -m bench.projection runs/faces --seeds 10 --starts 8 --steps 500

The images are rounded to the depth of the data first, as those in a file are. A line a seed: the ratio of signal to
noise of the image found, the cosine between its latent and the one it was made from, and the time; then how many reach
30 dB. One thread.
"""

import argparse
import time
from pathlib import Path

import torch

from zerosum.inference.explore.projection import project
from zerosum.models.loading import load_generator
from zerosum.utils.environment import processor

ENOUGH = 30.0  # dB


def main() -> None:
    """Print a line a seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_generator(options.run)
    print(f"{options.run}, {model.recipe.name} of {model.info.shape}, after {model.images:,} images; {processor()}")
    reached = 0
    for seed in range(options.seeds):
        started = time.perf_counter()
        found = project(model, model.sample(seed=seed)[0], starts=options.starts, steps=options.steps)
        alike = float(torch.cosine_similarity(found.latent, model.latents([seed]))[0])
        seconds = time.perf_counter() - started
        best, worst = max(found.starts), min(found.starts)
        print(
            f"seed {seed}: {found.psnr:5.1f} dB (starts {worst:.1f} to {best:.1f} before the polish), "
            f"cosine {alike:.3f}, {seconds:.0f} s",
            flush=True,
        )
        reached += found.psnr >= ENOUGH
    print(f"{reached} of {options.seeds} reach {ENOUGH:g} dB")


if __name__ == "__main__":
    main()
