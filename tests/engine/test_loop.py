"""The loop around the step: when it logs, samples, saves and stops, with a game of one number."""

import contextlib
import math
import shutil

import pytest
import torch
from torch import nn

from zerosum.engine import loop
from zerosum.engine.goal import Goal, Progress
from zerosum.engine.loop import WRITE_ATTEMPTS, Cadence, Training
from zerosum.engine.players import GeneratorSpec, Player, System
from zerosum.engine.scorer import Scorer
from zerosum.engine.stopping import StopRequest
from zerosum.engine.watch import Finding
from zerosum.runs.checkpoint import best_checkpoint, list_checkpoints
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.utils.errors import DataError, DivergedError, ZerosumError
from zerosum.utils.files import plain_disk_errors

pytestmark = pytest.mark.usefixtures("untried")

BATCH = 10


class Listens:
    def __init__(self):
        self.lines, self.events = [], []

    def scalars(self, images, step, values, fraction, seconds_left):
        self.lines.append((images, step, values, fraction))

    def event(self, kind, text):
        self.events.append((kind, text))


@pytest.fixture
def make(tmp_path):
    """A training of two numbers in a folder of its own, or of the folder's that was made before."""
    made = []

    def make(lr=0.1, checkpoint=1000, sample=10**6, log=20, loss=None, seconds=1e9, steps=1, seed=0, **options):
        path = tmp_path / "run"
        for run in made:  # as when their process ends
            run.unlock()
        if path.exists():
            run = RunFolder(path)
            run.lock()
        else:
            run = RunFolder.create(path, {}, {})
        made.append(run)
        torch.manual_seed(0)
        modules = [nn.Linear(1, 1), nn.Linear(1, 1)]
        loss = loss or (lambda module, batch: module(batch["image"] + torch.rand(1)).square().mean())
        players = [
            Player(
                name,
                module,
                torch.optim.Adam(module.parameters(), lr),
                lambda batch, module=module: ({"adversarial": loss(module, batch)}, {}),
                steps=steps if name == "discriminator" else 1,
            )
            for name, module in zip(("discriminator", "generator"), modules, strict=True)
        ]
        sampled = []

        def show(network, images):
            sampled.append(images)
            return {"health/diversity": 1.0}

        training = Training(
            System(modules[1], lambda: players, GeneratorSpec(lambda seeds: torch.zeros(len(seeds), 1))),
            run,
            next_batch=lambda player, position, count: {"image": torch.full((count, 1), position / 100)},
            write_samples=show,
            batch=BATCH,
            seed=seed,
            cadence=Cadence(log, sample, checkpoint, seconds),
            ema_half_life=100,
            device=torch.device("cpu"),
            precision="fp32",
            metadata={},
            listeners=[Listens()],
            **options,
        )
        training.sampled = sampled
        return training

    yield make
    for run in made:
        run.unlock()


def kinds(training):
    return [kind for kind, _ in training.listeners[0].events]


def stats(training):
    return list(read_lines(training.run.path / "stats.jsonl"))


def test_a_run_begins_and_ends_with_a_sample_and_a_checkpoint(make):
    training = make()
    assert training.run_until(Goal(images=50), StopRequest()) == "done"
    assert training.sampled == [0, 50]
    assert [path.name for path in list_checkpoints(training.run.checkpoints)] == ["000000050", "000000000"]
    assert (training.progress.images, training.progress.step) == (50, 5)
    assert training.progress.drawn == {"discriminator": 50, "generator": 50}


def test_progress_ends_at_1_though_the_last_batch_goes_beyond_the_goal(make):
    training = make(log=10)
    training.run_until(Goal(images=25), StopRequest())
    fractions = [line[3] for line in training.listeners[0].lines]
    assert fractions == [0.4, 0.8, 1.0]


def test_a_slow_run_is_not_silent_until_the_next_regular_line(make, monkeypatch):
    monkeypatch.setattr(loop, "LONGEST_SILENCE", 0.0)
    training = make(log=10**6)
    training.run_until(Goal(images=30), StopRequest())
    assert [line[0] for line in training.listeners[0].lines] == [10, 20, 30]


