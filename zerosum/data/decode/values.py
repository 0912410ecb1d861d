"""The stored values that become -1 and 1, and outliers that stretch the range of a float set."""

from collections.abc import Sequence

import numpy as np

from zerosum.data.settings import parse_range

Range = tuple[float, float]

FAR = 10  # times the range of other images: within a tenth of the scale there is hardly any contrast
_FEW = 0.1  # of the images, at each end


def value_range(dtype: str, limits: Sequence[Range], wanted: str = "full") -> Range:
    """The values that become black and white. Integers: the whole range. Floats: 0..1 or -1..1 if they fit, else the
    range of the data. wanted is `PackSettings.range`: LOW:HIGH, or `auto`, which for 16-bit integers goes from 0 to
    the maximum of the fewest bits (0 to 4,095 if 3,950 occurs); 8-bit images are unchanged.

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
    """value_range without the tenth of the images with the lowest values and the tenth with the highest."""
    lows, highs = np.array(limits).T
    # Of two images neither is the outlier, so quantiles are rounded towards the middle.
    low, high = np.quantile(lows, _FEW, method="higher"), np.quantile(highs, 1 - _FEW, method="lower")
    return _rounded(float(low), max(float(low), float(high)))


def stretching(limits: Sequence[Range]) -> list[int]:
    """The indices of the images without which the range of a float set would be at most a tenth of what it is."""
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
