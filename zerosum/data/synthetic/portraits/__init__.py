"""`builtin:portraits`: people who do not exist, drawn by the program, with everything about them known.

A different person for every index, and the same one for every seed, at any size. Traits are independent draws (see
`DISTRIBUTIONS`), so a generator's statistics can be held against exact probabilities. Beside the picture there are an
outline drawing, a label map and an instance map, and the same person can be drawn with some traits changed:
`draw(3, change={"age": 70})` shows portrait 3 at 70.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zerosum.data.synthetic.portraits.person import portrait
from zerosum.data.synthetic.portraits.scene import LABELS, PARTS, Scene
from zerosum.data.synthetic.portraits.traits import DISTRIBUTIONS, Traits, draw_traits

__all__ = ["DISTRIBUTIONS", "LABELS", "PARTS", "VERSION", "Portrait", "Traits", "arrays", "draw", "draw_traits"]

VERSION = 1  # goes up whenever a picture changes, so that packed copies are made anew


@dataclass(frozen=True)
class Portrait:
    """Somebody at a size (height, width); each picture is drawn when it is first asked for."""

    traits: Traits
    size: tuple[int, int]

    @property
    def attributes(self) -> dict[str, Any]:
        """What is known about the person, as plain values."""
        return self.traits.attributes()

    @cached_property
    def image(self) -> np.ndarray:
        """The picture, uint8 (H, W, 3)."""
        return self._scene.picture(*self.size)

    @cached_property
    def outline(self) -> np.ndarray:
        """A line drawing, uint8 (H, W), dark on white."""
        return self._scene.outline(*self.size)

    @cached_property
    def labels(self) -> np.ndarray:
        """The class of each pixel, uint8 (H, W), indices into LABELS."""
        return self._scene.labels(*self.size)

    @cached_property
    def instances(self) -> np.ndarray:
        """The part that each pixel shows, uint16 (H, W): places in PARTS, where the two eyes differ."""
        return self._scene.instances(*self.size)

    @cached_property
    def _scene(self) -> Scene:
        return portrait(self.traits)


def draw(
    index: int, size: tuple[int, int] = (64, 64), seed: int = 0, change: Mapping[str, Any] | None = None
) -> Portrait:
    """Portrait number `index` of the set `seed`, at (height, width) pixels, with some traits changed if wanted.

    Raises ConfigError for a trait or a value that does not exist."""
    return Portrait(draw_traits(index, seed, change), size)


def arrays(
    start: int, stop: int, size: tuple[int, int] = (64, 64), seed: int = 0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Portraits start to stop - 1: images uint8 (n, H, W, 3), and each attribute as an array of n values."""
    images = np.empty((stop - start, *size, 3), np.uint8)
    facts = []
    for position in range(stop - start):
        drawn = draw(start + position, size, seed)
        images[position] = drawn.image
        facts.append(drawn.attributes)
    names = draw_traits(start, seed).attributes()
    return images, {name: np.array([fact[name] for fact in facts]) for name in names}