def test_what_came_after_the_last_regular_line_is_logged_too(make):
    training = make(log=20)
    training.run_until(Goal(images=50), StopRequest())
    assert [line[0] for line in training.listeners[0].lines] == [20, 40, 50]
    lines = [line for line in stats(training) if "loss/generator/adversarial" in line]
    assert [line["images"] for line in lines] == [20, 40, 50]
    assert all(line["time/images_per_second"] > 0 for line in lines)
    assert all(0 <= line["time/data_wait"] <= 1 for line in lines)
    assert ["grad/generator" in line for line in lines] == [True, True, False]


def test_how_long_it_will_take_is_said_at_the_first_line_and_not_at_the_end(make):
    long, short = make(log=10), make(log=10**6)
    for training in (long, short):
        training.run_until(Goal(images=50), StopRequest())
    first, last = (
        [text for kind, text in training.listeners[0].events if kind == "goal"] for training in (long, short)
    )
    assert len(first) == 1
    assert "images" in first[0]
    assert last == []  # its only line is the last


def test_a_logged_loss_is_the_mean_of_the_steps_and_a_gradient_norm_the_last(make):
    training = make(lr=1e-30, log=40, loss=lambda module, batch: (module.weight * batch["image"]).mean())
    with torch.no_grad():
        for player in training.system.players:
            player.module.weight.fill_(1.0)
    training.run_until(Goal(images=40), StopRequest())
    (line,) = [line for line in stats(training) if "loss/generator/adversarial" in line]
    assert line["loss/generator/adversarial"] == pytest.approx((0 + 0.1 + 0.2 + 0.3) / 4)
    assert line["grad/generator"] == pytest.approx(0.3)


def test_images_steps_and_seconds_whichever_comes_first():
    progress = Progress(images=50, step=5, seconds=1.0)
    assert Goal(images=100, steps=50).fraction(progress) == 0.5
    assert Goal(steps=5, seconds=10).fraction(progress) == 1
    assert Goal(seconds=4).fraction(progress) == 0.25


def test_k_steps_of_the_discriminator_see_k_batches_and_time_counts_them(make):
    training = make(steps=3)
    training.run_until(Goal(steps=2), StopRequest())
    assert training.progress.images == 60
    assert training.progress.drawn == {"discriminator": 60, "generator": 20}


def test_noise_is_new_in_every_turn_and_a_function_of_the_seed(make, tmp_path):
    def noise_of(seed):
        drawn = []

        def loss(module, batch):
            drawn.append(torch.rand(1).item())
            return module(batch["image"]).mean()

        make(loss=loss, steps=2, seed=seed).run_until(Goal(steps=5), StopRequest())
        (tmp_path / "run").rename(tmp_path / str(len(list(tmp_path.iterdir()))))
        return drawn

    first, again, other = noise_of(0), noise_of(0), noise_of(1)
    assert first == again
    assert len({*first, *other}) == 2 * 5 * 3


def test_what_is_said_of_a_sample_stands_in_the_line_of_its_moment(make):
    training = make(sample=20)
    training.write_samples = lambda network, images: {"growth/level": 2 + images / 100}
    training.run_until(Goal(images=50), StopRequest())
    said = {line["images"]: line["growth/level"] for line in stats(training) if "growth/level" in line}
    assert said == pytest.approx({0: 2.0, 10: 2.1, 20: 2.2, 40: 2.4, 50: 2.5})


def test_the_system_says_how_large_the_next_batch_is_and_time_counts_it(make):
    training, sizes = make(), []
    training.system.batch = lambda images: 4 if images < 8 else 16
    training.system.players[1].losses = lambda batch: (
        {"adversarial": training.system.players[1].module(batch["image"]).mean()},
        {"size": sizes.append(len(batch["image"])) or torch.zeros(())},
    )
    training.run_until(Goal(images=40), StopRequest())
    assert sizes == [4, 4, 16, 16]
    assert training.progress.images == 40
    assert training.progress.drawn == {"discriminator": 40, "generator": 40}


def test_schedules_are_told_the_images_seen(make):
    training, told = make(), []
    training.system.players[1].schedule = lambda images: told.append(images) or [{}]
    training.run_until(Goal(images=30), StopRequest())
    assert told == [0, 10, 20]


