"""What `evaluate` asks of a task. A new one is a file beside this that registers a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.data.scan import Progress
from zerosum.evaluation.common import AskedPart
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import ByTask
from zerosum.utils.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """What a run is to be evaluated by. The options are those of `evaluate`; each task refuses those that mean nothing
    to it."""

    run: str | Path
    folder: RunFolder
    data: str
    recipe: str
    features: str | None = None
    segmenter: str | Path | None = None
    reader: str | Path | None = None
    keeps: Sequence[str | Path] = ()
    n: int | None = None
    part: AskedPart = "auto"
    seed: int = 0
    progress: Progress | None = None

    def refuse_segmenter(self) -> None:
        """Raises ConfigError where one is named."""
        if self.segmenter is not None:
            raise ConfigError(
                f"{self.run} is a run of {self.recipe}: a segmenter labels what is made from label maps; leave it out."
            )

    def refuse_readers(self) -> None:
        """Raises ConfigError where classifiers of attributes are named."""
        if self.reader is not None or self.keeps:
            raise ConfigError(
                f"{self.run} changes no attribute: there is nothing for a reader to read; leave reader and keeps out."
            )

    def refuse_number(self) -> None:
        """Raises ConfigError where a number of images is given."""
        if self.n is not None:
            raise ConfigError(f"{self.run} is a run of {self.recipe}: it is scored on a whole part; leave n out.")


EVALUATION: ByTask[Callable[[Request, Any], dict[str, Any]]] = ByTask("zerosum.evaluation")
