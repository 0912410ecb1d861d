"""Signs that a game goes wrong, said in words while there is time to act.

Loss curves of a GAN say little by themselves: the opponents' losses rise and fall together whatever the pictures do.
What can be read from numbers is watched here. Each finding is told once an episode: it is silent until the sign has
gone and come back. Thresholds err on the side of silence, for advice that is often wrong is soon ignored.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WARM_UP = 5_000
"""Images during which nothing but a value that is not finite is told: every network starts out poor and one-sided."""

PATIENCE = 10_000
"""Images for which a sign must last. A discriminator that leads for less than that is how the game normally swings."""

LOOKS = 4
"""Log lines in a row that must show a sign: a run that logs seldom is not judged from one or two numbers."""

HALF_LIFE = 2_000
"""Images over which the running averages forget half: a single odd batch should not end or begin an episode."""

SURE_REAL, SURE_FAKE = 0.97, 0.03
"""D(x) above and D(G(z)) below: -ln(1 - D(G(z))) is then under 0.03, so the minimax gradient is all but gone, and the
non-saturating loss above 3.5. Healthy DCGAN runs visit 0.9 and 0.1 and come back."""

SATURATED = 0.1
"""A generator's loss nearer to 0, while the discriminator wins, is ln(1 - D(G(z))) with its gradient gone."""

UNSURE_REAL, UNSURE_FAKE = 0.93, 0.07
"""Where a discriminator that had won is in play again; apart from the line above, so that no episode flickers."""

COLLAPSED, RECOVERED = 0.3, 0.5
"""Mean distance between samples as a share of that between real images. Blurry but varied samples of a short run stay
above 0.5; one picture repeated with small changes is far below 0.3."""

COPIED, NEW = 0.9, 0.8
"""How likely a sample is nearer to a training image than that to its nearest other one: 1/2 for new images of the same
kind, 1 for copies; blurred samples are far from all."""

SEPARATED = 0.1
"""A gap D(x) - D(G(z)) that shows that the discriminator can tell real from fake at all. At equilibrium the gap is
small too, but no run starts there: a discriminator that has never reached this gap has never worked."""

SLOW_DATA, QUICK_DATA = 0.25, 0.15
"""Share of the time spent waiting for images."""


@dataclass(frozen=True)
class Finding:
    """One thing seen. kind is its name for programs; text says what is seen, with numbers; advice is one change."""

    kind: str
    text: str
    advice: str


