"""Lengths, positions and colours that follow from a person's traits, shared by body, face and hair."""

from collections.abc import Sequence
from dataclasses import dataclass

from zerosum.data.synthetic.portraits import colours
from zerosum.data.synthetic.portraits.colours import Colour, mix
from zerosum.data.synthetic.portraits.scene import Point
from zerosum.data.synthetic.portraits.traits import Traits, smooth


@dataclass(frozen=True)
class Measures:
    """Lengths in units of the scene; the origin is between the eyes of an adult, x to the right and y down."""

    traits: Traits
    child: float  # 1 up to 7 years, 0 from 20
    old: float  # 0 up to 40 years, 1 at 85
    life: float  # 0 at 5 years, 1 at 85
    wide: float  # half the width of the face
    top: float  # of the skull
    chin: float
    eyes: float  # their height
    gap: float  # of each eye from the centre
    mouth: float  # its height
    shift: float  # of everything on the front of the face, when the head is turned
    skin: Colour
    shade: Colour
    lips: Colour
    hair: Colour

    @classmethod
    def of(cls, traits: Traits) -> "Measures":
        """The measures for these traits."""
        child = smooth((20 - traits.age) / 13)
        old = min(max((traits.age - 40) / 45, 0.0), 1.0)
        skin = mix(colours.SKIN[traits.skin], colours.PALE, 0.16 * old)
        return cls(
            traits=traits,
            child=child,
            old=old,
            life=(traits.age - 5) / 80,
            wide=60 * traits.width,
            top=-80 + 4 * child,
            chin=82 - 15 * child,
            eyes=3 + 8 * child,
            gap=26.5 * traits.eye_gap,
            mouth=54 - 6 * child,
            shift=5 * traits.turn,
            skin=skin,
            shade=mix(mix(skin, colours.BLOOD, 0.22), colours.NIGHT, 0.24),
            lips=mix(mix(skin, colours.BLOOD, 0.42), colours.NIGHT, 0.12),
            hair=mix(colours.HAIR[traits.natural_hair], colours.HAIR["grey"], traits.grey),
        )

    def contour(self) -> list[Point]:
        """The right half of the face, from the top of the skull to the chin."""
        wide, chin = self.wide, self.chin
        jaw = wide * self.traits.jaw * (0.82 + 0.06 * self.child + 0.03 * self.old)
        crown = [(0.0, self.top), (wide * 0.7, self.top + 16), (wide * 0.99, -20.0), (wide * 0.96, 18.0)]
        return [*crown, (jaw, 0.62 * chin), (jaw * 0.48, chin - 6), (0.0, chin)]


def oval(x: float, y: float, wide: float, high: float) -> list[Point]:
    """Six points around an ellipse with these half axes; the curve through them deviates from it by at most 1 %."""
    a, b = 0.866 * wide, 0.5 * high
    return [(x, y - high), (x + a, y - b), (x + a, y + b), (x, y + high), (x - a, y + b), (x - a, y - b)]


def mirrored(right: Sequence[Point]) -> list[Point]:
    """A closed contour from its right half, given from top to bottom; points on the axis are not duplicated."""
    return [*right, *((-x, y) for x, y in reversed(right) if x != 0)]


def cornered(points: Sequence[Point]) -> list[Point]:
    """The same points as corners."""
    return [point for point in points for _ in (0, 1)]
