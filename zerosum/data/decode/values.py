"""Which stored values become -1 and 1, and whether a few images of a float set decide it for all."""

from collections.abc import Sequence

import numpy as np

from zerosum.data.settings import parse_range

Range = tuple[float, float]

FAR = 10  # times the range of other images: what lies within a tenth of the scale has next to no contrast
_FEW = 0.1  # of the images, at each end


def value_range(dtype: str, limits: Sequence[Range], wanted: str = "full") -> Range:
    """The values that become black and white: of integers the whole range; of floats 0..1 or -1..1 where they fit, else
    the range found. Or what is wanted, as `PackSettings.range` has it: LOW:HIGH, or `auto`, of 16-bit integers from the
    least value to the largest of so many bits (0 to 4,095 where 3,950 occurs); 8-bit images are left alone.

    limits: the least and the greatest value of each image of a 16-bit or float set."""
    if dtype == "uint8":
        return 0.0, 255.0
    if (given := parse_range(wanted)) is not None:
        return given
    if dtype != "float32":
        top = float(np.iinfo(dtype).max)
        if wanted != "auto" or not limits:
            return 0.0, top
        highest = max(high for _, high in limits)
        return 0.0, min(top, float(2 ** max(1, int(highest).bit_length()) - 1))
    lows, highs = zip(*limits, strict=True)
    return _rounded(min(lows), max(highs))


def usual_range(limits: Sequence[Range]) -> Range:
    """What value_range would be without the tenth of the images that reach lowest, and that which reaches highest."""
    lows, highs = np.array(limits).T
    # Of two images neither is the odd one, so the quantiles are rounded towards the middle.
    low, high = np.quantile(lows, _FEW, method="higher"), np.quantile(highs, 1 - _FEW, method="lower")
    return _rounded(float(low), max(float(low), float(high)))


def stretching(limits: Sequence[Range]) -> list[int]:
    """The indices of the images without which the range of a float set would be a tenth of what it is, or less."""
    (low, high), (usual_low, usual_high) = value_range("float32", limits), usual_range(limits)
    span = usual_high - usual_low
    if high - low < FAR * span:
        return []
    lows, highs = np.array(limits).T
    return np.flatnonzero((lows < usual_low - span) | (highs > usual_high + span)).tolist()


def _rounded(low: float, high: float) -> Range:
    if low >= -1 and high <= 1:
        return (0.0, 1.0) if low >= 0 else (-1.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1
