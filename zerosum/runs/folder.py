"""The run folder: the interface between training and everything that reads its results."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.files import (
    clear_unfinished,
    parse_json,
    plain_disk_errors,
    refuse_odd_name,
    write_atomic,
    write_json,
)
from zerosum.utils.threads import MOST_THREADS

TRAINED_ON = "trained_on.npy"
# Line files by content; names with a slash are scalars.
_TEXTS = frozenset(("kind", "text", "time", "finding", "advice"))
_BY_NAME = frozenset(("floor", "errors", "reference"))
_TABLES = frozenset(("made_by", "pictures", "baselines", "per_class", "per_value", "classes"))
SCHEMA = 1  # of config.yaml; newer schemas are refused


class Budget(BaseModel):
    """The goal of a run in `config.yaml`."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    images: PositiveInt | None = None
    steps: PositiveInt | None = None
    seconds: PositiveFloat | None = None


class RunConfig(BaseModel):
    """The required contents of `config.yaml` to resume or sample a run; settings and data are parsed by the recipe.

    Strict, since values are used without conversion: the text "7" is not a seed."""

    model_config = ConfigDict(strict=True)

    version: Literal[1] = Field(alias="schema")
    recipe: str
    source: str
    seed: int
    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16"]
    layout: Literal["contiguous", "channels_last"] = "channels_last"  # as in runs of older versions
    products: dict[str, int] = {}  # convolutions computed as matrix products, by engine/autotune/conv_gemm.py
    threads: int | None = Field(None, ge=1, le=MOST_THREADS)  # on the CPU; missing in runs of older versions
    budget: Budget
    schedule: Literal["images", "time"] = "images"  # the clock of schedules; missing in runs of older versions
    settings: dict[str, Any]
    data: dict[str, Any]


def layout_of(config: Mapping[str, Any]) -> str:
    """The memory format of a run; channels-last for runs of older versions, which do not store it."""
    layout: str = config.get("layout", "channels_last")
    return layout


def threads_of(run: "RunFolder", config: Mapping[str, Any]) -> int | None:
    """The number of threads that a run trains on. Runs of older versions do not store it; `env.json` has torch's number
    at their start. None if that is missing too."""
    threads = config.get("threads")
    if threads is None:
        with suppress(OSError, ValueError, LookupError, TypeError):
            threads = parse_json((run.path / "env.json").read_bytes())["hardware"]["threads"]
    return threads if isinstance(threads, int) and 1 <= threads <= MOST_THREADS else None


