"""Training on a terminal: one table that is kept up to date; elsewhere a line now and then; colours only if wanted."""

import io
import re

import pytest
from rich.console import Console

from zerosum.training.live import Terminal, duration, losses, number, scores

VALUES = {
    "loss/discriminator/real": 0.41,
    "loss/discriminator/fake": 0.3,
    "loss/generator/adversarial": 1.93,
    "score/real": 0.71,
    "score/fake": 0.28,
    "grad/discriminator": 1.2,
    "time/images_per_second": 411.4,
    "time/data_wait": 0.003,
}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def terminal(tty: bool, clock: Clock | None = None) -> tuple[Terminal, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=tty, width=100, highlight=False, _environ={"TERM": "xterm-256color"})
    return Terminal(console, clock or Clock()), stream


def test_elsewhere_a_line_at_most_every_ten_seconds() -> None:
    clock = Clock()
    shown, stream = terminal(tty=False, clock=clock)
    shown.start("dcgan on photos", "200,000 images")
    for second in range(25):
        clock.now = 100.0 + second
        shown.scalars(1_000 * (second + 1), second, VALUES, second / 100, 754.0)
    shown.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "dcgan on photos, 200,000 images"
    assert [line.split(" · ")[0] for line in lines[1:]] == ["1,000 images", "11,000 images", "21,000 images"]
    for part in ("20%", "D(x) 0.710", "D(G(z)) 0.280", "discriminator loss 0.710", "generator loss 1.930"):
        assert part in lines[-1]
    assert "411 images/s · 0.3% waiting for data · 20 s · 12 min 34 s left" in lines[-1]
    assert "\x1b" not in stream.getvalue()


def test_events_are_never_held_back_and_warnings_say_that_they_are() -> None:
    shown, stream = terminal(tty=False)
    shown.start("a", "b")
    shown.scalars(1, 1, {}, 0.0, None)
    shown.event("checkpoint", "Saved 000012800.")
    shown.event("warning", "A [bold]class[/bold] is " + "very " * 40 + "small.")
    assert stream.getvalue().splitlines()[2:] == [
        "Saved 000012800.",
        "warning: A [bold]class[/bold] is " + "very " * 40 + "small.",  # as it is, on one line
    ]


def test_a_terminal_shows_a_table_with_everything_that_matters() -> None:
    clock = Clock()
    shown, stream = terminal(tty=True, clock=clock)
    shown.start("dcgan on photos", "200,000 images")
    clock.now += 65
    shown.scalars(50_000, 780, VALUES, 0.25, 3_900.0)
    shown.event("checkpoint", "Saved 000050000.")
    shown.close()
    shown.close()  # twice is fine
    text = stream.getvalue()
    for part in ("dcgan on photos", "25% of 200,000 images", "50,000 images", "411 images/s", "0.3% waiting for data"):
        assert part in text
    for part in ("1 min 05 s", "1 h 05 min left", "D(x)", "D(G(z))", "0.710", "0.280", "0.410", "1.930", "1.200"):
        assert part in text
    assert "Saved 000050000." in text
    assert text.endswith("\x1b[?25h")  # the cursor is back


def test_the_probability_of_an_augmentation_stands_in_the_line_and_in_the_table() -> None:
    for tty in (False, True):
        shown, stream = terminal(tty)
        shown.start("a", "b")
        shown.scalars(1, 1, VALUES | {"augment/probability": 0.1234, "augment/overfitting": 0.6}, 0.5, None)
        shown.close()
        assert re.search(r"augment p +0\.123", stream.getvalue())
        assert "overfitting" not in stream.getvalue()


@pytest.mark.parametrize("tty", [True, False])
def test_what_was_chosen_stays_and_is_no_warning(tty: bool) -> None:
    shown, stream = terminal(tty)
    shown.start("a", "b")
    shown.event("chosen", "60 images: augment=ada.")
    shown.event("checkpoint", "Saved.")
    shown.close()
    above = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).splitlines()]
    assert "60 images: augment=ada." in above
    if tty:
        assert "augment=ada" not in stream.getvalue().rpartition("╭")[2]


def test_a_warning_stays_above_the_table() -> None:
    shown, stream = terminal(tty=True)
    shown.start("a", "b")
    shown.event("warning", "The generator has collapsed.")
    shown.event("checkpoint", "Saved.")
    shown.close()
    last_table = stream.getvalue().rpartition("╭")[2]
    assert "warning: " in stream.getvalue()
    assert "collapsed" not in last_table
    assert "Saved." in last_table


@pytest.mark.parametrize("tty", [True, False])
def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch, tty: bool) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    shown = Terminal(Console(file=stream, force_terminal=tty, width=100, highlight=False), Clock())
    shown.start("a", "b")
    shown.scalars(1, 1, VALUES, 0.5, None)
    shown.event("warning", "Careful.")
    shown.close()
    colours = [f"\x1b[{code}" for code in ("3", "4", "9", "38", "48", "1;3")]
    assert not any(colour in stream.getvalue() for colour in colours)


def test_a_dumb_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, _environ={"TERM": "dumb"})
    shown = Terminal(console, Clock())
    shown.start("a", "b")
    shown.scalars(1, 1, {}, 0.5, None)
    shown.close()
    assert "\x1b" not in stream.getvalue()
    assert "╭" not in stream.getvalue()


def test_everything_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Terminal()
    shown.start("a", "b")
    shown.event("done", "Done.")
    shown.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Done." in captured.err


def test_numbers_that_are_not_finite_are_shown_too() -> None:
    shown, stream = terminal(tty=True)
    shown.start("a", "b")
    shown.scalars(1, 1, {"score/real": float("nan"), "loss/generator/adversarial": float("inf")}, 0.5, None)
    shown.close()
    assert "nan" in stream.getvalue()
    assert "inf" in stream.getvalue()


def test_words_of_the_game() -> None:
    assert losses(VALUES) == {"discriminator": {"real": 0.41, "fake": 0.3}, "generator": {"adversarial": 1.93}}
    assert scores({"critic/real": 3.0, "score/fake": 0.2}) == [("D(G(z))", 0.2), ("critic(x)", 3.0)]
    assert [duration(s) for s in (0, 59.4, 60, 3599, 3600, 90_000)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
        "25 h 00 min",
    ]
    assert [number(v) for v in (0.70001, -1.3863, 123456.0, 0.00012, 0.0)] == [
        "0.700",
        "-1.386",
        "1.23e+05",
        "0.00012",
        "0",
    ]
