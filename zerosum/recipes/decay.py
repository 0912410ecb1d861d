"""Learning rates that decay linearly over the last part of a run."""

from pydantic import Field

from zerosum.engine.players import Schedule
from zerosum.recipes.settings import Settings

LAST = 0.01
"""The final share of the learning rate; not 0, so that training can be continued."""


class DecayingSettings(Settings):
    """Settings of a run whose learning rate decays over the last share `decay` of its length."""

    decay: float = Field(
        0.5,
        ge=0,
        le=1,
        description="the last share of training over which the learning rate decays to almost 0; 0: constant",
    )

    def clock(self, images_seen: int, share: float) -> int:
        """The learning rate decays over the last part of the time."""
        return round(share * self.images)


def decaying(settings: DecayingSettings, lr: float, count: int, classes: int = 0, last: float = LAST) -> Schedule:
    """The learning rate: constant, then linear decay to a share `last` at the end (1/101 in the code of CycleGAN).

    count, classes: images and classes of the data, for a length in epochs."""
    end = settings.goal(count, classes)
    start = end * (1 - settings.decay)

    def schedule(images_seen: int) -> list[dict[str, float]]:
        share = (images_seen - start) / (end - start) if end > start else 0.0
        return [{"lr": lr * (1 - (1 - last) * min(max(share, 0.0), 1.0))}]

    return schedule
