"""Validation of features."""

from torch import Tensor


def check_features(features: Tensor, name: str = "features") -> None:
    """Raises ValueError unless features are a matrix (N, D) of finite numbers."""
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"{name} must be a matrix (N, D), got the shape {tuple(features.shape)}")
    broken = int((~features.isfinite()).any(dim=1).sum())
    if broken:
        raise ValueError(f"{name} must be finite, but {broken:,} of {len(features):,} rows hold nan or infinity")


def check_pair(a: Tensor, b: Tensor, names: tuple[str, str] = ("real", "fake")) -> None:
    """Raises ValueError unless both are such matrices with the same D."""
    for features, name in zip((a, b), names, strict=True):
        check_features(features, name)
    if a.shape[1] != b.shape[1]:
        widths = f"{a.shape[1]} and {b.shape[1]} numbers a row"
        raise ValueError(f"{names[0]} and {names[1]} must be features of one extractor, got {widths}")
