"""Which score sees which damage: real images, damaged in known ways, in the place of generated ones.

    python -m bench.damage ../shared/data/fashion-mnist --features runs/eye --out docs/images/damage.png

Blur, noise, dropped classes and repeated images, each at three strengths, held against other real images. The picture
has the damage, the table every score; `tests/evaluation/test_damage.py` holds a small case of it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from zerosum.data.conditioning.labels import label_by_attribute
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.open import open_dataset
from zerosum.data.settings import parse_size
from zerosum.data.tensors import to_float, to_stored
from zerosum.metrics.features import Extractor
from zerosum.metrics.neighbours import copying
from zerosum.metrics.scores import BATCH, all_scores, halves
from zerosum.models.feature_extractors import extractor_for, features_of
from zerosum.utils import pictures
from zerosum.utils.environment import processor
from zerosum.utils.seeds import rng

STRENGTHS: dict[str, tuple[float, ...]] = {
    "blur": (0.5, 1.0, 2.0),  # sigma in pixels
    "noise": (0.05, 0.15, 0.4),  # standard deviation, of a range of 2
    "dropped classes": (0.2, 0.5, 0.8),  # share of the classes that are missing
    "repeated images": (0.5, 0.1, 0.02),  # share of distinct images
}
Damage = Callable[[Tensor, np.ndarray, float], Tensor]


def blur(images: Tensor, labels: np.ndarray, sigma: float) -> Tensor:
    """A Gaussian over every image (N, C, H, W) in [-1, 1]."""
    return gaussian_blur(images, [2 * round(3 * sigma) + 1] * 2, [sigma, sigma])


def noise(images: Tensor, labels: np.ndarray, deviation: float) -> Tensor:
    """Independent Gaussian noise on every value, clipped to the range."""
    drawn = rng("damage noise").standard_normal(images.shape, dtype=np.float32)
    return (images + deviation * torch.from_numpy(drawn)).clamp(-1, 1)


def drop_classes(images: Tensor, labels: np.ndarray, share: float) -> Tensor:
    """As many images of fewer classes: those of the others take the place of what was dropped."""
    classes = np.unique(labels)
    kept = classes[: max(1, round(len(classes) * (1 - share)))]
    rows = np.flatnonzero(np.isin(labels, kept))
    return images[np.resize(rows, len(images))]


def repeat_images(images: Tensor, labels: np.ndarray, share: float) -> Tensor:
    """As many images, of which only this share are distinct."""
    return images[np.resize(np.arange(max(1, round(share * len(images)))), len(images))]


DAMAGES: dict[str, Damage] = {
    "blur": blur,
    "noise": noise,
    "dropped classes": drop_classes,
    "repeated images": repeat_images,
}


def damage_table(data: Dataset, extractor: Extractor, n: int) -> dict[tuple[str, float], dict[str, float]]:
    """Scores by damage and strength, against n real images; ("none", 0) is the floor. Images that take the place of
    dropped ones come from those that neither side has seen, as far as there are any."""
    against, others = halves(data, n, 0)
    rest = np.setdiff1d(np.arange(len(data)), np.concatenate([against, others]))
    pool = np.concatenate([others, rest])[: 5 * len(others)]
    n = len(against)
    assert data.labels is not None
    real = features_of(extractor, _batches(to_float(data.images[against], data.info)), "cpu")
    images, labels = to_float(data.images[pool], data.info), data.labels[pool]
    found = {("none", 0.0): _scored(images[:n], real, data.info, extractor)}
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            if kind == "dropped classes":  # as many, and none twice, as far as there are any
                damaged = drop_classes(images, labels, strength)[:n]
            else:
                damaged = DAMAGES[kind](images[:n], labels[:n], strength)
            found[kind, strength] = _scored(damaged, real, data.info, extractor)
    copies = to_float(data.images[against], data.info)
    found["copies of the real images", 1.0] = _scored(copies, real, data.info, extractor)
    return found


def _scored(images: Tensor, real: Tensor, info: DatasetInfo, extractor: Extractor) -> dict[str, float]:
    stored = to_float(to_stored(images, info), info)
    fake = features_of(extractor, _batches(stored), "cpu")
    return {**all_scores(fake, real).values, "copying": copying(fake, real)}


def _batches(images: Tensor) -> list[Tensor]:
    return list(images.split(BATCH))


def picture(data: Dataset, table: dict[tuple[str, float], dict[str, float]]) -> Image.Image:
    """A row for each damage: eight images at each strength, and under them the scores."""
    against, others = halves(data, 64, 0)
    images = to_float(data.images[np.concatenate([others, against])[:64]], data.info)
    assert data.labels is not None
    labels = data.labels[np.concatenate([others, against])[:64]]
    font, small = ImageFont.load_default(17), ImageFont.load_default(13)
    cells = []
    for kind, strengths in STRENGTHS.items():
        for strength in (None, *strengths):
            shown = images if strength is None else DAMAGES[kind](images, labels, strength)
            if kind == "repeated images" and strength is not None:
                shown = images[np.resize(np.arange(max(1, round(8 * strength))), 8)]
            sheet = pictures.grid(to_stored(shown[:8], data.info), 2, 4, value_range=data.info.value_range)
            cells.append((kind, strength, sheet))
    wide, tall = cells[0][2].size
    step = wide + 22, tall + 92
    canvas = Image.new("RGB", (4 * step[0] + 22, 4 * step[1] + 12), pictures.PAPER)
    pen = ImageDraw.Draw(canvas)
    for place, (kind, strength, sheet) in enumerate(cells):
        left, top = 22 + place % 4 * step[0], 12 + place // 4 * step[1]
        found = table["none", 0.0] if strength is None else table[kind, strength]
        pen.text((left, top), "as they are" if strength is None else f"{kind} {strength:g}", pictures.INK, font)
        canvas.paste(sheet, (left, top + 24))
        lines = (
            f"fd {found['fd']:.3g}   kid {found['kid']:.3g}",
            f"precision {found['precision']:.2f}   recall {found['recall']:.2f}",
            f"density {found['density']:.2f}   coverage {found['coverage']:.2f}",
        )
        for number, line in enumerate(lines):
            pen.text((left, top + 28 + tall + 17 * number), line, pictures.INK, small)
    return canvas


def main() -> None:
    """Print the table; draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--features", default="random")
    parser.add_argument("--size", default=None)
    parser.add_argument("--label", default="class", help="class, or an attribute of the data")
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("damage.png"))
    options = parser.parse_args()
    size = None if options.size is None else parse_size(options.size)
    data = label_by_attribute(open_dataset(options.data, size), options.label)
    extractor = extractor_for(options.features, data.info, "cpu")
    table = damage_table(data, extractor, options.n)
    print(f"{processor()}; {options.data}, {options.n} images a side, seen by {extractor.name}")
    for (kind, strength), found in table.items():
        print(f"{kind:>26} {strength:<5g}" + "".join(f"  {name} {value:.4g}" for name, value in found.items()))
    picture(data, table).save(options.out)


if __name__ == "__main__":
    main()