@pytest.mark.parametrize(("higher", "best"), [(True, 30), (False, 20)])
def test_the_best_checkpoint_is_that_with_the_best_score(make, higher, best):
    """Scores of the checkpoints at 10, 20, 30 and 40 images: 5, 1, 7 and nothing that is a number."""
    training, scores = make(checkpoint=10, clock=Clock()), iter([5.0, 1.0, 7.0, math.nan])
    measured = {"made_by": {"extractor": "test"}, "floor": {"eval/fd": 0.5}}
    training.scorer = Scorer(lambda network, images: ({"eval/fd": next(scores)}, measured), "eval/fd", higher)
    training.run_until(Goal(images=40), StopRequest())
    assert best_checkpoint(training.run.checkpoints).name == f"{best:09d}"
    lines = list(read_lines(training.run.path / "evaluation.jsonl"))
    assert [(line["images"], line["eval/fd"]) for line in lines] == [(10, 5.0), (20, 1.0), (30, 7.0), (40, None)]
    assert lines[0]["made_by"] == {"extractor": "test"}
    assert training.best == {"images": best, "name": "eval/fd", "score": 7.0 if higher else 1.0}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def scored(training):
    return [line["images"] for line in read_lines(training.run.path / "evaluation.jsonl")]


def test_a_checkpoint_is_saved_before_it_is_scored(make):
    training, there = make(checkpoint=20), []

    def measure(network, images):
        there.append(list_checkpoints(training.run.checkpoints)[0].name)
        return {"eval/fd": 1.0}, {}

    training.scorer = Scorer(measure, "eval/fd", False)
    training.run_until(Goal(images=40), StopRequest())
    assert there == ["000000020", "000000040"]


@pytest.mark.parametrize("error", [ValueError("6x6 pixels"), ZerosumError("gone"), MemoryError(), KeyError("eval/fd")])
def test_a_score_that_fails_is_a_warning_and_the_checkpoints_are_kept(make, error):
    def measure(network, images):
        raise error

    training = make(checkpoint=10)
    training.scorer = Scorer(measure, "eval/fd", False)
    assert training.run_until(Goal(images=30), StopRequest()) == "done"
    assert list_checkpoints(training.run.checkpoints)[0].name == "000000030"
    assert best_checkpoint(training.run.checkpoints) is None
    texts = [text for kind, text in training.listeners[0].events if kind == "warning"]
    assert texts
    assert all(text.startswith("This checkpoint has no score: ") for text in texts)


@pytest.mark.parametrize("what", ["write_samples", "finalize"])
def test_a_picture_that_fails_is_a_warning_whatever_it_raises(make, what):
    def fails(*arguments):
        raise RuntimeError("no such font\nand so on")

    training = make()
    setattr(training, what, fails)
    assert training.run_until(Goal(images=30), StopRequest()) == "done"
    texts = [text for kind, text in training.listeners[0].events if kind == "warning"]
    assert len(texts) == 2
    assert all(text.endswith("RuntimeError: no such font") for text in texts)
    assert list_checkpoints(training.run.checkpoints)[0].name == "000000030"


def test_divergence_is_no_warning_wherever_it_is_found(make):
    def diverges(*arguments):
        raise DivergedError("nan")

    training = make()
    training.write_samples = diverges
    with pytest.raises(DivergedError):
        training.run_until(Goal(images=30), StopRequest())


def test_a_listener_that_fails_ends_nothing_and_the_others_are_told(make):
    class Fails:
        def scalars(self, *line):
            raise OSError(5, "Input/output error")

        def event(self, kind, text):
            raise RuntimeError("the terminal is closed")

    training = make()
    training.listeners.insert(0, Fails())
    assert training.run_until(Goal(images=40), StopRequest()) == "done"
    assert [line[0] for line in training.listeners[1].lines] == [20, 40]
    told = [line for line in read_lines(training.run.path / "events.jsonl") if "Fails" in line["text"]]
    assert len(told) == 1
    assert told[0]["kind"] == "warning"


