"""Images that are in a set more than once: the same pixels, or the same picture saved or scaled differently.

Near duplicates are found in two steps. A difference hash (64 bits: is a pixel of a 9x8 thumbnail brighter than its
right neighbour) proposes pairs at most 3 bits apart; the thumbnails and the mean colours confirm them, because simple
pictures, digits and flags for two, share hashes without being alike.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

BITS_APART = 3
LEVELS_APART = 3.0  # mean gap of confirmed pictures, of 255 levels: a JPEG saved again stays below 2
MAX_COMPARISONS = 4_000_000  # of hashes in each band: a fraction of a second, and a bound on the memory
_ROWS, _COLUMNS = 8, 9
_PIXELS = _ROWS * _COLUMNS
_CHUNK = 16_384


def impressions(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) to (N, 72 + C) float32: a gray 8x9 thumbnail by averaging areas, then the mean of each channel."""
    count, height, width, channels = images.shape
    strips = _areas(height, _ROWS) @ images.reshape(count, height, -1).astype(np.float32)  # first, as it shrinks most
    strips = strips.reshape(count, _ROWS, width, channels)
    gray = strips.mean(axis=3) @ _areas(width, _COLUMNS).T
    return np.concatenate([gray.reshape(count, -1), strips.mean(axis=(1, 2))], axis=1)


def _areas(length: int, parts: int) -> np.ndarray:
    """(parts, length): row i averages the i-th of `parts` equal stretches, pixels cut in proportion."""
    edges = np.linspace(0, length, parts + 1)
    pixels = np.arange(length)
    share = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (share.clip(min=0) * parts / length).astype(np.float32)


def difference_hash(seen: np.ndarray) -> np.ndarray:
    """Impressions to (N,) uint64: one bit for each pixel that is brighter than its right neighbour."""
    gray = seen[:, :_PIXELS].reshape(-1, _ROWS, _COLUMNS)
    bits = gray[:, :, :-1] > gray[:, :, 1:]
    return np.packbits(bits.reshape(len(seen), 64), axis=1).view(np.uint64)[:, 0]


def same(keys: Sequence[bytes]) -> list[list[int]]:
    """Groups of two or more indices with equal keys."""
    groups = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near(seen: np.ndarray) -> list[list[int]]:
    """Groups of two or more indices of impressions, black at 0 and white at 255, that are nearly the same."""
    pairs = close_pairs(difference_hash(seen))
    alike = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), _CHUNK):
        left, right = pairs[start : start + _CHUNK].T
        gap = np.abs(seen[left] - seen[right])
        alike[start : start + _CHUNK] = (gap[:, :_PIXELS].mean(axis=1) <= LEVELS_APART) & (
            gap[:, _PIXELS:].max(axis=1) <= LEVELS_APART
        )
    return _groups(pairs[alike])


def close_pairs(hashes: np.ndarray) -> np.ndarray:
    """(P, 2) pairs of indices whose hashes (N,) uint64 are at most BITS_APART bits apart.

    Of four bands of 16 bits, three flipped bits leave one whole, so each band in turn is brought to the top, the hashes
    are sorted, and only neighbours that share the band are compared. Where thousands share one, the nearest
    neighbours alone are, so the time stays within MAX_COMPARISONS and does not grow with the square of N."""
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
            found.append(np.minimum(one, other) * count + np.maximum(one, other))  # a number for each pair
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(count, 1)), axis=1)


def _groups(pairs: np.ndarray) -> list[list[int]]:
    """The connected components of the graph whose edges are the pairs."""
    root: dict[int, int] = {}

    def find(index: int) -> int:
        while root.setdefault(index, index) != index:
            root[index] = index = root[root[index]]
        return index

    for left, right in pairs.tolist():
        low, high = sorted((find(left), find(right)))
        root[high] = low
    groups = defaultdict(list)
    for index in sorted(root):
        groups[find(index)].append(index)
    return list(groups.values())
