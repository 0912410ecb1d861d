"""Progress of training: a live table in a terminal, an output in a notebook, otherwise occasional plain lines."""

import html
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from zerosum.engine.pace import duration
from zerosum.utils.text import lost_stream_ignored, printable

if TYPE_CHECKING:
    from zerosum.engine.loop import Listener

Packing = Callable[[str, int, int], None]
"""As `data.scan.Progress`: the activity, the number done and the total."""

SECONDS_BETWEEN_LINES = 10
REMARKABLE = {"warning": "yellow", "failed": "bold red", "diverged": "bold red"}
LASTING = {*REMARKABLE, "goal", "chosen", "data"}  # stay above the table


class Lasting(Console):
    """A console whose reader may disappear: `rich` would end the process, and the training with it."""

    def on_broken_pipe(self) -> None:
        """Ignore it."""
        self.quiet = True


class Terminal:
    """A listener that writes to stderr; errors of output never stop training.

    A terminal shows one live table; a file or a pipe (such as the log of a batch system) gets at most one line every
    ten seconds. Colours follow NO_COLOR. `clock` is for tests."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console or Lasting(file=sys.stderr, highlight=False)
        self.clock = clock
        self.live: Live | None = None
        self._title = self._goal = ""
        self._started = clock()
        self._line_at = -float("inf")
        self._images, self._fraction = 0, 0.0
        self._left: float | None = None
        self._values: dict[str, float] = {}
        self._last = Text("")

    def start(self, title: str, goal: str) -> None:
        """Start: the title and the goal; without a goal, if the run itself reports its length."""
        title = printable(title)
        self._title, self._goal, self._started = title, goal, self.clock()
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self.live = Live(get_renderable=self._table, console=self.console, refresh_per_second=2)
            with lost_stream_ignored():
                self.live.start()
        else:
            self._print(f"{title}, {goal}" if goal else title)

    def scalars(
        self, images: int, step: int, values: dict[str, float], fraction: float, seconds_left: float | None
    ) -> None:
        """Show one log line: scalars by name, the completed share of the goal, and the remaining seconds."""
        self._images, self._fraction, self._left = images, fraction, seconds_left
        self._values = self._values | values
        if self.live is None and self.clock() - self._line_at >= SECONDS_BETWEEN_LINES:
            self._line_at = self.clock()
            self._print(self._line())

    def event(self, kind: str, text: str) -> None:
        """Show an event. Warnings, the goal and chosen settings stay on the screen; others until the next event."""
        text = printable(text)
        said = Text.assemble((f"{kind}: ", REMARKABLE[kind]), text) if kind in REMARKABLE else Text(text)
        self._last = Text(text, style=REMARKABLE.get(kind, ""))
        if self.live is None:
            self._print(said.plain)
        elif kind in LASTING:
            with lost_stream_ignored():
                self.live.console.print(said)

    def close(self) -> None:
        """Leave the last state on the screen; may be called twice."""
        live, self.live = self.live, None
        if live:
            with lost_stream_ignored():
                live.stop()

    def _print(self, text: str) -> None:
        with lost_stream_ignored():
            self.console.print(Text(text), soft_wrap=True)  # a line of a log file stays one line

    def _line(self) -> str:
        parts = [f"{self._images:,} images", f"{self._fraction:.0%}"]
        parts += [f"{name} {number(value)}" for name, value in scores(self._values)]
        parts += [f"{player} loss {number(sum(terms.values()))}" for player, terms in losses(self._values).items()]
        return " · ".join([*parts, *self._pace(), *self._times()])

    def _pace(self) -> list[str]:
        pace = []
        if "time/images_per_second" in self._values:
            pace.append(f"{self._values['time/images_per_second']:,.0f} images/s")
        if "time/data_wait" in self._values:
            pace.append(f"{self._values['time/data_wait']:.1%} waiting for data")
        return pace

    def _times(self) -> list[str]:
        left = [] if self._left is None else [f"{duration(self._left)} left"]
        return [duration(self.clock() - self._started), *left]

    def _table(self) -> RenderableType:
        parts: list[RenderableType] = []
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        bar.add_row(
            ProgressBar(total=1, completed=self._fraction), f"{self._fraction:.0%} of {self._goal or 'the run'}"
        )
        parts.append(bar)
        parts.append(Text(" · ".join([f"{self._images:,} images", *self._pace(), *self._times()]), style="dim"))
        if self._values:
            numbers = Table.grid(padding=(0, 2))
            for player, terms in losses(self._values).items():
                words = Text.assemble(*(part for term in terms.items() for part in _named(*term)))
                if f"grad/{player}" in self._values:
                    words.append(f"gradient {number(self._values[f'grad/{player}'])}", style="dim")
                numbers.add_row(Text(player), words)
            for name, value in scores(self._values):
                numbers.add_row(Text(name), _meter(value) if name.startswith("D(") else Text(number(value)))
            parts += [Text(""), numbers]
        if self._last.plain:
            parts += [Text(""), self._last]
        return Panel(Group(*parts), title=Text(self._title), title_align="left", border_style="dim", padding=(0, 1))


class Notebook(Terminal):
    """The same in a notebook: one output below the cell, updated in place."""

    SECONDS = 0.5  # between two updates

    def __init__(self, show: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(Console(file=io.StringIO()), clock)
        self._show = show or _notebook_output()
        self._lasting: list[str] = []
        self._shown_at = -float("inf")

    def start(self, title: str, goal: str) -> None:
        """Start, as in a terminal."""
        super().start(title, goal)
        self._draw()

    def scalars(
        self, images: int, step: int, values: dict[str, float], fraction: float, seconds_left: float | None
    ) -> None:
        """Show one log line."""
        super().scalars(images, step, values, fraction, seconds_left)
        if self.clock() - self._shown_at >= self.SECONDS:
            self._draw()

    def event(self, kind: str, text: str) -> None:
        """Show something that happened."""
        super().event(kind, text)
        if kind in LASTING:
            self._lasting.append(f"{kind}: {text}" if kind in REMARKABLE else text)
        self._draw()

    def close(self) -> None:
        """Leave the last state below the cell."""
        super().close()
        self._draw()

    def _draw(self) -> None:
        self._shown_at = self.clock()
        lines = [*self._lasting, *([] if self._last.plain in self._lasting else [self._last.plain])]
        self._show(
            f"<p><b>{html.escape(self._title)}</b></p>"
            f'<progress value="{self._fraction:.4f}" max="1" style="width:100%"></progress>'
            f"<p>{html.escape(self._line())}</p>{''.join(f'<p>{html.escape(line)}</p>' for line in lines)}"
        )


def _notebook_output() -> Callable[[str], None]:
    """A function that shows HTML below the running cell, replacing the previous output."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    return lambda text: handle.update(HTML(text))


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" or "google.colab" in type(shell).__module__


