"""Duplicates in a set: equal pixels, or the same image saved or scaled differently.

Near duplicates are found in three steps. Up to 6,000 images, all pairs are compared; in larger sets, a difference hash
(64 bits: whether a pixel of a 9x8 thumbnail is clearly brighter than its right neighbour) proposes pairs at most 3 bits
apart. Thumbnails and mean colours confirm them, since simple images, such as digits and flags, share hashes without
being alike. Finally the images themselves, at up to 32 pixels a side, distinguish what thumbnails cannot, such as
thousands of handwritten digits."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

BITS_APART = 3
LEVELS_APART = 3.0  # mean difference of confirmed images, of 255 levels: a JPEG saved twice stays below 2
MOST_COMPARED = 6_000  # images up to which all pairs are compared; beyond, pairs with similar hashes
MAX_COMPARISONS = 4_000_000  # of hashes in each band: a fraction of a second, and a limit on memory
BRIGHTER = 2.0  # levels by which a neighbour must be brighter to set a bit: flat areas differ by noise
FINE_SIDE = 32  # pixels: the side at which images themselves are compared
FINE_GAP = 3.0  # root mean square, of 255 levels, by which copies may always differ
FINE_SHARE = 0.04  # of the variance of an image, by which copies may also differ: a correlation of about 0.98
_ROWS, _COLUMNS = 8, 9
_PIXELS = _ROWS * _COLUMNS
_CHUNK = 16_384
_AT_ONCE = 64  # impressions compared with all others at a time


def impressions(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) to (N, 72 + C) float32: a gray 8x9 thumbnail by area averaging, then the mean of each channel."""
    count, height, width, channels = images.shape
    strips = _areas(height, _ROWS) @ images.reshape(count, height, -1).astype(
        np.float32
    )  # first: it reduces the size most
    strips = strips.reshape(count, _ROWS, width, channels)
    gray = strips.mean(axis=3) @ _areas(width, _COLUMNS).T
    return np.concatenate([gray.reshape(count, -1), strips.mean(axis=(1, 2))], axis=1)


def _areas(length: int, parts: int) -> np.ndarray:
    """(parts, length): row i averages the i-th of `parts` equal intervals, with fractional pixels."""
    edges = np.linspace(0, length, parts + 1)
    pixels = np.arange(length)
    share = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (share.clip(min=0) * parts / length).astype(np.float32)


def difference_hash(seen: np.ndarray) -> np.ndarray:
    """Impressions, black at 0 and white at 255, to (N,) uint64: one bit for each pixel that is more than BRIGHTER
    levels brighter than its right neighbour."""
    gray = seen[:, :_PIXELS].reshape(-1, _ROWS, _COLUMNS)
    bits = gray[:, :, :-1] > gray[:, :, 1:] + BRIGHTER
    return np.packbits(bits.reshape(len(seen), 64), axis=1).view(np.uint64)[:, 0]


def same(keys: Sequence[bytes]) -> list[list[int]]:
    """Groups of two or more indices with equal keys."""
    found = defaultdict(list)
    for index, key in enumerate(keys):
        found[key].append(index)
    return [group for group in found.values() if len(group) > 1]


def near_pairs(seen: np.ndarray) -> np.ndarray:
    """(P, 2) pairs of indices of impressions, black at 0 and white at 255, that are nearly the same."""
    pairs = by_distance(seen) if 0 < len(seen) <= MOST_COMPARED else None
    if pairs is None:
        pairs = close_pairs(difference_hash(seen))
    confirmed = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), _CHUNK):
        left, right = pairs[start : start + _CHUNK].T
        gap = np.abs(seen[left] - seen[right])
        confirmed[start : start + _CHUNK] = (gap[:, :_PIXELS].mean(axis=1) <= LEVELS_APART) & (
            gap[:, _PIXELS:].max(axis=1) <= LEVELS_APART
        )
    return pairs[confirmed]


