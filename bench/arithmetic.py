"""Adding an attribute by arithmetic with latents: how often it is there afterwards, and how often another one stays.

    python -m bench.arithmetic runs/faces --with runs/glasses --keeps runs/hair

The average of n latents whose images have the last class of `--with`, minus that of n whose images do not, times a
strength, is added to the latents of other images that do not (the targets). By the classifiers: how many targets have
it then, and how many are called as before by `--keeps`; of n below 100 the mean of five draws. Then the same for the
direction of a logistic regression (`zerosum explore directions`), by deviations. One thread.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from zerosum.inference.explore.directions import attribute_directions
from zerosum.models.classifier import Classifier
from zerosum.models.generator import Model
from zerosum.models.loading import load_classifier, load_generator
from zerosum.utils.environment import processor

COUNTS, STRENGTHS, DEVIATIONS = (1, 3, 10, 30, 100, 300), (1, 1.5, 2, 3), (1, 2, 3, 4)
DRAWS, STEADY = 5, 100


def called(eye: Classifier, model: Model, latents: Tensor) -> Tensor:
    """The class (N,) of the image of each latent."""
    return torch.cat([eye.logits(model.generate(part, as_tensor=True)).argmax(dim=1) for part in latents.split(256)])


def main() -> None:
    """Print a line for each n, and one for the regression."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--with", dest="eye", type=Path, required=True)
    parser.add_argument("--keeps", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3000, help="images; the last third are targets")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, eye, other = load_generator(options.run), load_classifier(options.eye), load_classifier(options.keeps)
    latents = model.latents(range(options.seeds))
    has = called(eye, model, latents) == len(eye.info.classes) - 1
    known = torch.arange(options.seeds) < options.seeds * 2 // 3
    pool, rest, targets = latents[known & has], latents[known & ~has], latents[~known & ~has]
    before = called(other, model, targets)

    def outcome(move: Tensor) -> Tensor:
        """(2,): the share of targets that have the attribute once moved, and the share called as before."""
        moved = targets + move
        there = called(eye, model, moved) == len(eye.info.classes) - 1
        return torch.stack([there.float().mean(), (called(other, model, moved) == before).float().mean()])

    print(
        f"{options.run}, {model.recipe.name} after {model.images:,} images; {processor()}\n"
        f"{has.float().mean():.1%} of {options.seeds:,} images have it; {len(targets):,} targets; in each cell how "
        "many have it and how many stay as they were"
    )
    print("averages of", *(f"{f'times {strength:g}':>14}" for strength in STRENGTHS))
    for count in (count for count in COUNTS if count <= min(len(pool), len(rest))):
        cells = []
        for strength in STRENGTHS:
            found = []
            for draw in range(DRAWS if count < STEADY else 1):
                source = torch.Generator().manual_seed(draw)
                a, b = (part[torch.randperm(len(part), generator=source)[:count]] for part in (pool, rest))
                found.append(outcome(strength * (a.mean(dim=0) - b.mean(dim=0))))
            cells.append(torch.stack(found).mean(dim=0))
        print(f"{count:11}", *(f"{there:>7.0%} {stays:>6.0%}" for there, stays in cells), flush=True)
    (vector,) = attribute_directions(model, eye).vectors[-1:]
    cells = [outcome(deviations * vector) for deviations in DEVIATIONS]
    print("regression ", *(f"{f'{deviations} σ':>14}" for deviations in DEVIATIONS))
    print(" " * 11, *(f"{there:>7.0%} {stays:>6.0%}" for there, stays in cells))


if __name__ == "__main__":
    main()