def killed_at(training, moment, monkeypatch):
    """End the training as a kill would, at a moment of its second checkpoint, which is the best."""
    scores = iter([5.0, 1.0])

    def dies(*arguments):
        raise KeyboardInterrupt

    def measure(network, images):
        if images == 20 and moment == "before the score":
            dies()
        score = next(scores)
        if images == 20 and moment == "before the mark":
            monkeypatch.setattr(loop, "mark_best", dies)
        return {"eval/fd": score}, {}

    training.scorer = Scorer(measure, "eval/fd", False)
    if moment == "after the mark":
        training.next_batch = lambda player, position, count, draw=training.next_batch: (
            dies() if training.progress.images == 20 else draw(player, position, count)
        )
    with pytest.raises(KeyboardInterrupt):
        training.run_until(Goal(images=100), StopRequest())
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("moment", "best"), [("before the score", 10), ("before the mark", 20), ("after the mark", 20)]
)
def test_a_run_killed_around_its_best_score_goes_on_with_the_right_best(make, monkeypatch, moment, best):
    first = make(checkpoint=10, clock=Clock())
    killed_at(first, moment, monkeypatch)
    again = make(checkpoint=10, clock=Clock())
    later = iter([4.0, 3.0, 2.0])  # better than the first, worse than the second
    again.scorer = Scorer(lambda network, images: ({"eval/fd": next(later)}, {}), "eval/fd", False)
    again.restore()
    assert again.best == {"images": best, "name": "eval/fd", "score": 5.0 if best == 10 else 1.0}
    again.run_until(Goal(images=50), StopRequest())
    assert best_checkpoint(again.run.checkpoints).name == f"{50 if best == 10 else 20:09d}"
    assert len(list_checkpoints(again.run.checkpoints)) == (2 if best == 10 else 3)


def test_a_checkpoint_that_could_not_be_marked_is_not_the_best(make, monkeypatch):
    """It may be pruned, so that a later one which is worse than it must be marked."""
    mark, scores = loop.mark_best, iter([5.0, 1.0, 3.0, 4.0])

    def full_for_a_while(folder, images):
        if images == 20:
            raise OSError(28, "No space left on device")
        mark(folder, images)

    monkeypatch.setattr(loop, "mark_best", full_for_a_while)
    training = make(checkpoint=10, clock=Clock())
    training.scorer = Scorer(lambda network, images: ({"eval/fd": next(scores)}, {}), "eval/fd", False)
    training.run_until(Goal(images=40), StopRequest())
    assert training.best == {"images": 30, "name": "eval/fd", "score": 3.0}
    assert best_checkpoint(training.run.checkpoints).name == "000000030"


def test_a_checkpoint_without_a_score_is_scored_though_earlier_ones_were(make):
    first = make(checkpoint=10, clock=Clock())
    first.scorer = Scorer(lambda network, images: ({"eval/fd": float(images)}, {}), "eval/fd", False)
    first.run_until(Goal(images=20), StopRequest())
    again = make(checkpoint=10, clock=Clock())
    again.scorer = first.scorer
    again.restore()
    assert not again.lacks_score()
    again.scorer = None
    again.run_until(Goal(images=30), StopRequest())
    third = make(checkpoint=10)
    third.scorer = first.scorer
    third.restore()
    assert third.lacks_score()


def test_what_the_watch_finds_is_a_warning_with_its_advice(make):
    training = make(log=10)
    finding = Finding("mode-collapse", "All samples are alike.", "Take another seed.")
    training.watch.see = lambda images, values: [finding] if images == 20 else []
    training.run_until(Goal(images=30), StopRequest())
    assert training.listeners[0].events.count(("warning", "All samples are alike. Take another seed.")) == 1


def test_a_best_checkpoint_that_is_gone_is_no_longer_the_best(make):
    first = make(checkpoint=10, clock=Clock())
    first.scorer = Scorer(lambda network, images: ({"eval/fd": float(images)}, {}), "eval/fd", False)
    first.run_until(Goal(images=40), StopRequest())
    shutil.rmtree(first.run.checkpoints / "000000010")
    again = make(checkpoint=10)
    again.scorer = first.scorer
    again.restore()
    assert again.best == {"images": 30, "name": "eval/fd", "score": 30.0}