def by_distance(seen: np.ndarray) -> np.ndarray | None:
    """(P, 2) pairs of indices of impressions whose thumbnails may be confirmed, by comparing all pairs; None if there
    are more than MAX_COMPARISONS."""
    centred = (seen[:, :_PIXELS] - seen[:, :_PIXELS].mean(axis=0)).astype(np.float32)
    squares = np.square(centred).sum(axis=1)
    found, total = [np.empty((0, 2), np.int64)], 0
    for start in range(0, len(seen), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        gaps = squares[part, None] + squares[start:] - 2 * centred[part] @ centred[start:].T
        one, other = np.nonzero(gaps <= _PIXELS * (2 * LEVELS_APART) ** 2)
        above = one < other
        found.append(np.stack([one[above], other[above]], axis=1) + start)
        total += len(found[-1])
        if total > MAX_COMPARISONS:
            return None
    return np.concatenate(found)


def alike(images: np.ndarray, pairs: np.ndarray, low: float, high: float, least: float = 0.0) -> np.ndarray:
    """(P,) bool: which pairs (P, 2) of images (N, H, W, C), black at `low` and white at `high`, are also copies when
    compared as gray images of up to FINE_SIDE pixels a side.

    least: the standard deviation, of 255 levels, below which an image has too little contrast to be a copy."""
    found = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), 1024):
        rows, places = np.unique(pairs[start : start + 1024], return_inverse=True)
        gray = (_fine(images[rows]) - low) * np.float32(255 / (high - low))
        left, right = places.reshape(-1, 2).T
        variance = gray.var(axis=1)
        gap = np.square(gray[left] - gray[right]).mean(axis=1)
        smaller = np.minimum(variance[left], variance[right])
        same = gap <= np.maximum(FINE_GAP**2, FINE_SHARE * smaller)
        found[start : start + 1024] = same & (smaller >= least**2)
    return found


def _fine(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) to (N, h * w) float32: gray, averaged down to FINE_SIDE pixels a side if larger."""
    gray = images.mean(axis=3, dtype=np.float32)
    height, width = gray.shape[1:]
    if height > FINE_SIDE:
        gray = _areas(height, FINE_SIDE) @ gray
    if width > FINE_SIDE:
        gray = gray @ _areas(width, FINE_SIDE).T
    return gray.reshape(len(gray), -1)


def close_pairs(hashes: np.ndarray) -> np.ndarray:
    """(P, 2) pairs of indices whose hashes (N,) uint64 are at most BITS_APART bits apart.

    Of four bands of 16 bits, three flipped bits leave one unchanged: each band in turn is rotated to the top, the
    hashes are sorted, and only neighbours with the same band are compared. If thousands share a band, only nearest
    neighbours are compared, so the time is limited by MAX_COMPARISONS and not quadratic in N."""
    count = len(hashes)
    found = [np.empty(0, np.int64)]
    for band in range(4):
        turned = (hashes << np.uint64(16 * band)) | (hashes >> np.uint64((64 - 16 * band) % 64))
        order = np.argsort(turned)
        turned = turned[order]
        for step in range(1, min(count, 1 + MAX_COMPARISONS // max(count, 1))):
            left, right = turned[:-step], turned[step:]
            shared = left >> np.uint64(48) == right >> np.uint64(48)
            if not shared.any():
                break
            (close,) = np.nonzero(shared & (np.bitwise_count(left ^ right) <= BITS_APART))
            one, other = order[close], order[close + step]
            found.append(np.minimum(one, other) * count + np.maximum(one, other))  # one number per pair
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(count, 1)), axis=1)


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of the graph whose edges are the pairs, each in ascending order."""
    root: dict[int, int] = {}

    def find(index: int) -> int:
        while root.setdefault(index, index) != index:
            root[index] = index = root[root[index]]
        return index

    for left, right in pairs:
        low, high = sorted((find(left), find(right)))
        root[high] = low
    found = defaultdict(list)
    for index in sorted(root):
        found[find(index)].append(index)
    return list(found.values())