class RunFolder:
    """Paths and line files of one run: its config, environment, stats, events, samples and checkpoints."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: filelock.BaseFileLock | None = None

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> "RunFolder":
        """A new run folder, locked for this process.

        Raises ConfigError if `path` exists and contains anything other than leftovers of a killed process; it is then
        left unchanged."""
        run = cls(path)
        with plain_disk_errors(run.path):
            refuse_existing(run.path)
            run.path.mkdir(parents=True, exist_ok=True)
            run.lock()
            try:
                refuse_existing(run.path)  # another process may have created it in the meantime
                run.samples.mkdir(exist_ok=True)
                run.checkpoints.mkdir(exist_ok=True)
                write_json(run.path / "env.json", environment)
                run.write_config(config)  # last: a folder with a config.yaml is a run
            except BaseException:
                run.unlock()
                raise
        return run

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *ended: object) -> None:
        self.unlock()

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """The run at `path`. Raises ConfigError when there is none."""
        run = cls(path)
        if not run.path.exists():
            others = {one.parent.name: str(one.parent) for one in run.path.parent.glob("*/config.yaml")}
            near = [others[name] for name in get_close_matches(run.path.name, others, n=1)]
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(f"There is no {path}{hint}. Pass the folder of a run, given by --out of `zerosum train`.")
        if not run.config_file.is_file():
            raise ConfigError(f"{path} is not a run folder: it has no config.yaml. Pass the folder given by --out.")
        return run

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def lock(self) -> None:
        """Make this process the only one that trains here; the system releases the lock when the process ends in any
        way. Raises ZerosumError while another process holds it."""
        lock = filelock.FileLock(self.path / "run.lock", timeout=0)
        try:
            with plain_disk_errors(self.path / "run.lock"):
                lock.acquire()
        except filelock.Timeout:
            raise ZerosumError(
                f"Another process is training in {self.path}. Wait for it, stop it, or choose another folder."
            ) from None
        self._lock = lock
        for folder in (self.path, self.samples, self.checkpoints):
            clear_unfinished(folder)

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def refuse_moved(self) -> None:
        """Raises ZerosumError when the folder is no longer at its path, as writing would create an incomplete copy."""
        if not self.path.is_dir():
            raise ZerosumError(
                f"{self.path} no longer exists: it was moved or removed during training, and nothing more "
                "can be saved. Put it back before training ends, or use `zerosum resume` at its new path."
            )

    def config(self) -> dict[str, Any]:
        """The contents of `config.yaml`. Raises ConfigError when it cannot be read, or lacks required entries."""
        try:
            config = yaml.safe_load(self.config_file.read_text("utf-8"))
        except (OSError, ValueError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
            raise ConfigError(f"{self.config_file} cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise ConfigError(f"{self.config_file} is damaged: it contains no settings.")
        if isinstance(config.get("schema"), int) and config["schema"] > SCHEMA:
            raise ConfigError(f"{self.config_file} was written by a newer version of zerosum; upgrade to read it.")
        try:
            RunConfig.model_validate(config)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"]))
            raise ConfigError(f"{self.config_file} is damaged: {place}: {problem['msg'].lower()}.") from None
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace `config.yaml` atomically."""
        write_atomic(self.config_file, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

    def add_stats(self, values: Mapping[str, float]) -> None:
        """Append one line to `stats.jsonl`; non-finite values are written as null."""
        line = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._append("stats.jsonl", line)

    def add_event(self, kind: str, text: str, images: int, **more: Any) -> None:
        """Append one line to `events.jsonl`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._append("events.jsonl", {"time": now, "images": images, "kind": kind, "text": text, **more})

    def add_scores(self, images: int, values: Mapping[str, float], made_by: Mapping[str, Any]) -> None:
        """Append one line to `evaluation.jsonl`: scores by name, and their provenance."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._append("evaluation.jsonl", {"time": now, "images": images, **line, **made_by})

    def forget_after(self, images: int) -> None:
        """Remove the lines of stats and scores that a resumed run will write again, and incomplete lines."""
        for name in ("stats.jsonl", "evaluation.jsonl"):
            file = self.path / name
            if file.exists():
                kept = [line for line in read_lines(file) if line["images"] <= images]
                write_atomic(file, "".join(json.dumps(line) + "\n" for line in kept))

    def trained_on(self) -> np.ndarray | None:
        """The keys (n,) uint64 of the training images, ascending; None if there are none, as in runs of older versions,
        or the file is damaged."""
        try:
            return np.load(self.path / TRAINED_ON, allow_pickle=False).astype(np.uint64, casting="safe")
        except (OSError, ValueError, TypeError, EOFError):
            return None

    def add_trained_on(self, keys: np.ndarray) -> None:
        """Store the keys of further training images, so that they are never held out."""
        known = self.trained_on()
        every = np.unique(keys if known is None else np.concatenate([known, keys]))
        if known is not None and len(every) == len(known):
            return
        file = BytesIO()
        np.save(file, every)
        write_atomic(self.path / TRAINED_ON, file.getvalue())

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        self.refuse_moved()
        # File names that are not UTF-8 are escaped as in JSON.
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
        with plain_disk_errors(self.path / name), open(self.path / name, "ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # an incomplete line after a kill or a full disk: start a new one
                    data = b"\n" + data
            file.write(data)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoint folders, newest (most images) first; they are not verified."""
    found = [path for path in folder.glob("[0-9]*") if names_count(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def names_count(name: str) -> bool:
    """Whether the name of a file or folder is a number of images."""
    return re.fullmatch("[0-9]{1,18}", name, re.ASCII) is not None


def refuse_existing(path: Path) -> None:
    """Raises ConfigError when `path` exists and is not empty, or cannot be a run folder."""
    refuse_odd_name(path)
    if path.exists() and not (path.is_dir() and all(map(_begun, path.iterdir()))):
        hint = f"continue it with `zerosum resume {path}`" if (path / "config.yaml").exists() else "remove it"
        raise ConfigError(f"{path} exists already; {hint}, or choose another folder with --out.")


def _begun(path: Path) -> bool:
    """Whether a file or folder is one that `RunFolder.create` makes before the config."""
    if path.name in ("samples", "checkpoints"):
        return path.is_dir() and not any(path.iterdir())
    return (
        path.name in ("run.lock", "env.json")
        or re.fullmatch(r"\.(env\.json|config\.yaml)\.\w+\.tmp", path.name) is not None
    )


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file. Incomplete lines, other values and lines without a position are skipped, and so
    are entries of an unexpected type. A missing file is empty."""
    if not path.is_file():
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                value = parse_json(line)
            except ValueError:
                continue
            if isinstance(value, dict) and is_count(value.get("images")):
                yield {key: part for key, part in value.items() if _fits(key, part)}


def is_count(value: Any) -> bool:
    """Whether a value is a count of images or steps."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_number(value: Any) -> bool:
    """Whether a value is a number, or null for a non-finite one."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _fits(key: str, value: Any) -> bool:
    """Whether an entry of a line has the type of its name; unknown names may have any type."""
    if key == "step":
        return is_count(value)
    if key == "seconds":
        return value is not None and is_number(value) and math.isfinite(value)
    if key in _TEXTS:
        return isinstance(value, str)
    if key in _BY_NAME:
        return isinstance(value, dict) and all(map(is_number, value.values()))
    if key in _TABLES:
        return isinstance(value, dict)
    return is_number(value) if "/" in key else True
