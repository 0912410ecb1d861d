"""Warning signs of a failing game, reported in words while there is time to act.

Loss curves of a GAN say little by themselves: both losses rise and fall together whatever the quality of the samples.
This module watches what numbers do show. A finding is reported once per episode, and again only after the sign has gone
and come back. Thresholds favour silence, since advice that is often wrong is soon ignored.

Some signs need a discriminator's probabilities. The others apply to every adversarial loss: the separation of real and
generated logits in units of their spread, their magnitude, the norm of the generator's gradient, the diversity of
samples, also within classes, and the score at checkpoints relative to its floor and its best."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zerosum.runs.report.convergence import FAR, FAR_STALLED, NEAR_FLOOR

WARM_UP, WARM_UP_SHARE = 5_000, 0.1
"""Images before which only non-finite values are reported, since every network is poor and one-sided at first; in a
short run this share of its images, if that is fewer."""

PATIENCE, PATIENCE_SHARE = 10_000, 0.2
"""Images for which a sign must last, since the lead normally swings between the players; in a short run this share of
its images, if that is fewer."""

LOOKS = 4
"""Consecutive log lines that must show a sign, so that a run that logs rarely is not judged by one or two values."""

HALF_LIFE, HALF_LIFE_SHARE = 2_000, 0.05
"""Half-life of the running averages, in images, so that a single outlier neither starts nor ends an episode; in a short
run this share of its images, if that is fewer."""

SURE_REAL, SURE_FAKE = 0.97, 0.03
"""D(x) above the first and D(G(z)) below the second: -ln(1 - D(G(z))) is then below 0.03, so the minimax gradient has
almost vanished, and the non-saturating loss is above 3.5. Healthy DCGAN runs reach 0.9 and 0.1 and return."""

SATURATED = 0.1
"""A generator loss closer to 0 than this, while the discriminator wins, is ln(1 - D(G(z))) with a vanished gradient."""

UNSURE_REAL, UNSURE_FAKE = 0.93, 0.07
"""Thresholds for the end of the episode; different from the above, so that episodes do not flicker."""

COLLAPSED, RECOVERED = 0.3, 0.5
"""Mean distance between samples as a share of that between real images. Blurred but varied samples of a short run stay
above 0.5; one image with small variations is far below 0.3. The same thresholds apply within classes."""

ALIKE = 0.15
"""The threshold at the end of a run of any length: one blob with small variations. Young runs that still learn are
above it after 2,000 images (`pokegan`, the slowest, 0.16 after 1,280 and 0.25 after 10,080)."""

RISING = 1.15
"""Diversity at least this many times its previous value is rising, as in every generator that starts with one gray
image, and is not a collapse. Scattered samples use the inverse."""

FALLEN = 0.5
"""Diversity that has fallen to this share of its maximum was lost, and is reported after the patience of a short run. A
generator that was never more varied may just be young, and gets the patience of a long run; so does one whose maximum
was already in the range of collapse: samples of an untrained `gan` have 0.2, and become more alike before they
spread."""

SCATTERED, GATHERED = 1.2, 1.1
"""The same share where samples differ more than real images do: noise and garish colours. Healthy runs stay below 1.1;
DCGAN at 50 times its learning rate reached 1.7, R3GAN 1.3."""

EXPLODED, BOUNDED = 50.0, 20.0
"""Mean absolute logit. Losses saturate below 10: at 50 a sigmoid is 1 - 2e-22. Healthy runs are below 10 after the
warm-up; R3GAN at 50 times its learning rate was at 300, settled, and rose again. The offset of a Wasserstein critic is
arbitrary: see `critic_limit` of `Watch`."""

SEPARABLE, OVERLAPPING = 8.0, 5.0
"""Difference of the mean logits of real and generated images, in pooled standard deviations, where there are no
probabilities: at 8 the distributions do not overlap. Healthy runs are between 0.5 and 4 after the warm-up."""

INSEPARABLE = 0.3
"""Separation below which the discriminator does not distinguish real from generated images, like `SEPARATED` for
probabilities. Batches of 32 random logits give a standard deviation of 0.25; healthy runs reach 1.4 or more within
their first fifth. Probabilities near 1/2 may still be separated: Adam at 2e-4 gave `gan` 0.58 and 0.51, at a separation
of 2."""

VANISHED, ALIVE = 1e-3, 1e-2
"""The norm of the generator's gradient, as a share of its largest running average."""

