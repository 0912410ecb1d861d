"""Content keys of the images of a set, independent of names and order, and groups of copies.

Exact copies have the same pixels after packing; near copies are the same image saved or scaled differently
(`duplicates`). Groups are transitive. Two pairs are copies if their targets or their inputs are; label maps and images
of a single colour are not compared, since different scenes may share them."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np

from zerosum.data.decode.values import usual_range, value_range
from zerosum.data.npy import opened_npz
from zerosum.data.pack.duplicates import alike, groups, impressions, near_pairs, same
from zerosum.utils.errors import ZerosumError
from zerosum.utils.files import write_atomic

FILE = "content.npz"
LEAST_SHOWN = 2.0  # standard deviation, of 255 levels, below which one side of a pair counts as a single colour
_ROWS = 256  # images read at a time


@dataclass(frozen=True, eq=False)
class Content:
    """keys (N,) uint64: equal for equal pixels. groups (N,) int64: for each image the index of its first copy, or its
    own."""

    keys: np.ndarray
    groups: np.ndarray

    def of(self, rows: np.ndarray) -> "Content":
        """The content of these rows only; its groups are arbitrary numbers."""
        return Content(self.keys[rows], self.groups[rows])


@dataclass(frozen=True, eq=False)
class Images:
    """One side of a set: images (N, H, W, C) as stored, and the values of black and white."""

    pixels: np.ndarray
    low: float
    high: float

    @classmethod
    def of(cls, pixels: np.ndarray, dtype: str) -> "Images":
        """With the range of most images, so that a few outliers do not hide differences of the others."""
        if dtype == "uint8" or not len(pixels):
            return cls(pixels, *value_range("uint8", ()))
        if dtype == "uint16":  # with the whole range, 12-bit images would all be black, and alike
            return cls(pixels, *value_range(dtype, [(0.0, float(max(part.max() for part in _parts(pixels))))], "auto"))
        limits = [(float(part[i].min()), float(part[i].max())) for part in _parts(pixels) for i in range(len(part))]
        return cls(pixels, *usual_range(limits))

    def impressions(self) -> np.ndarray:
        """(N, 72 + C) float32 of 0 to 255."""
        scale = np.float32(255 / (self.high - self.low))
        return np.concatenate([(impressions(part) - np.float32(self.low)) * scale for part in _parts(self.pixels)])


def content_of(images: np.ndarray, inputs: np.ndarray | None, maps: tuple[bool, bool], nearly: bool = True) -> Content:
    """The content of images (N, H, W, C), and of the inputs of pairs. maps: whether images and inputs are label maps.
    nearly: whether to find near copies."""
    sides = [images] if not maps[0] else []
    if inputs is not None and not maps[1]:
        sides.append(inputs)
    digests = [_digests(side) for side in sides or ([images] if inputs is None else [images, inputs])]
    keys = digests[0] if sides else [b"".join(both) for both in zip(*digests, strict=True)]
    edges = [edge for group in same(keys) for edge in pairwise(group)]
    least = LEAST_SHOWN if inputs is not None else 0.0
    for side, found in zip(sides, digests, strict=False):
        if inputs is not None:
            candidates = np.array([edge for group in same(found) for edge in pairwise(group)]).reshape(-1, 2)
            part = Images.of(side, str(side.dtype))
            edges += candidates[alike(side, candidates, part.low, part.high, least)].tolist()
        if nearly:
            edges += near_edges(Images.of(side, str(side.dtype)), least)
    places = np.arange(len(images))
    for group in groups(edges):
        places[group] = group[0]
    if not sides and inputs is not None:  # if both are label maps, the key is that of both
        keys = [hashlib.sha256(key).digest()[:8] for key in keys]
    return Content(np.frombuffer(b"".join(keys), "<u8").astype(np.uint64), places)


def near_edges(side: Images, least: float = 0.0) -> list[tuple[int, int]]:
    """Pairs of indices of near copies, including exact ones."""
    if not len(side.pixels):
        return []
    pairs = near_pairs(side.impressions())
    found: list[tuple[int, int]] = pairs[alike(side.pixels, pairs, side.low, side.high, least)].tolist()
    return found


def copies_among(tested: np.ndarray, known: np.ndarray) -> tuple[int, int]:
    """The number of tested images (n, H, W, C) with exactly the pixels of a known one (m, H, W, C), and the number of
    other tested images that are near copies of a known one. Both have the form of the known images."""
    if not len(tested) or not len(known):
        return 0, 0
    exact = np.isin(_keys(tested), _keys(known))
    side = Images.of(known, str(known.dtype))
    others = Images(tested, side.low, side.high)
    seen = np.concatenate([side.impressions(), others.impressions()])
    pairs = near_pairs(seen)
    pairs = pairs[(pairs[:, 0] < len(known)) & (pairs[:, 1] >= len(known))]
    close = np.zeros(len(tested), bool)
    for start in range(0, len(pairs), 1024):
        part = pairs[start : start + 1024]
        both = np.concatenate([known[part[:, 0]], tested[part[:, 1] - len(known)]])
        places = np.arange(2 * len(part)).reshape(2, -1).T
        close[part[alike(both, places, side.low, side.high), 1] - len(known)] = True
    return int(exact.sum()), int((close & ~exact).sum())


def copies_words(exact: int, near: int, count: int, source: str) -> str:
    """A warning about copies among `count` images on which a run is scored; empty if there are none."""
    if not exact and not near:
        return ""
    kinds = [f"{number:,} {kind}" for number, kind in ((exact, "exact"), (near, "near")) if number]
    copies = "copy" if exact + near == 1 else "copies"
    return (
        f"{exact + near:,} of {count:,} images of {source} are copies of images that the run was trained on "
        f"({' and '.join(kinds)} {copies}): they make the scores too good. Remove them from one of the two sets."
    )


def stored(folder: Path, count: int) -> Content | None:
    """The content that `store` saved in a packed set of this many images; None if there is none, or it is damaged."""
    try:
        with opened_npz(folder / FILE) as file:
            found = Content(file["keys"], file["groups"])
        fits = found.keys.shape == found.groups.shape == (count,) and found.keys.dtype == np.uint64
        return found if fits and found.groups.min() >= 0 and found.groups.max() < count else None
    except Exception:  # the type of error depends on the damage
        return None


def store(content: Content, folder: Path) -> None:
    """Save the content in a packed set; if that is not writable, it is computed again next time."""
    file = BytesIO()
    np.savez(file, keys=content.keys, groups=content.groups)
    with suppress(OSError, ZerosumError):
        write_atomic(folder / FILE, file.getvalue(), durable=False)


def _digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest()[:8] for part in _parts(images) for image in part]


def _keys(images: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"".join(_digests(images)), "<u8")


def _parts(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[start : start + _ROWS] for start in range(0, len(images), _ROWS))
