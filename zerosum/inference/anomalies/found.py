"""What `zerosum anomalies` writes: found.csv, the heat map of each picture, and a sheet of the most anomalous."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from torch import Tensor

from zerosum.data.dataset import DatasetInfo
from zerosum.data.tensors import to_stored
from zerosum.utils import pictures
from zerosum.utils.files import write_atomic

ON_SHEET, ACROSS = 24, 3  # pictures on the sheet; in a row, each beside its reconstruction and heat map
SHOWN = 128  # pixels: the longer side of a smaller image is enlarged by a whole number to at most this


@dataclass(frozen=True)
class Finding:
    """A row of found.csv. score: see `Detector.score`; p: its conformal p-value; flagged: p is at most the false-alarm
    rate; neighbour: the distance to the nearest training image, and its p-value."""

    name: str
    score: float
    p: float
    flagged: bool
    residual: float
    feature_distance: float
    peak: float
    neighbour: float
    neighbour_p: float
    label: str
    map: str


def write_csv(found: Sequence[Finding], file: Path) -> None:
    """One row per picture, the most anomalous first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Finding)], lineterminator="\n")
    writer.writeheader()
    for finding in sorted(found, key=lambda one: -one.score):
        row = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in asdict(finding).items()}
        writer.writerow(row | {"flagged": "yes" if finding.flagged else "no"})
    write_atomic(file, text.getvalue())


def tiles(images: Tensor, made: Tensor, heat: Tensor, level: float, info: DatasetInfo) -> np.ndarray:
    """Images (N, C, H, W), their reconstructions and heat maps (N, H, W) as uint8 (N, 3, H, W, 3). Heat is orange at
    `level`."""
    shown = [pictures.rgb(to_stored(part, info), info.value_range) for part in (images, made)]
    shown.append(pictures.heat_colours(heat.cpu().numpy() / (2 * level)))
    return np.stack(shown, axis=1)


def write_map(row: np.ndarray, file: Path) -> None:
    """A row of `tiles` (3, H, W, 3) as one picture: the image, its reconstruction, its heat map."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures.save_picture(pictures.grid(row, 1, 3, scale=max(1, SHOWN // max(row.shape[1:3]))), file)


def write_sheet(rows: np.ndarray, found: Sequence[Finding], file: Path) -> None:
    """The rows of `tiles` (N, 3, H, W, 3) of these pictures, with names and p-values."""
    captions = [
        text
        for one in found
        for text in (one.name, "reconstruction", f"p {one.p:.3g}{', flagged' if one.flagged else ''}")
    ]
    cells = rows.reshape(-1, *rows.shape[2:])
    pictures.save_picture(pictures.captioned(cells, captions, 3 * min(ACROSS, len(found))), file)
