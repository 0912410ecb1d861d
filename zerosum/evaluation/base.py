"""The interface between `evaluate` and tasks. A new task is a file in this folder that registers a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.data.scan import Progress
from zerosum.evaluation.common import PartChoice
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import ByTask
from zerosum.utils.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """The options of `evaluate` for a run. Each task refuses those that do not apply to it."""

    run: str | Path
    folder: RunFolder
    data: str
    recipe: str
    features: str | None = None
    segmenter: str | Path | None = None
    reader: str | Path | None = None
    keeps: Sequence[str | Path] = ()
    n: int | None = None
    part: PartChoice = "auto"
    seed: int = 0
    progress: Progress | None = None

    def refuse_segmenter(self) -> None:
        """Raises ConfigError if a segmenter is given."""
        if self.segmenter is not None:
            raise ConfigError(
                f"{self.run} is a run of {self.recipe}: a segmenter only applies to translators from label maps; "
                "leave it out."
            )

    def refuse_readers(self) -> None:
        """Raises ConfigError if reader or keeps is given."""
        if self.reader is not None or self.keeps:
            raise ConfigError(f"{self.run} does not edit an attribute; leave reader and keeps out.")

    def refuse_number(self) -> None:
        """Raises ConfigError if n is given."""
        if self.n is not None:
            raise ConfigError(
                f"{self.run} is a run of {self.recipe}: it is scored on all images of a part; leave n out."
            )


EVALUATION: ByTask[Callable[[Request, Any], dict[str, Any]]] = ByTask("zerosum.evaluation")
