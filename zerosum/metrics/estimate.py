"""An estimate with its standard error."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A score and its error; the score says which error, and over what."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.2g}"
