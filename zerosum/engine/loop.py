"""The training loop: time in images, log lines, samples, checkpoints, stopping."""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from signal import Signals
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zerosum.engine.autotune.conv_gemm import by_gemm
from zerosum.engine.division import Division, joined_rows, shares_parameters
from zerosum.engine.ema import Ema
from zerosum.engine.goal import Goal, Progress
from zerosum.engine.norms import warm_up_statistics
from zerosum.engine.pace import pace_text
from zerosum.engine.players import Batch, Player, System
from zerosum.engine.schedule import due, due_for_sample
from zerosum.engine.scorer import Scorer
from zerosum.engine.step import WHOLE, seeded_in, training_step
from zerosum.engine.stopping import StopRequest
from zerosum.engine.time_budget import TimeBudget
from zerosum.engine.validate_state import load_player, validate_state
from zerosum.engine.watch import Finding, Watch
from zerosum.runs.checkpoint import (
    best_checkpoint,
    list_checkpoints,
    load_model,
    load_state,
    mark_best,
    newest_intact,
    save_checkpoint,
)
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.utils.errors import DataError, DivergedError, ZerosumError, error_text
from zerosum.utils.weights import not_finite

LONGEST_SILENCE = 20.0
"""Maximum seconds between two log lines, whatever `every.log` says: training may be as slow as an image a second."""

WRITE_ATTEMPTS = 3
"""Training ends when this many checkpoints in a row cannot be written; a temporarily full disk is not fatal."""

SCORING = 0.05
"""Maximum share of the time for scores at checkpoints; the last checkpoint is always scored."""


class Listener(Protocol):
    """A display of training progress."""

    def scalars(
        self, images: int, step: int, values: dict[str, float], fraction: float, seconds_left: float | None
    ) -> None:
        """One log line: values by name, and progress as a fraction of the goal, 0 to 1."""

    def event(self, kind: str, text: str) -> None:
        """An event: a checkpoint, a warning, a signal, the end."""


@dataclass(frozen=True)
class Cadence:
    """Intervals in images of logging, sampling and saving, and the maximum seconds between two checkpoints."""

    log: int
    sample: int
    checkpoint: int
    checkpoint_seconds: float


