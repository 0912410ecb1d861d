"""How far a run is, and when it ends."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """Progress of a run. seconds: time of training steps, without samples, checkpoints and scores. drawn: the number of
    images each player has taken from the data."""

    images: int = 0
    step: int = 0
    seconds: float = 0.0
    drawn: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """When to stop: at the first of images, steps and seconds of training."""

    images: int | None = None
    steps: int | None = None
    seconds: float | None = None

    def fraction(self, progress: Progress) -> float:
        """The completed fraction of the goal; 1 or more when it is reached."""
        pairs = ((progress.images, self.images), (progress.step, self.steps), (progress.seconds, self.seconds))
        return max((done / goal for done, goal in pairs if goal is not None), default=0.0)

    def length(self, progress: Progress) -> int | None:
        """The length of the run in images: its goal, or an estimate from the completed fraction; None at the start."""
        if self.images is not None and self.steps is None and self.seconds is None:
            return self.images
        fraction = self.fraction(progress)
        return round(progress.images / fraction) if fraction > 0 else None
