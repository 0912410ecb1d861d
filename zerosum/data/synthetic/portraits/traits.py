"""The traits of a portrait: each is sampled independently from the distribution next to its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import Any

from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng


@dataclass(frozen=True)
class Uniform:
    """Uniform from low to high."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """The quantile of u."""
        return self.low + u * (self.high - self.low)

    def allows(self, value: Any) -> bool:
        """Whether a portrait can be drawn with this value."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


class Bell(Uniform):
    """Normal around the middle; low and high are 2.5 standard deviations away, and values beyond are clipped."""

    def at(self, u: float) -> float:
        middle, deviation = (self.low + self.high) / 2, (self.high - self.low) / 5
        value = middle + deviation * _NORMAL.inv_cdf(u) if u > 0 else self.low
        return min(max(value, self.low), self.high)


class Choice:
    """One of some values, each with its probability."""

    def __init__(self, probabilities: Mapping[Any, float]) -> None:
        self.values = tuple(probabilities)
        self.limits = tuple(accumulate(probabilities.values()))  # cumulative

    def at(self, u: float) -> Any:
        """The quantile of u, in the order given."""
        for value, limit in zip(self.values, self.limits, strict=True):
            if u < limit:
                return value
        return self.values[-1]

    def allows(self, value: Any) -> bool:
        """Whether a portrait can be drawn with this value; 1 does not count as True."""
        return any(type(value) is type(known) and value == known for known in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(str, self.values))


def _evenly(*values: Any) -> Choice:
    return Choice(dict.fromkeys(values, 1 / len(values)))


def _chance(probability: float) -> Choice:
    return Choice({True: probability, False: 1 - probability})


_NORMAL = NormalDist()

DISTRIBUTIONS: dict[str, Uniform | Choice] = {
    "age": Uniform(5, 85),  # years
    "skin": _evenly("porcelain", "fair", "golden", "tan", "brown", "deep"),
    "natural_hair": Choice({"black": 0.24, "brown": 0.24, "auburn": 0.14, "ginger": 0.12, "blond": 0.18, "rose": 0.08}),
    "greying": Bell(40, 70),  # the age at which half of the hair is grey
    "hair_style": Choice({"crop": 0.22, "swept": 0.2, "curls": 0.14, "bob": 0.16, "long": 0.18, "bun": 0.1}),
    "side": _evenly(-1, 1),  # where the hair is parted
    "thinning": _chance(0.35),  # after 35, and in short hair only
    "eyes": Choice({"brown": 0.4, "amber": 0.16, "green": 0.18, "blue": 0.26}),
    "smile": Uniform(-1, 1),  # from a frown over a straight mouth to a laugh that shows the teeth
    "facial_hair": Choice({"none": 0.72, "moustache": 0.1, "beard": 0.18}),  # visible from 18 on
    "freckles": _chance(0.15),
    "glasses": _chance(0.25),
    "frames": _evenly("round", "square"),
    "frame_colour": _evenly("ink", "tortoise", "wine"),
    "clothes": _evenly("crew", "shirt", "hood"),
    "clothes_colour": _evenly("navy", "teal", "coral", "mustard", "plum", "cream", "forest", "charcoal"),
    "background": _evenly("sky", "mint", "sand", "lilac", "blush", "slate"),
    "width": Bell(0.92, 1.08),  # of the face; this and the next seven are factors of the average
    "jaw": Bell(0.9, 1.1),
    "eye_size": Bell(0.88, 1.12),
    "eye_gap": Bell(0.93, 1.07),
    "brow": Bell(0.7, 1.3),  # thickness
    "nose": Bell(0.8, 1.2),
    "mouth": Bell(0.85, 1.15),  # width
    "lips": Bell(0.7, 1.3),  # thickness
    "brow_slant": Bell(-1, 1),
    "x": Bell(-5, 5),  # position of the head, in 1/256 of the side
    "y": Bell(-5, 5),
    "scale": Bell(0.93, 1.03),
    "tilt": Bell(-7, 7),  # degrees
    "turn": Bell(-1, 1),  # of the head to the left or right
}


@dataclass(frozen=True)
class Traits:
    """One person and pose; DISTRIBUTIONS has the values of each field."""

    age: float
    skin: str
    natural_hair: str
    greying: float
    hair_style: str
    side: int
    thinning: bool
    eyes: str
    smile: float
    facial_hair: str
    freckles: bool
    glasses: bool
    frames: str
    frame_colour: str
    clothes: str
    clothes_colour: str
    background: str
    width: float
    jaw: float
    eye_size: float
    eye_gap: float
    brow: float
    nose: float
    mouth: float
    lips: float
    brow_slant: float
    x: float
    y: float
    scale: float
    tilt: float
    turn: float

    @property
    def grey(self) -> float:
        """The grey share of the hair, 0 to 1: it goes from none to all in the 16 years around `greying`."""
        return smooth((self.age - self.greying) / 16 + 0.5)

    @property
    def hair(self) -> str:
        """The visible colour of the hair."""
        return "grey" if self.grey >= 0.5 else self.natural_hair

    @property
    def beard(self) -> str:
        """The visible facial hair: children have none."""
        return self.facial_hair if self.age >= 18 else "none"

    @property
    def receding(self) -> float:
        """How far the hairline has receded, 0 to 1."""
        short = self.hair_style in ("crop", "swept")
        return smooth((self.age - 35) / 35) if self.thinning and short else 0.0

    def attributes(self) -> dict[str, Any]:
        """All fields and derived attributes, as plain values that JSON can hold."""
        facts = {name: getattr(self, name) for name in DISTRIBUTIONS}
        seen = {"hair": self.hair, "grey": self.grey, "beard": self.beard, "receding": self.receding}
        return facts | seen | {"smiling": self.smile > 0}


def draw_traits(index: int, seed: int = 0, change: Mapping[str, Any] | None = None) -> Traits:
    """The person of this index, with some traits changed: change={"age": 70} is the same person at 70.

    Raises ConfigError for an unknown trait or value."""
    u = rng("portrait", seed, index).random(len(DISTRIBUTIONS)).tolist()
    drawn: dict[str, Any] = {}
    for (name, kind), share in zip(DISTRIBUTIONS.items(), u, strict=True):
        drawn[name] = kind.at(share)
    for name, value in (change or {}).items():
        if name not in DISTRIBUTIONS:
            raise ConfigError(f"Portraits have no trait {name!r} to change; they have {', '.join(DISTRIBUTIONS)}.")
        if not DISTRIBUTIONS[name].allows(value):
            raise ConfigError(f"The trait {name} of a portrait cannot be {value!r}; it is {DISTRIBUTIONS[name]}.")
        drawn[name] = value
    return Traits(**drawn)


def smooth(t: float) -> float:
    """0 up to t = 0, 1 from t = 1, and a smooth step between (3t² - 2t³)."""
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)