WORSE, BETTER = 2.0, 1.5
"""The score at a checkpoint as a multiple of the best so far, for scores of which 0 is perfect."""

STALLED = 0.9
"""A run that ends with more than this share of the score that it had halfway has stopped improving."""

COPIED, NEW = 0.9, 0.8
"""Probability that a sample is closer to a training image than that image is to its nearest neighbour: 1/2 for new
images of the same kind, 1 for copies; blurred samples are far from all images."""

SEPARATED = 0.1
"""Gap D(x) - D(G(z)) below which the discriminator does not distinguish real from generated images. At equilibrium the
gap is small too, but no run starts there: a discriminator that has never reached this gap has never worked."""

WITHIN = "health/diversity_within"
"""Mean diversity within classes; followed by / and a class, that of the class."""

SLOW_DATA, QUICK_DATA = 0.25, 0.15
"""Share of the time spent waiting for data."""


@dataclass(frozen=True)
class Finding:
    """A finding. kind: its name for programs; text: the observation, with numbers; advice: one change to make."""

    kind: str
    text: str
    advice: str


class Watch:
    """Checks the scalars of each log line and returns findings.

    remedies: settings that advice may name, as they are typed (recipes.remedies). critic_limit: the largest possible
    gap between real and generated scores of a Wasserstein critic whose gradient norm is at most 1; None for other
    losses. `length`: images that the run will see, None if unknown. The whole state is `state()`, a JSON-able dict, so
    that a resumed run neither repeats findings nor forgets them."""

    def __init__(self, remedies: Mapping[str, str] | None = None, critic_limit: float | None = None) -> None:
        self.remedies, self.critic_limit = dict(remedies or {}), critic_limit
        self.length: int | None = None
        self._largest_gradient = self._widest_separation = self._highest_diversity = 0.0
        self._scores: dict[str, Any] = {}  # the leading score: its name, its values by images, floor and reference
        self._images: dict[str, int] = {}
        self._average: dict[str, float] = {}
        self._signs: dict[str, dict[str, Any]] = {}
        self._widest_gap = 0.0

    def state(self) -> dict[str, Any]:
        """The state that a checkpoint must keep; plain numbers, strings and dicts."""
        return {
            "length": self.length,
            "images": dict(self._images),
            "average": dict(self._average),
            "signs": {kind: dict(sign) for kind, sign in self._signs.items()},
            "widest_gap": self._widest_gap,
            "widest_separation": self._widest_separation,
            "largest_gradient": self._largest_gradient,
            "highest_diversity": self._highest_diversity,
            "scores": self._scores | {"seen": [list(pair) for pair in self._scores.get("seen", [])]},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by `state()`."""
        self.length = state.get("length")
        self._images, self._average = dict(state["images"]), dict(state["average"])
        self._signs = {kind: dict(sign) for kind, sign in state["signs"].items()}
        self._widest_gap = state["widest_gap"]
        self._widest_separation = state.get("widest_separation", 0.0)  # missing in older runs
        self._largest_gradient = state.get("largest_gradient", 0.0)
        self._highest_diversity = state.get("highest_diversity", 0.0)
        self._scores = dict(state.get("scores", {}))

    def see(self, images: int, values: Mapping[str, float]) -> list[Finding]:
        """Check the scalars of one log line, at `images` images seen. Lines need not contain every scalar."""
        bad = sorted(name for name, value in values.items() if not math.isfinite(value))
        if bad:
            return self._not_finite(bad[0], values[bad[0]])
        self._signs.pop("not-finite", None)
        rising = {name for name, value in values.items() if value > RISING * self._average.get(name, math.inf)}
        falling = {name for name, value in values.items() if RISING * value < self._average.get(name, 0.0)}
        for name, value in values.items():
            self._remember(name, images, value)
        return [
            *(self._discriminator_wins(images) if "score/fake" in values else []),
            *(self._discriminator_is_blind(images) if "score/fake" in values else []),
            *(self._critic_separates(images) if "logits/separation" in values and "critic/fake" in values else []),
            *(self._logits_explode(images) if "logits/scale" in values else []),
            *(self._gradient_vanishes(images, values["grad/generator"]) if "grad/generator" in values else []),
            *(self._generator_collapsed(images, rising) if "health/diversity" in values else []),
            *(self._samples_are_scattered(images, falling) if "health/diversity" in values else []),
            *(self._classes_collapsed(images, values, rising) if WITHIN in values else []),
            *(self._generator_copies(images) if "health/copying" in values else []),
            *(self._data_is_slow(images) if "time/data_wait" in values else []),
        ]

    def see_score(self, images: int, name: str, value: float, floor: float, reference: float) -> list[Finding]:
        """Check the score that chooses the best checkpoint; lower is better and 0 is perfect. floor: the score of other
        real images; reference: the best possible score of a generator with a single constant sample."""
        if not math.isfinite(value):
            return []
        if self._scores.get("name") != name:
            self._scores = {"name": name, "seen": []}
        self._scores |= {"floor": floor, "reference": reference}
        self._scores["seen"] = [*self._scores["seen"], (images, value)]
        best = min(score for _, score in self._scores["seen"])
        finding = Finding(
            "score-worsening",
            f"The samples are getting worse: {_plain(name)} is {value:.3g}, after {best:.3g} at an earlier checkpoint.",
            "`--checkpoint best` selects the earlier one. "
            + self._again("slower", "r1", before="If it does not recover, train"),
        )
        worse = value > max(WORSE * best, NEAR_FLOOR * floor)
        return self._tell(finding, images, _between(worse, value < BETTER * best), looks=2)

    def conclude(self, images: int) -> list[Finding]:
        """The final check, when a run has reached its goal: whether the samples vary, and are near the data."""
        return [*self._alike_in_the_end(images), *self._far_in_the_end(images)]

    def _alike_in_the_end(self, images: int) -> list[Finding]:
        """Reports collapse that a longer run would report after its patience."""
        diversity = self._average.get("health/diversity")
        if diversity is None or diversity >= ALIKE or self._signs.get("generator-collapsed", {}).get("told"):
            return []
        advice = (
            "Check the samples. The run may have been too short: continue with `zerosum resume RUN --images "
            f"{2 * images}`. If they stay alike, {_lowered(self._again('slower-generator', 'r1'))}"
        )
        text = f"The samples are nearly alike at the end: their diversity is {diversity:.0%} of that of real images."
        return [Finding("samples-alike", text, advice)]

    def _far_in_the_end(self, images: int) -> list[Finding]:
        seen = self._scores.get("seen", [])
        if not seen or seen[-1][0] != images:
            return []
        value, floor, reference = seen[-1][1], self._scores["floor"], self._scores["reference"]
        before = [score for at, score in seen if at <= images / 2]
        stalled = bool(before) and value > STALLED * before[-1]
        if value <= NEAR_FLOOR * floor or value <= (FAR_STALLED if stalled else FAR) * reference:
            return []
        text = (
            f"The samples are far from the data: {_plain(self._scores['name'])} is {value:.3g}; other real images get "
            f"{floor:.3g} (the floor), and a constant sample would get {reference:.3g} at "
            "best."
        )
        if self._signs.get("discriminator-blind", {}).get("told"):
            faster = _lowered(self._again("faster-discriminator", "more-steps"))
            advice = (
                "The discriminator has not learnt yet. Train for longer, "
                f"`zerosum resume RUN --images {10 * images}`; if that does not help, {faster}"
            )
        elif stalled:
            advice = f"The score has stopped improving. {self._again('slower', 'r1')}"
        elif before:
            advice = f"The score was still improving: continue with `zerosum resume RUN --images {2 * images}`."
        else:
            advice = (
                f"If they look better than earlier ones, continue with `zerosum resume RUN --images {2 * images}`; "
                f"otherwise {_lowered(self._again('slower', 'r1'))}"
            )
        return [Finding("samples-far", text, advice)]

    def _again(self, *names: str, before: str = "Train") -> str:
        """Advice to train again with these settings; with a lower learning rate if the recipe has none of them."""
        named = [f"`{self.remedies[name]}`" for name in names if name in self.remedies]
        return f"{before} again with {' or '.join(named)}." if named else f"{before} again at half the learning rate."

    def _not_finite(self, name: str, value: float) -> list[Finding]:
        if "not-finite" in self._signs:
            return []
        self._signs["not-finite"] = {"told": True}
        text = f"{name} is {value}: training has diverged and cannot recover."
        advice = self._again("slower", "r1", before="Resuming would diverge again. Train")
        return [Finding("not-finite", text, advice)]

    def _discriminator_wins(self, images: int) -> list[Finding]:
        real, fake = self._average.get("score/real", 0.5), self._average["score/fake"]
        sign = _between(real > SURE_REAL and fake < SURE_FAKE, real < UNSURE_REAL or fake > UNSURE_FAKE)
        loss = self._average.get("loss/generator/adversarial")
        # The non-saturating loss is above 3.5 here; only the minimax loss of Algorithm 1 is near 0.
        saturated = loss is not None and abs(loss) < SATURATED and "gradient" in self.remedies
        finding = Finding(
            "discriminator-winning",
            f"The discriminator is winning: D is {real:.3f} on real and {fake:.3f} on generated images. So confident a "
            "discriminator leaves the generator little to learn from.",
            "The gradient of the minimax loss vanishes against so confident a discriminator. " + self._again("gradient")
            if saturated
            else self._again("slower-discriminator", "r1", before="If the samples no longer improve, train"),
        )
        return self._tell(finding, images, sign)

    def _critic_separates(self, images: int) -> list[Finding]:
        """The two failures of a critic without probabilities: complete separation, and none at all."""
        separation = self._average["logits/separation"]
        self._widest_separation = max(self._widest_separation, separation)
        winning = Finding(
            "discriminator-winning",
            f"The discriminator is winning: its scores for real and generated images are {separation:.1f} standard "
            "deviations apart and do not overlap, which leaves the generator little to learn from.",
            self._again("slower-discriminator", "constrained", before="If the samples no longer improve, train"),
        )
        blind = Finding(
            "discriminator-blind",
            "The discriminator has never distinguished real from generated images: their scores are "
            f"{separation:.2f} standard deviations apart.",
            self._again("faster-discriminator", "more-steps"),
        )
        apart = _between(separation > SEPARABLE, separation < OVERLAPPING)
        return [
            *self._tell(winning, images, apart),
            *self._tell(blind, images, self._widest_separation < INSEPARABLE),
        ]

    def _logits_explode(self, images: int) -> list[Finding]:
        size, limit, kind = self._average["logits/scale"], EXPLODED, "logits are"
        if self.critic_limit is not None and "critic/real" in self._average:
            size = abs(self._average["critic/real"] - self._average["critic/fake"])
            limit, kind = self.critic_limit, "scores for real and generated images differ by"
        finding = Finding(
            "logits-exploding",
            f"The discriminator's {kind} {size:,.0f} on average, above the limit of {limit:,.0f}: nothing constrains "
            "it, and its gradients no longer guide the generator.",
            self._again("slower", "constrained"),
        )
        return self._tell(finding, images, _between(size > limit, size < limit * BOUNDED / EXPLODED))

    def _gradient_vanishes(self, images: int, gradient: float) -> list[Finding]:
        """Uses the norm itself, since a running average takes ten half-lives to fall to a thousandth."""
        self._largest_gradient = max(self._largest_gradient, self._average["grad/generator"])
        share = gradient / self._largest_gradient if self._largest_gradient > 0 else 1.0
        finding = Finding(
            "gradient-vanished",
            f"The generator's gradient has vanished: its norm is {gradient:.2g}, {share:.1g} of its largest value.",
            self._again("gradient", "slower-discriminator", "r1"),
        )
        return self._tell(finding, images, _between(share < VANISHED, share > ALIVE))

    def _discriminator_is_blind(self, images: int) -> list[Finding]:
        real, fake = self._average.get("score/real", 0.5), self._average["score/fake"]
        self._widest_gap = max(self._widest_gap, real - fake)
        self._widest_separation = max(self._widest_separation, self._average.get("logits/separation", 0.0))
        finding = Finding(
            "discriminator-blind",
            f"The discriminator has never distinguished real from generated images: D is {real:.2f} on real and "
            f"{fake:.2f} on generated ones. That is not equilibrium, which follows a lead of the discriminator: it has "
            "not learnt yet.",
            self._again("faster-discriminator", "more-steps"),
        )
        return self._tell(finding, images, self._widest_gap < SEPARATED and self._widest_separation < INSEPARABLE)

    def _generator_collapsed(self, images: int, rising: Collection[str]) -> list[Finding]:
        diversity = self._average["health/diversity"]
        finding = Finding(
            "generator-collapsed",
            f"The generator has collapsed, or is about to: the diversity of its samples is {diversity:.0%} of that of "
            "real images.",
            "Check the samples. "
            + self._again("slower-generator", "r1", before="If they are all alike, stop this run and train"),
        )
        # Two log lines are enough: diversity is measured on many samples, and only with each sample sheet.
        low = diversity < COLLAPSED and "health/diversity" not in rising
        lost = self._highest_diversity > COLLAPSED and diversity < FALLEN * self._highest_diversity
        patience = self.patience if lost else PATIENCE
        self._highest_diversity = max(self._highest_diversity, diversity)
        return self._tell(finding, images, _between(low, diversity > RECOVERED), looks=2, patience=patience)

    def _samples_are_scattered(self, images: int, falling: Collection[str]) -> list[Finding]:
        diversity = self._average["health/diversity"]
        finding = Finding(
            "samples-scattered",
            f"The diversity of the samples is {diversity:.0%} of that of real images: noise or garish colours, not "
            "variety.",
            "Check the samples. " + self._again("slower", "r1", before="If they are noise, train"),
        )
        scattered = diversity > SCATTERED and "health/diversity" not in falling
        return self._tell(finding, images, _between(scattered, diversity < GATHERED), looks=2)

    def _classes_collapsed(self, images: int, values: Mapping[str, float], rising: Collection[str]) -> list[Finding]:
        """Collapse within classes: on average, or in the worst class only."""
        within = self._average[WITHIN]
        classes = {
            name.removeprefix(f"{WITHIN}/"): self._average[name] for name in values if name.startswith(f"{WITHIN}/")
        }
        advice = "Check the columns of the sample sheet. " + self._again(
            "slower-generator", "r1", before="If the images of one column are all alike, stop this run and train"
        )
        every = Finding(
            "classes-collapsed",
            f"The generator has collapsed within classes: the diversity of samples of a class is {within:.0%} of "
            "that of its real images.",
            advice,
        )
        low = within < COLLAPSED and WITHIN not in rising
        # the classes differ from each other, so it has trained for long enough to vary within one
        patience = self.patience if within < FALLEN * self._average.get("health/diversity", 0.0) else PATIENCE
        found = self._tell(every, images, _between(low, within > RECOVERED), looks=2, patience=patience)
        if not classes:
            return found
        worst = min(classes, key=classes.__getitem__)
        low = classes[worst] < COLLAPSED <= within and f"{WITHIN}/{worst}" not in rising
        alone = _between(low, classes[worst] > RECOVERED)
        one = Finding(
            "class-collapsed",
            f"The generator has collapsed within {worst}: the diversity of its samples is {classes[worst]:.0%} of that "
            f"of its real images; on average over classes it is {within:.0%}.",
            f"Collect more images of {worst}, or merge it with another. {advice}",
        )
        return found + self._tell(one, images, alone, looks=2)

    def _generator_copies(self, images: int) -> list[Finding]:
        copying = self._average["health/copying"]
        finding = Finding(
            "generator-copies",
            f"The generator copies: with probability {copying:.2f} a sample is closer to a training image than that "
            "image is to its nearest neighbour; new images would give 0.50.",
            "Check samples/nearest.png. Stop here, use an earlier checkpoint, collect more images, or start from a "
            "run that was trained on more (--init)."
            + (f" {self._again('augment')}" if "augment" in self.remedies else ""),
        )
        return self._tell(finding, images, _between(copying > COPIED, copying < NEW), looks=2)

    def _data_is_slow(self, images: int) -> list[Finding]:
        wait = self._average["time/data_wait"]
        finding = Finding(
            "data-slow",
            f"Training spends {wait:.0%} of its time waiting for images.",
            "Pack them once with `zerosum prepare`, on the fastest disk available, and train on the result.",
        )
        return self._tell(finding, images, _between(wait > SLOW_DATA, wait < QUICK_DATA))

    @property
    def scored_until(self) -> int:
        """Images seen at the last score; -1 before the first."""
        seen = self._scores.get("seen")
        return seen[-1][0] if seen else -1

    @property
    def warm_up(self) -> int:
        """Images of this run before which it is not judged."""
        return self._of_length(WARM_UP, WARM_UP_SHARE)

    @property
    def patience(self) -> int:
        """Images of this run for which a sign must last."""
        return self._of_length(PATIENCE, PATIENCE_SHARE)

    def _of_length(self, most: int, share: float) -> int:
        return most if self.length is None else max(1, min(most, round(share * self.length)))

    def _remember(self, name: str, images: int, value: float) -> None:
        before = self._average.get(name)
        if before is None or images <= self.warm_up:  # the start of a run says nothing about its course
            self._average[name] = value
        else:
            keep = 0.5 ** ((images - self._images[name]) / self._of_length(HALF_LIFE, HALF_LIFE_SHARE))
            self._average[name] = keep * before + (1 - keep) * value
        self._images[name] = images

    def _tell(
        self, finding: Finding, images: int, seen: bool | None, looks: int = LOOKS, patience: int | None = None
    ) -> list[Finding]:
        """The finding, once, when its sign has lasted. seen: the sign is present (True), gone (False), or in between
        (None), which neither starts nor ends an episode. patience: images for which it must last, if not the
        default."""
        if seen is False:
            self._signs.pop(finding.kind, None)
        if not seen or images < self.warm_up:
            return []
        sign = self._signs.setdefault(finding.kind, {"since": images, "looks": 0, "told": False})
        sign["looks"] += 1
        if (
            sign["told"]
            or sign["looks"] < looks
            or images - sign["since"] < (self.patience if patience is None else patience)
        ):
            return []
        sign["told"] = True
        return [finding]


def _between(there: bool, gone: bool) -> bool | None:
    return True if there else False if gone else None


def _plain(name: str) -> str:
    """A score as it is called outside of stats: `fd2k@random`."""
    return name.removeprefix("eval/")


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