def test_scores_take_a_share_of_the_time_and_the_last_checkpoint_is_always_scored(make):
    """A step takes one second and a score ten: after one, none is due for 200 seconds."""
    clock = Clock()
    training = make(checkpoint=50, clock=clock)
    draw = training.next_batch

    def drawing(player, position, count):
        clock.now += 0.5  # of two players
        return draw(player, position, count)

    def measure(network, images):
        clock.now += 10
        return {"eval/fd": 1.0}, {}

    training.next_batch = drawing
    training.scorer = Scorer(measure, "eval/fd", False)
    training.run_until(Goal(images=5020), StopRequest())
    assert scored(training) == [50, 2050, 4050, 5020]
    assert training.progress.seconds == pytest.approx(502)


def test_the_last_checkpoint_is_scored_also_where_it_was_saved_as_a_regular_one(make):
    clock = Clock()
    training = make(checkpoint=10, clock=clock)

    def measure(network, images):
        clock.now += 10
        return {"eval/fd": 1.0}, {}

    training.scorer = Scorer(measure, "eval/fd", False)
    training.run_until(Goal(images=40), StopRequest())
    assert scored(training) == [10, 40]


def test_minutes_are_of_training_and_not_of_samples_checkpoints_and_scores(make):
    clock = Clock()
    training = make(checkpoint=20, sample=20, clock=clock)
    draw = training.next_batch

    def drawing(player, position, count):
        clock.now += 0.5
        return draw(player, position, count)

    def slow(network, images):
        clock.now += 1000
        return {}

    training.next_batch, training.write_samples, training.finalize = drawing, slow, lambda network: slow(network, 0)
    training.scorer = Scorer(lambda network, images: (slow(network, images) | {"eval/fd": 1.0}, {}), "eval/fd", False)
    training.run_until(Goal(seconds=8), StopRequest())
    assert training.progress.step == 8
    rates = [line["time/images_per_second"] for line in stats(training) if "time/images_per_second" in line]
    assert set(rates) == {10.0}


def test_a_score_changes_nothing_in_training(make, tmp_path):
    """Not even one that draws from the global stream."""

    def weights(scorer):
        training = make(checkpoint=10)
        training.scorer = scorer
        training.run_until(Goal(images=100), StopRequest())
        (tmp_path / "run").rename(tmp_path / str(len(list(tmp_path.iterdir()))))
        return torch.cat([p.detach().flatten() for x in training.system.players for p in x.module.parameters()])

    scorer = Scorer(lambda network, images: ({"eval/fd": float(torch.rand(7).sum())}, {}), "eval/fd", False)
    assert torch.equal(weights(None), weights(scorer))


def test_who_stops_a_run_waits_for_no_scores(make):
    training, stop = make(), StopRequest()
    training.scorer = Scorer(lambda network, images: pytest.fail("scored"), "eval/fd", True)
    stop.signal = "SIGTERM"
    assert training.run_until(Goal(images=40), stop) == "stopped"


def test_a_resumed_run_remembers_its_best_and_forgets_later_scores(make, tmp_path):
    first = make(checkpoint=10, clock=Clock())
    first.scorer = Scorer(lambda network, images: ({"eval/fd": float(first.progress.images)}, {}), "eval/fd", False)
    first.run_until(Goal(images=20), StopRequest())
    first.run.unlock()
    first.run.add_scores(30, {"eval/fd": 1.0}, {})
    again = make(checkpoint=10)
    again.restore()
    assert again.best == {"images": 10, "name": "eval/fd", "score": 10.0}
    again.run_until(Goal(images=30), StopRequest())
    assert best_checkpoint(again.run.checkpoints).name == "000000010"
    assert [line["images"] for line in read_lines(again.run.path / "evaluation.jsonl")] == [10, 20]


def test_the_average_is_told_how_many_images_each_step_was(make):
    training, told = make(steps=2), []
    training.ema.update = lambda network, images, seen, half_life: told.append(
        (network is training.system.network, images, seen)
    )
    training.run_until(Goal(images=60), StopRequest())
    assert told == [(True, 20, 20), (True, 20, 40), (True, 20, 60)]


def test_a_statistic_that_is_not_finite_is_not_saved(make):
    """Of batch norm, say: no loss shows it, and the network in use is broken."""
    training = make()
    generator = training.system.players[1]
    generator.module.register_buffer("mean", torch.zeros(1))
    generator.after_step = lambda: generator.module.mean.fill_(float("inf"))
    training.ema.average.register_buffer("mean", torch.zeros(1))
    with pytest.raises(DivergedError, match="a weight of the generator"):
        training.run_until(Goal(images=10), StopRequest())


