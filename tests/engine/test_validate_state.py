"""States of the watch that no run writes are refused before training goes on."""

from dataclasses import asdict

import pytest

from zerosum.engine.goal import Progress
from zerosum.engine.validate_state import validate_state
from zerosum.engine.watch import Watch

WHOLE = {"seen": [[0, 5.0], [40, 2.0]], "name": "eval/fd", "floor": 1.0, "reference": 9.0}


def state(**scores):
    progress = asdict(Progress()) | {"images": 100, "drawn": {}}
    return {"progress": progress, "watch": Watch().state() | {"scores": WHOLE | scores}}


def test_a_whole_state_is_taken():
    validate_state(state(), [])
    validate_state(state(seen=[], name=None, floor=None, reference=None), [])


@pytest.mark.parametrize("lacking", [{"seen": [[0, 5.0, 1.0]]}, {"name": None}, {"floor": None}, {"reference": None}])
def test_scores_that_lack_something_are_refused(lacking):
    with pytest.raises(ValueError, match=r"watch\.scores: a score without name, floor or reference"):
        validate_state(state(**lacking), [])