class Watch:
    """Reads each log's scalars and returns what there is to say.

    Its whole memory is `state()`, a JSON-able dict, so that a resumed run neither repeats itself nor forgets."""

    def __init__(self) -> None:
        self._images: dict[str, int] = {}
        self._average: dict[str, float] = {}
        self._signs: dict[str, dict[str, Any]] = {}
        self._widest_gap = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep; plain numbers, strings and dicts."""
        return {
            "images": dict(self._images),
            "average": dict(self._average),
            "signs": {kind: dict(sign) for kind, sign in self._signs.items()},
            "widest_gap": self._widest_gap,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state()` returned."""
        self._images, self._average = dict(state["images"]), dict(state["average"])
        self._signs = {kind: dict(sign) for kind, sign in state["signs"].items()}
        self._widest_gap = state["widest_gap"]

    def see(self, images: int, values: Mapping[str, float]) -> list[Finding]:
        """Look at the scalars of one log line, at `images` images seen. Not every line needs every scalar."""
        bad = sorted(name for name, value in values.items() if not math.isfinite(value))
        if bad:
            return self._not_finite(bad[0], values[bad[0]])
        self._signs.pop("not-finite", None)
        for name, value in values.items():
            self._remember(name, images, value)
        return [
            *(self._discriminator_wins(images) if "score/fake" in values else []),
            *(self._discriminator_is_blind(images) if "score/fake" in values else []),
            *(self._generator_collapsed(images) if "health/diversity" in values else []),
            *(self._generator_copies(images) if "health/copying" in values else []),
            *(self._data_is_slow(images) if "time/data_wait" in values else []),
        ]

    def _not_finite(self, name: str, value: float) -> list[Finding]:
        if "not-finite" in self._signs:
            return []
        self._signs["not-finite"] = {"told": True}
        text = f"{name} is {value}: a number of the game is no longer finite, and what follows is lost."
        return [
            Finding(
                "not-finite",
                text,
                "Train again, into another folder, at half the learning rate: resuming would end the same way.",
            )
        ]

    def _discriminator_wins(self, images: int) -> list[Finding]:
        real, fake = self._average.get("score/real", 0.5), self._average["score/fake"]
        sign = _between(real > SURE_REAL and fake < SURE_FAKE, real < UNSURE_REAL or fake > UNSURE_FAKE)
        loss = self._average.get("loss/generator/adversarial")
        finding = Finding(
            "discriminator-winning",
            f"The discriminator is winning: it gives real images {real:.3f} and generated ones {fake:.3f}. So sure a "
            "judge leaves the generator little to learn from.",
            # The non-saturating loss is above 3.5 here; near 0 there is only the one that Algorithm 1 prints.
            "Train with loss=non-saturating: the minimax loss has no gradient left against a judge so sure."
            if loss is not None and abs(loss) < SATURATED
            else "If the pictures no longer improve, halve the discriminator's learning rate or add an R1 penalty.",
        )
        return self._tell(finding, images, sign)

    def _discriminator_is_blind(self, images: int) -> list[Finding]:
        real, fake = self._average.get("score/real", 0.5), self._average["score/fake"]
        self._widest_gap = max(self._widest_gap, real - fake)
        finding = Finding(
            "discriminator-blind",
            f"The discriminator has never told real from generated: it gives {real:.2f} to the one and {fake:.2f} to "
            "the other. That is not equilibrium, which a game reaches from a lead of the discriminator, but a judge "
            "that has not begun to learn.",
            "Raise the discriminator's learning rate, or give it two steps a turn.",
        )
        return self._tell(finding, images, self._widest_gap < SEPARATED)

    def _generator_collapsed(self, images: int) -> list[Finding]:
        diversity = self._average["health/diversity"]
        finding = Finding(
            "generator-collapsed",
            f"The generator has collapsed, or is about to: its samples differ from one another {diversity:.0%} as much "
            "as real images do.",
            "Look at the samples. If they are all alike, go back to an earlier checkpoint and halve the generator's "
            "learning rate.",
        )
        # Two looks are enough: diversity is measured on many samples, with each sample sheet and so less often.
        return self._tell(finding, images, _between(diversity < COLLAPSED, diversity > RECOVERED), looks=2)

    def _generator_copies(self, images: int) -> list[Finding]:
        copying = self._average["health/copying"]
        finding = Finding(
            "generator-copies",
            f"The generator copies: with probability {copying:.2f} a sample lies nearer to a training image than that "
            "to its nearest other one, where new images of the kind would give 0.50.",
            "Look at samples/nearest.png. Stop here, take an earlier checkpoint, collect more images, or begin with a "
            "run that has learnt from more (--init).",
        )
        return self._tell(finding, images, _between(copying > COPIED, copying < NEW), looks=2)

    def _data_is_slow(self, images: int) -> list[Finding]:
        wait = self._average["time/data_wait"]
        finding = Finding(
            "data-slow",
            f"Training spends {wait:.0%} of its time waiting for images.",
            "Pack them once with `zerosum prepare`, onto the fastest disk there is, and train from the result.",
        )
        return self._tell(finding, images, _between(wait > SLOW_DATA, wait < QUICK_DATA))

    def _remember(self, name: str, images: int, value: float) -> None:
        before = self._average.get(name)
        if before is None or images <= WARM_UP:  # how a run starts says nothing about how it goes
            self._average[name] = value
        else:
            keep = 0.5 ** ((images - self._images[name]) / HALF_LIFE)
            self._average[name] = keep * before + (1 - keep) * value
        self._images[name] = images

    def _tell(self, finding: Finding, images: int, seen: bool | None, looks: int = LOOKS) -> list[Finding]:
        """The finding, once, when its sign has lasted. seen: the sign is there (True), gone (False), or in between
        (None), which neither begins an episode nor ends one."""
        if seen is False:
            self._signs.pop(finding.kind, None)
        if not seen or images < WARM_UP:
            return []
        sign = self._signs.setdefault(finding.kind, {"since": images, "looks": 0, "told": False})
        sign["looks"] += 1
        if sign["told"] or sign["looks"] < looks or images - sign["since"] < PATIENCE:
            return []
        sign["told"] = True
        return [finding]


def _between(there: bool, gone: bool) -> bool | None:
    return True if there else False if gone else None