class Training:
    """A system in training: its progress, moving average and run folder.

    next_batch(player, position, count) returns the player's next `count` images from its position in the stream of
    images; a pure function.
    write_samples(network, images) writes a sample sheet of the averaged network and returns scalars to log.
    scorer scores the averaged network at checkpoints, for at most the share SCORING of the time; None disables scores
    and the best checkpoint. Whether a checkpoint is scored depends on time; the weights do not depend on it.
    finalize completes the averaged network from the data before each checkpoint (`Hooks.finalize_checkpoint`).
    Errors of samples, scores, `finalize` and listeners are warnings and do not end the run.
    batch: batch size, unless the system sets it.
    conv_gemm: the convolutions that run as matrix products (engine.autotune.conv_gemm).
    clock: monotonic seconds.
    pace(images a second of the steps alone) is called at each log line; a non-empty return value is a warning.
    progress_of(images seen, elapsed share of the goal's seconds) is the argument of schedules; None: the images seen.
    division: the micro-batches of a batch, and the processes that compute them. The first process alone writes, scores
    and measures time; the others need neither samples nor a scorer.
    """

    def __init__(
        self,
        system: System,
        run: RunFolder,
        next_batch: Callable[[Player, int, int], Batch],
        write_samples: Callable[[nn.Module, int], dict[str, float]],
        *,
        batch: int,
        seed: int,
        cadence: Cadence,
        ema_half_life: float,
        device: torch.device,
        precision: str,
        metadata: dict[str, str],
        listeners: list[Listener],
        scorer: Scorer | None = None,
        finalize: Callable[[nn.Module], None] | None = None,
        conv_gemm: Mapping[str, int] | None = None,
        watch: Watch | None = None,
        clock: Callable[[], float] = time.perf_counter,
        pace: Callable[[float], str] | None = None,
        progress_of: Callable[[int, float], int] | None = None,
        division: Division = WHOLE,
    ) -> None:
        self.system, self.run, self.next_batch, self.write_samples = system, run, next_batch, write_samples
        self.batch, self.seed, self.cadence, self.device, self.precision = batch, seed, cadence, device, precision
        self.metadata, self.listeners, self.scorer, self.finalize = metadata, listeners, scorer, finalize
        self.conv_gemm, self.pace = conv_gemm or {}, pace
        self.division, self.processes, self.writes = division, division.processes, division.processes.first
        self._repeat_joint = not shares_parameters(system.network, system.players[0].module)
        self.progress_of, self.goal = progress_of, Goal()
        self.ema = Ema(system.network, ema_half_life)
        self.best: dict[str, Any] | None = None  # {"images", "name", "score"} of the best checkpoint
        self._warming_up = True
        self.progress = Progress(drawn={player.name: 0 for player in system.players})
        self.watch = watch or Watch()
        self._totals: dict[str, Tensor] = {}
        self._steps_in_totals = 0
        self._pace_reported = self._silent = False
        self._stopped_by: str | None = None
        self._wait = 0.0
        self._clock = clock
        self._logged_images, self._logged_seconds, self._logged_at = 0, 0.0, 0.0
        self._failed_writes = 0
        self._failed_listeners: set[int] = set()
        self._scoring = TimeBudget(SCORING, clock)
        self._sampled_at = self._saved_at = self._scored_at = self._restored_at = -1  # images seen; -1: not yet

    def run_until(self, goal: Goal, stop: StopRequest) -> str:
        """Train until the goal is reached ("done") or a signal requests a stop ("stopped"). Both end with a checkpoint,
        and a new run starts with one, so that it can be resumed and sampled whenever it is killed.

        Raises DivergedError when a loss or a weight is not finite; the last good checkpoint is then the newest."""
        self.goal = goal
        self._share_state()
        self._begin()
        saved_at = self._logged_at = self._clock()
        self._logged_images, self._logged_seconds = self.progress.images, self.progress.seconds
        while self._goes_on(goal, stop):
            before = self.progress.images
            logging = self._silent or due(before, before + self._images_a_step(), self.cadence.log)
            with self._timed():
                self._step(gradient_norms=logging)
            self.watch.length = goal.length(self.progress)
            if logging:
                with self._timed():  # waits for the device
                    self._log(goal)
            if due_for_sample(before, self.progress.images, self.cadence.sample):
                self._sample()
            by_count = due(before, self.progress.images, self.cadence.checkpoint)
            if by_count or self._clock() - saved_at > self.cadence.checkpoint_seconds:
                self.save()
                saved_at = self._clock()
        if self._stopped_by is not None:
            self.event("signal", f"{self._stopped_by} received: saving and stopping.")
        else:
            if self._steps_in_totals:  # steps since the last line: possibly all of a short run
                self._log(goal)
            if self._sampled_at != self.progress.images:
                self._sample()
        self.save(needed=True, scored=self._stopped_by is None)  # scores are skipped on interrupt
        if self._stopped_by is None:
            self._report(self.watch.conclude(self.progress.images))
        return "stopped" if self._stopped_by is not None else "done"

    def _goes_on(self, goal: Goal, stop: StopRequest) -> bool:
        """Whether there is a next step. Every process decides alike: by the clock of the first, and by a signal that
        any of them got; one that comes meanwhile is for the next time."""
        caught, silent = stop.signal, self._clock() - self._logged_at > LONGEST_SILENCE
        if self.processes.size > 1:
            number = 0 if caught is None else Signals[caught].value
            of_first = (self.progress.seconds, silent) if self.writes else (0.0, False)
            self.progress.seconds, late, latest = self.processes.agree([*of_first, number])
            caught, silent = Signals(int(latest)).name if latest else None, bool(late)
        self._silent, self._stopped_by = silent, caught
        return goal.fraction(self.progress) < 1 and caught is None

    def _share_state(self) -> None:
        """Give every process the state of the first."""
        if self.processes.size == 1:
            return
        content = io.BytesIO()
        if self.writes:
            torch.save(self._state() | {"model": self.ema.average.state_dict()}, content)
        content = io.BytesIO(self.processes.send(content.getvalue()))
        if self.writes:
            return
        state = torch.load(content, weights_only=True)
        self.ema.average.load_state_dict(state["model"])
        for player in self.system.players:
            load_player(player, state["players"][player.name])
        self.progress = Progress(**state["progress"])

    def restore(self) -> None:
        """Load the newest intact checkpoint of the run folder. The folder does not change until training continues.

        Raises DataError when there is none, or when it does not match the networks of `config.yaml`."""
        path = newest_intact(self.run.checkpoints, lambda text: self.event("warning", text))
        state = load_state(path)
        scores = list(read_lines(self.run.path / "evaluation.jsonl")) if self.scorer is not None else []
        try:
            self.ema.average.load_state_dict(load_model(path))
            for player in self.system.players:
                load_player(player, state["players"][player.name])
            validate_state(state, self.system.players)
            self.progress = Progress(**state["progress"])
            self.watch.restore(state["watch"])
            self.best = self._best_of(state.get("best"), scores)  # runs of older versions have none
            self._replay_scores(scores)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            what = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
            raise DataError(
                f"{path} does not fit {self.run.config_file}, which may have been edited: {what}"
            ) from error
        images = self._sampled_at = self._saved_at = self._restored_at = self.progress.images
        if any(line.get("images") == images and "kind" not in line for line in scores):  # kind: of `zerosum evaluate`
            self._scored_at = images

    def lacks_score(self) -> bool:
        """Whether the restored checkpoint has no score, or the best one is not marked, as after a kill."""
        if self.scorer is None:
            return False
        if self._scored_at != self.progress.images:
            return True
        marked = best_checkpoint(self.run.checkpoints)
        return self.best is not None and (marked is None or int(marked.name) != self.best["images"])

    def _begin(self) -> None:
        if not self.writes:
            return
        if self._restored_at < 0:
            self._sample()
            self.save(needed=True, scored=False)  # an untrained network is not scored
            return
        self.run.forget_after(self._restored_at)
        if self.best is not None and self.scorer is not None:
            self._mark_best(self.best["images"])  # again, if the run was killed between a score and the mark
        self.event("resume", f"Going on from {self._restored_at:,} images seen.")

    def save(self, needed: bool = False, scored: bool = True) -> None:
        """Write a checkpoint, unless there is one of this time; then score it, and mark it as best if its score is the
        best so far.

        A failure to write is only a warning, so that a temporarily full disk does not end a run, unless this checkpoint
        is needed (the first and the last) or is the third in a row to fail. needed: score it whatever time that takes.
        scored: whether to score it at all."""
        if not self.writes:
            return
        images = self.progress.images
        name = self._write(needed) if self._saved_at != images else ""
        scoring = scored and self.scorer is not None and self._saved_at == images != self._scored_at
        is_best = scoring and (needed or self._scoring.due()) and self._score()
        if name:  # after scoring, so that a report has its score
            self.event("checkpoint", f"Saved {name}{', the best so far' if is_best else ''}.")

    def _write(self, needed: bool) -> str:
        """Write a checkpoint. Returns its name, or an empty string after a tolerated failure."""
        self._check_weights()
        if self.finalize is not None:
            with self._warning("The network was not completed from the data for this checkpoint"):
                self.finalize(self.ema.average)
        state = self._state()
        images, model = self.progress.images, self.ema.average.state_dict()
        try:
            self.run.refuse_moved()
            path = save_checkpoint(self.run.checkpoints, images, model, state, self.metadata)
        except (ZerosumError, OSError) as error:
            self._failed_writes += 1
            if needed or self._failed_writes == WRITE_ATTEMPTS:
                raise
            self.event("warning", str(error))
            return ""
        self._failed_writes, self._saved_at = 0, images
        return path.name

    def _state(self) -> dict[str, Any]:
        """What training continues from, but for the averaged network."""
        return {
            "players": {
                player.name: {"module": player.module.state_dict(), "optimizer": player.optimizer.state_dict()}
                for player in self.system.players
            },
            "progress": asdict(self.progress),
            "watch": self.watch.state(),
            "best": self.best,
        }

    def _images_a_step(self) -> int:
        return self._batch() * (1 if self.system.simultaneous else self.system.players[0].steps)

    def _batch(self) -> int:
        return self.batch if self.system.batch is None else self.system.batch(self.progress.images)

    def time(self) -> int:
        """The current argument of schedules (`players.clock_of`)."""
        if self.progress_of is None or self.goal.seconds is None:
            return self.progress.images
        return self.progress_of(self.progress.images, min(1.0, self.progress.seconds / self.goal.seconds))

    def _step(self, gradient_norms: bool) -> None:
        system = self.system
        half_life = None if system.half_life is None else system.half_life(self.time())
        self._warming_up = self._warming_up and warm_up_statistics(system.network)
        with by_gemm(self.conv_gemm, self.precision):
            report = training_step(
                system.players,
                self._next_batch,
                self._turn,
                system.simultaneous,
                gradient_norms,
                system.joint_forward,
                self.division,
                self._repeat_joint,
            )
        seen = self._images_a_step()
        self.progress.images += seen
        self.progress.step += 1
        if self.writes:
            self.ema.update(self.system.network, seen, self.progress.images, half_life)
        for name, value in report.items():
            self._totals[name] = self._totals[name] + value if name in self._totals else value
        self._steps_in_totals += 1

    def _next_batch(self, player: Player) -> Batch:
        started = self._clock()
        count = self._batch()
        position, rows = self.progress.drawn[player.name], count // self.division.count
        parts = [self.next_batch(player, position + index * rows, rows) for index in self.division.own]
        batch = parts[0] if len(parts) == 1 else joined_rows(parts)
        batch["images_seen"], batch["step"] = self.progress.images, self.progress.step
        batch["clock"] = self.time()
        self.progress.drawn[player.name] += count
        self._wait += self._clock() - started
        return batch

    def _turn(self, player: Player, i: int) -> AbstractContextManager[None]:
        return seeded_in(self.device, self.precision, "turn", self.seed, self.progress.step, player.name, i)

    def _log(self, goal: Goal) -> None:
        seconds = max(self.progress.seconds - self._logged_seconds, 1e-9)
        rate = (self.progress.images - self._logged_images) / seconds
        timing = {"time/images_per_second": rate, "time/data_wait": self._wait / seconds}
        names = list(self._totals)
        steps = torch.tensor([1 if name.startswith("grad/") else self._steps_in_totals for name in names])
        means = torch.stack([self._totals[name].float() for name in names]).cpu() / steps  # the only device sync
        self.processes.add(means)
        means /= self.processes.size
        values = dict(zip(names, means.tolist(), strict=True)) | timing
        self._totals, self._steps_in_totals = {}, 0
        fraction = goal.fraction(self.progress)
        seconds_left = self.progress.seconds * (1 - fraction) / fraction if fraction > 0 else None
        self._write_stats(values)
        if not self._pace_reported and fraction < 1:
            self._report_pace(goal, rate)
        images, step = self.progress.images, self.progress.step
        self._notify(lambda listener: listener.scalars(images, step, values, min(fraction, 1.0), seconds_left))
        not_finite_names = [name for name, value in values.items() if not math.isfinite(value)]
        if not_finite_names:
            self._diverged(f"{not_finite_names[0]} is {values[not_finite_names[0]]}")
        self._warn(values)
        step_seconds = max(seconds - self._wait, 1e-9)
        if self.pace is not None and (text := self.pace((self.progress.images - self._logged_images) / step_seconds)):
            self.event("warning", text)
        self._logged_images, self._logged_seconds = self.progress.images, self.progress.seconds
        self._logged_at, self._wait = self._clock(), 0.0

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time of this block as training time."""
        started = self._clock()
        try:
            yield
        finally:
            self.progress.seconds += self._clock() - started

    @contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """Turn errors in this block into warnings that begin with `what`; training continues."""
        try:
            yield
        except DivergedError:
            raise
        except Exception as error:
            self.event("warning", f"{what}: {error_text(error)}")

    def _report_pace(self, goal: Goal, rate: float) -> None:
        """Report the expected duration, once, at the first log line."""
        self._pace_reported = True
        left = [] if goal.images is None else [goal.images - self.progress.images]
        left += [] if goal.steps is None else [(goal.steps - self.progress.step) * self._images_a_step()]
        seconds = None if goal.seconds is None else goal.seconds - self.progress.seconds
        if left or seconds is not None:
            self.event("goal", pace_text(rate, self.progress.images, min(left, default=None), seconds))

    def _sample(self) -> None:
        self._sampled_at = self.progress.images
        if not self.writes:
            return
        with self._warning("There is no sample of this moment"):
            self.run.refuse_moved()
            values = self.write_samples(self.ema.average, self.progress.images)
            self._write_stats(values)
            self._warn(values)

    def _score(self) -> bool:
        """Score the current checkpoint. Returns whether it is the best so far; it is then marked as best."""
        assert self.scorer is not None
        scorer, images = self.scorer, self.progress.images
        self._scored_at = images
        candidate = None
        with self._warning("This checkpoint has no score"), self._scoring.spent():
            values, provenance = scorer.measure(self.ema.average, images)
            candidate = scorer.candidate(images, values)
            self._report(self._findings_in(images, values | provenance))
            with self._warning("Its score was not written"):
                self.run.add_scores(images, values, provenance)
        if candidate is None or not scorer.better(candidate, self.best):
            return False
        if not self._mark_best(images):  # an unmarked checkpoint may be pruned, so the previous one stays the best
            return False
        self.best = candidate
        return True

    def _findings_in(self, images: int, scores: Mapping[str, Any]) -> list[Finding]:
        """The findings of the watch in the scores of a checkpoint; none if there is no floor for the leading score."""
        assert self.scorer is not None
        name = self.scorer.leading
        parts = (scores, scores.get("floor") or {}, scores.get("reference") or {})
        known = [float(part[name]) for part in parts if isinstance(part.get(name), int | float)]
        return self.watch.see_score(images, name, *known) if len(known) == len(parts) else []

    def _mark_best(self, images: int) -> bool:
        """Mark the checkpoint at `images` as best. Returns whether that could be written."""
        try:
            mark_best(self.run.checkpoints, images)
        except (ZerosumError, OSError) as error:
            self.event("warning", str(error))
            return False
        return True

    def _replay_scores(self, scores: Sequence[Mapping[str, Any]]) -> None:
        """Give the watch the scores that are newer than its saved state: a checkpoint is saved before it is scored.
        Their findings were reported at the time."""
        for line in scores:
            images = line.get("images")
            if isinstance(images, int) and self.watch.scored_until < images <= self.progress.images:
                self._findings_in(images, line)

    def _best_of(self, saved: dict[str, Any] | None, scores: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """The best of the scored checkpoints that still exist, from the score file (a checkpoint is saved before it is
        scored) and from the saved state."""
        if self.scorer is None:
            return saved
        name = self.scorer.leading
        known = [saved] if saved is not None and saved["name"] == name else []
        for line in scores:
            if isinstance(line.get("images"), int) and (one := self.scorer.candidate(line["images"], line)):
                known.append(one)
        existing = {int(path.name) for path in list_checkpoints(self.run.checkpoints)}
        best = None
        for one in sorted(known, key=lambda one: one["images"]):
            usable = one["images"] in existing and one["images"] <= self.progress.images
            if usable and self.scorer.better(one, best):
                best = one
        return best

    def _warn(self, values: dict[str, float]) -> None:
        self._report(self.watch.see(self.progress.images, values))

    def _report(self, findings: list[Finding]) -> None:
        for finding in findings:
            self.event("warning", finding.text, finding=finding.kind, advice=finding.advice)

    def _write_stats(self, values: dict[str, float]) -> None:
        if not self.writes:
            return
        progress = {
            "images": self.progress.images,
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 3),
        }
        try:
            self.run.add_stats(progress | values)
        except (ZerosumError, OSError) as error:
            text = str(error)
            self._notify(lambda listener: listener.event("warning", text))

    def event(self, kind: str, text: str, **more: Any) -> None:
        """Notify the listeners and write a line to `events.jsonl`."""
        if not self.writes:
            return
        message = text if "advice" not in more else f"{text} {more['advice']}"
        self._notify(lambda listener: listener.event(kind, message))
        try:
            self.run.add_event(kind, text, self.progress.images, **more)
        except (ZerosumError, OSError) as error:
            failure = str(error)
            self._notify(lambda listener: listener.event("warning", failure))

    def _notify(self, call: Callable[[Listener], None]) -> None:
        """Call every listener. A failing one does not end the run: its first failure is written to `events.jsonl`."""
        for listener in self.listeners:
            try:
                call(listener)
            except Exception as error:
                if id(listener) not in self._failed_listeners:
                    self._failed_listeners.add(id(listener))
                    text = f"{type(listener).__name__}, which shows how training goes, failed: {error_text(error)}"
                    with suppress(ZerosumError, OSError):
                        self.run.add_event("warning", text, self.progress.images)

    def _check_weights(self) -> None:
        for player in self.system.players:
            if not_finite(player.module.state_dict()):
                self._diverged(f"a weight of the {player.name} is not finite")
        if not_finite(self.ema.average.state_dict()):
            self._diverged("a weight of the moving average is not finite")

    def _diverged(self, what: str) -> None:
        text = (
            f"Training diverged after {self.progress.images:,} images: {what}. The last good checkpoint is kept. Train "
            "again, into another folder, at a lower learning rate or with another loss; resuming would end the same."
        )
        self.event("diverged", text)
        raise DivergedError(text)