@contextmanager
def shown(
    title: str, goal: str, listeners: "Sequence[Listener] | None", progress: Packing | None
) -> "Iterator[tuple[Sequence[Listener], Packing | None]]":
    """The listeners of a training, and the progress of packing: those that were given, or, without listeners, an output
    below the notebook cell or on stderr."""
    if listeners is not None:
        yield listeners, progress
        return
    terminal = Notebook() if in_notebook() else Terminal()
    terminal.start(title, goal)
    try:
        yield [terminal], packing(terminal)
    finally:
        terminal.close()


def packing(terminal: Terminal) -> Packing:
    """Progress of packing in `train`: a line every few seconds."""
    shown = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 3:
            shown = time.monotonic()
            terminal.event("packing", f"{what}: {done:,} of {total:,}")

    return report


def requested_text(images: int | None, steps: int | None, minutes: float | None) -> str:
    """The goal in words, for the progress bar; empty if there is none."""
    parts = [f"{images:,} images"] if images is not None else []
    parts += [f"{steps:,} steps"] if steps is not None else []
    parts += [f"{minutes:g} minutes"] if minutes is not None else []
    return " or ".join(parts)


def losses(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The terms `loss/<player>/<term>`, by player."""
    players: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        if name.startswith("loss/") and name.count("/") == 2:
            _, player, term = name.split("/")
            players.setdefault(player, {})[term] = value
    return players


def scores(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """The discriminator's or critic's scores on real and generated images, with the names of the papers; the accuracy
    of a classifier; the probability of augmentation."""
    names = {
        "score/real": "D(x)",
        "score/fake": "D(G(z))",
        "critic/real": "critic(x)",
        "critic/fake": "critic(G(z))",
        "accuracy/training": "accuracy in training",
        "augment/probability": "augment p",
    }
    return [(words, values[name]) for name, words in names.items() if name in values]


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if abs(value) < 1e-3 or abs(value) >= 100 else f"{value:.3f}"


def _named(name: str, value: float) -> tuple[tuple[str, str], str]:
    return (f"{name} ", "dim"), f"{number(value)}  "


def _meter(share: float, width: int = 24) -> Text:
    """A probability as a bar with a mark at 1/2."""
    filled = round(min(max(share, 0.0), 1.0) * width) if share == share else 0
    bar = "".join("━" if place < filled else "─" for place in range(width))
    middle = width // 2
    return Text.assemble(
        (bar[:middle], "cyan" if filled else "dim"), ("┼", "dim"), (bar[middle:], "cyan"), f" {number(share)}"
    )
