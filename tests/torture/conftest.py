"""The quick form of these tests tries a few faults of each kind, in seconds; `make torture` thousands, and prints how
many there were and what became of them, as docs/reliability.md has it."""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

SHARE = float(os.environ.get("ZEROSUM_TORTURE", 0))  # of the long form; 0: the quick one
LONG = SHARE > 0
TALLY: dict[str, Counter[str]] = defaultdict(Counter)


class Faults:
    """So many seeded sources of faults, and what became of each."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, quick: int, long: int) -> Iterator[random.Random]:
        for seed in range(max(round(SHARE * long), 1) if LONG else quick):
            self.seed = seed
            yield random.Random(f"{self.name} {seed}")

    def came(self, outcome: str) -> None:
        TALLY[self.name][outcome] += 1


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    return Faults(request.node.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LONG and TALLY:
        terminalreporter.section("faults, and what became of them")
        for name, outcomes in TALLY.items():
            counts = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
            terminalreporter.line(f"{name}: {outcomes.total():,} ({counts})")
