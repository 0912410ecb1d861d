"""`builtin:portraits`: drawn faces of people who do not exist, with all their attributes known.

Each index is a different person, the same for a given seed at any size. Traits are sampled independently (see
`DISTRIBUTIONS`), so that statistics of a generator can be compared with exact probabilities. Each picture comes with an
outline drawing, a label map and an instance map, and the same person can be drawn with some traits changed: `draw(3,
change={"age": 70})` is portrait 3 at 70."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zerosum.data.synthetic.portraits.person import portrait
from zerosum.data.synthetic.portraits.scene import LABELS, PARTS, Scene
from zerosum.data.synthetic.portraits.traits import DISTRIBUTIONS, Traits, draw_traits

__all__ = ["DISTRIBUTIONS", "LABELS", "PARTS", "VERSION", "Portrait", "Traits", "arrays", "draw", "draw_traits"]

VERSION = 1  # raise it when pictures change, so that packed copies are made anew


@dataclass(frozen=True)
class Portrait:
    """A person at a size (height, width); each image is drawn on first use."""

    traits: Traits
    size: tuple[int, int]

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes of the person, as plain values."""
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
        """The part at each pixel, uint16 (H, W): indices into PARTS, in which the two eyes are distinct."""
        return self._scene.instances(*self.size)

    @cached_property
    def _scene(self) -> Scene:
        return portrait(self.traits)


def draw(
    index: int, size: tuple[int, int] = (64, 64), seed: int = 0, change: Mapping[str, Any] | None = None
) -> Portrait:
    """Portrait number `index` of the set `seed`, at (height, width) pixels, optionally with some traits changed.

    Raises ConfigError for an unknown trait or value."""
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
