"""`report.html` of a run, during training and at its end."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from zerosum.engine.loop import Training
from zerosum.engine.time_budget import TimeBudget
from zerosum.runs.report.page import write_report
from zerosum.utils.errors import error_text


class RunningReport:
    """A listener that keeps `report.html` up to date, so that it can be read during training, and after a kill.

    It is written at checkpoints, for less than 5 % of the time."""

    def __init__(self, run: Path) -> None:
        self.run, self._allowance = run, TimeBudget(0.05)

    def scalars(self, *line: Any) -> None:
        """Nothing: the report reads the run folder."""

    def event(self, kind: str, text: str) -> None:
        """Write the report at a checkpoint, if the last one is long enough ago."""
        if kind == "checkpoint" and self._allowance.due():
            with self._allowance.spent(), suppress(Exception):  # reported at the end, when it is written again
                write_report(self.run)


def final_report(training: Training) -> None:
    """Write the report. A failure is only a warning, so that the outcome of training is reported."""
    try:
        write_report(training.run.path)
    except Exception as error:
        training.event("warning", f"The report could not be written: {error_text(error)}")