def test_a_weight_that_is_not_finite_is_not_saved(make):
    """The losses were taken before the step that broke it, and are fine."""
    training = make()
    generator = training.system.players[1]
    generator.after_step = lambda: generator.module.weight.data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="a weight of the generator"):
        training.run_until(Goal(images=10), StopRequest())
    assert list_checkpoints(training.run.checkpoints)[0].name == "000000000"


def test_resumed_time_goes_on_and_lines_after_the_checkpoint_are_dropped(make):
    first = make()
    first.progress.seconds = 100.0
    first.run_until(Goal(images=40), StopRequest())
    first.run.add_stats({"images": 999, "seconds": 1.0})  # as if killed there
    again = make()
    again.restore()
    again.run_until(Goal(images=60), StopRequest())
    assert again.progress.seconds > 100
    assert 999 not in [line["images"] for line in stats(again)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_holds_inside_a_turn(make, precision):
    seen = []

    def loss(module, batch):
        seen.append(torch.is_autocast_enabled("cpu"))
        return module(batch["image"]).float().mean()

    training = make(loss=loss)
    training.precision = precision
    training.run_until(Goal(images=10), StopRequest())
    assert seen == [precision == "bf16"] * 2


def test_time_left_is_in_proportion(make):
    training = make()
    left = []
    training.listeners[0].scalars = lambda images, step, values, fraction, seconds: left.append((images, seconds))
    training.run_until(Goal(images=80), StopRequest())
    seconds = {line["images"]: line["seconds"] for line in stats(training)}
    assert left == [(i, pytest.approx(seconds[i] * (80 - i) / i, abs=0.01)) for i in (20, 40, 60, 80)]


def test_a_moment_that_was_saved_is_not_saved_again(make, monkeypatch):
    import zerosum.engine.loop as loop

    saved = []
    real = loop.save_checkpoint
    monkeypatch.setattr(
        loop,
        "save_checkpoint",
        lambda folder, images, *rest, **more: (saved.append(images), real(folder, images, *rest, **more))[1],
    )
    make(checkpoint=30).run_until(Goal(images=60), StopRequest())
    assert saved == [0, 30, 60]


def test_a_checkpoint_is_also_written_when_time_is_up(make):
    training = make(seconds=0.0)
    training.run_until(Goal(images=30), StopRequest())
    assert kinds(training).count("checkpoint") == 4


def test_a_request_to_stop_saves_without_a_sample(make):
    training, stop = make(), StopRequest()
    training.next_batch = lambda player, position, count: (
        setattr(stop, "signal", "SIGTERM"),
        {"image": torch.ones(BATCH, 1)},
    )[1]
    assert training.run_until(Goal(images=1000), stop) == "stopped"
    assert training.progress.images == BATCH
    assert training.sampled == [0]
    assert kinds(training)[-2:] == ["signal", "checkpoint"]


def test_resumed_from_any_moment_it_ends_with_the_same_numbers(make, tmp_path):
    whole = make()
    whole.run_until(Goal(images=100), StopRequest())
    expected = [p.clone() for player in whole.system.players for p in player.module.parameters()]
    average = [p.clone() for p in whole.ema.average.parameters()]
    (tmp_path / "run").rename(tmp_path / "whole")
    make().run_until(Goal(images=40), StopRequest())
    again = make()
    again.restore()
    again.run_until(Goal(images=100), StopRequest())
    assert again.progress.step == 10
    assert all(
        torch.equal(a, b)
        for a, b in zip(expected, [p for x in again.system.players for p in x.module.parameters()], strict=True)
    )
    assert all(torch.equal(a, b) for a, b in zip(average, again.ema.average.parameters(), strict=True))
    assert again.sampled == [100]
    assert [line["images"] for line in stats(again)].count(0) == 1


def test_restoring_leaves_the_folder_as_it_was(make):
    make().run_until(Goal(images=40), StopRequest())
    training = make()
    before = {file: file.read_bytes() for file in training.run.path.rglob("*") if file.is_file()}
    training.restore()
    assert {file: file.read_bytes() for file in training.run.path.rglob("*") if file.is_file()} == before
    assert training.watch.state()["images"]["health/diversity"] == 40


def test_a_checkpoint_of_other_networks_is_refused(make):
    make().run_until(Goal(images=40), StopRequest())
    training = make()
    training.system.players[0].module = nn.Linear(2, 2)
    with pytest.raises(DataError, match=r"does not fit .*config\.yaml"):
        training.restore()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_it_and_the_good_checkpoint_stays(make, bad):
    def loss(module, batch):
        return module(batch["image"]).mean() * (bad if batch["images_seen"] >= 60 else 1)

    training = make(loss=loss, checkpoint=30)
    with pytest.raises(DivergedError, match=r"not finite|is nan|is inf"):
        training.run_until(Goal(images=1000), StopRequest())
    assert kinds(training)[-1] == "diverged"
    assert list_checkpoints(training.run.checkpoints)[0].name == "000000060"


def failing(monkeypatch, times):
    import zerosum.engine.loop as loop

    real, left = loop.save_checkpoint, [times]

    def save(folder, images, *rest, **more):
        if images and left[0]:
            left[0] -= 1
            with plain_disk_errors(folder):
                raise OSError(28, "No space left on device")
        return real(folder, images, *rest, **more)

    monkeypatch.setattr(loop, "save_checkpoint", save)


def test_a_disk_that_is_full_for_a_while_is_a_warning(make, monkeypatch):
    failing(monkeypatch, WRITE_ATTEMPTS - 1)
    training = make(checkpoint=10)
    assert training.run_until(Goal(images=50), StopRequest()) == "done"
    assert kinds(training).count("warning") == WRITE_ATTEMPTS - 1
    assert training._failed_writes == 0
    assert list_checkpoints(training.run.checkpoints)[0].name == "000000050"


def test_a_disk_that_stays_full_ends_it(make, monkeypatch):
    failing(monkeypatch, WRITE_ATTEMPTS)
    training = make(checkpoint=10)
    with pytest.raises(ZerosumError, match="No space left"):
        training.run_until(Goal(images=100), StopRequest())
    assert training.progress.images == 10 * WRITE_ATTEMPTS


@pytest.mark.parametrize("error", [ZerosumError("full"), OSError(5, "Input/output error")], ids=str)
def test_pictures_and_lines_that_cannot_be_written_are_warnings(make, monkeypatch, error):
    def fails(*args, **more):
        raise error

    training = make()
    training.write_samples = fails
    monkeypatch.setattr(training.run, "add_stats", fails)
    monkeypatch.setattr(training.run, "add_event", fails)
    assert training.run_until(Goal(images=40), StopRequest()) == "done"
    assert "warning" in kinds(training)


def test_a_second_signal_inside_a_checkpoint_leaves_the_one_before(make, monkeypatch):
    training = make()
    training.run_until(Goal(images=20), StopRequest())
    real = torch.save

    def interrupted(state, path):
        real(state, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        training.run_until(Goal(images=40), StopRequest())
    monkeypatch.undo()
    assert list_checkpoints(training.run.checkpoints)[0].name == "000000020"
    assert not list(training.run.checkpoints.glob(".*.tmp"))


def test_under_a_goal_in_seconds_schedules_get_the_share_of_the_time(make):
    """Of a clock that ticks once each time it is read; the share never falls, and does not pass 1."""
    ticks, told, asked = iter(range(10**6)), [], []
    training = make(clock=lambda: float(next(ticks)), progress_of=lambda images, share: asked.append(share) or 7)
    training.system.players[1].schedule = lambda clock: told.append(clock) or [{}]
    training.run_until(Goal(seconds=40.0), StopRequest())
    assert set(told) == {7}
    assert asked[0] == 0
    assert asked == sorted(asked)
    assert 0.5 < asked[-1] < 1
    assert len(set(asked)) == training.progress.step  # both players of a step are at the same moment


def test_a_given_half_life_takes_the_place_of_the_ramp(make):
    training, told = make(), []
    training.system.half_life = lambda clock: told.append(clock) or 0.0
    training.run_until(Goal(images=30), StopRequest())
    assert told == [0, 10, 20]
    network, average = (module.state_dict() for module in (training.system.network, training.ema.average))
    assert all(torch.equal(network[name], average[name]) for name in network)
