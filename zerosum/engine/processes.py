"""Several processes that train one system, started by torchrun: one program, a part of each batch in each process."""

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from zerosum.utils.errors import EXIT_ERROR, ConfigError, ProcessError, ZerosumError, error_text

WAITING = timedelta(minutes=60)
"""How long a process waits for the others in a step: longer than the first one takes for a score."""

POLL, ROLL_CALL = 0.05, 5.0  # seconds between two looks at the store, and for the answers of processes that still run


class Processes:
    """The processes of a training, of which this one has the number `rank`; by default a single one.

    Process 0 alone writes the run folder, samples, scores and shows progress."""

    rank: int = 0
    size: int = 1
    attempt: int = 0
    options: Any = None
    """What this process was started with, for the comparison with others."""

    @property
    def first(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def agree(self, values: Sequence[float]) -> list[float]:
        """The largest of every value over the processes."""
        return list(values)

    def add(self, values: Tensor) -> None:
        """Replace values by their sums over the processes."""

    def gather(self, values: Tensor) -> list[Tensor]:
        """The values of every process, in order; of one shape."""
        return [values]

    def tell(self, key: str, message: Any) -> None:
        """Publish a JSON-able message to the other processes."""

    def hear(self, key: str) -> Any:
        """Wait for a message of another process, for however long it takes. Raises ProcessError when one has
        failed."""
        raise NotImplementedError("a single process hears nothing")

    def send(self, data: bytes) -> bytes:
        """The bytes that process 0 passes, in every process."""
        return data

    def gather_rows(self, values: Tensor) -> Tensor:
        """`gather`, concatenated."""
        return torch.cat(self.gather(values)) if self.size > 1 else values

    def ended(self, error: Exception) -> Exception:
        """What to raise for an error in training: a ProcessError where others are concerned, published for them."""
        return error


ALONE = Processes()


class Launched(Processes):
    """The processes that torchrun started. store: the launcher's key-value store; attempt: how often it has started
    them again; training: the number of trainings before this one in this program."""

    def __init__(self, store: dist.Store, training: int) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.attempt = attempt()
        self._published: Exception | None = None
        self.store = dist.PrefixStore(f"zerosum/{self.attempt}/{training}", store)

    def agree(self, values: Sequence[float]) -> list[float]:
        both = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        found: list[float] = both.tolist()
        return found

    def add(self, values: Tensor) -> None:
        dist.all_reduce(values)

    def gather(self, values: Tensor) -> list[Tensor]:
        values = values.contiguous()
        found = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(found, values)
        return found

    def tell(self, key: str, message: Any) -> None:
        self.store.set(key, json.dumps(message))

    def hear(self, key: str) -> Any:
        while not self.store.check([key]):
            if failed := self._failed():
                raise failed
            time.sleep(POLL)
        return json.loads(self.store.get(key))

    def send(self, data: bytes) -> bytes:
        length = torch.tensor([len(data)])
        dist.broadcast(length, 0)
        content = (
            torch.frombuffer(bytearray(data), dtype=torch.uint8)
            if self.first
            else torch.empty(int(length), dtype=torch.uint8)
        )
        dist.broadcast(content, 0)
        return data if self.first else content.numpy().tobytes()

    def ended(self, error: Exception) -> Exception:
        if isinstance(error, ProcessError) or error is self._published:
            return error
        if is_broken(error):
            return self._missing(error)
        code = error.exit_code if isinstance(error, ZerosumError) else EXIT_ERROR
        try:
            if failed := self._failed():
                return failed
            self.store.set("failed", str(code))
            self._published = error
        except (dist.DistError, RuntimeError):  # the launcher has gone
            pass
        if self.first or not isinstance(error, ZerosumError):
            return error
        return ProcessError(f"Process {self.rank} of {self.size}: {error}", code)

    def _failed(self) -> ProcessError | None:
        return ProcessError(exit_code=int(self.store.get("failed"))) if self.store.check(["failed"]) else None

    def _missing(self, error: Exception) -> ProcessError:
        """The error of a process that waits in vain: it names those that no longer answer, in the first that does."""
        gone = [rank for rank in range(self.size) if rank != self.rank]
        waited = time.monotonic() + ROLL_CALL
        try:
            self.store.set(f"here/{self.rank}", "")
            while gone and time.monotonic() < waited:
                if failed := self._failed():
                    return failed
                gone = [rank for rank in gone if not self.store.check([f"here/{rank}"])]
                time.sleep(POLL)
        except (dist.DistError, RuntimeError) as lost:
            return ProcessError(f"The launcher of the processes no longer answers: {error_text(lost)}")
        if not gone:
            return ProcessError(f"Process {self.rank} of {self.size} cannot reach the others: {error_text(error)}")
        if min(rank for rank in range(self.size) if rank not in gone) != self.rank:
            return ProcessError()
        return ProcessError(
            f"Process {' and '.join(map(str, gone))} of {self.size}, counted from 0, has ended: killed, or out of "
            "memory. The others end, too. Continue from the last checkpoint with `zerosum resume`, or let "
            "`torchrun --max-restarts` do so."
        )


def attempt() -> int:
    """How often the launcher has started the processes again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def is_broken(error: Exception) -> bool:
    """Whether a collective operation failed because another process is gone or does not answer."""
    words = ("gloo", "nccl", "connection", "timed out", "store")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def started() -> int:
    """The number of processes that a launcher has started of this program; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1


_current: ContextVar[Processes] = ContextVar("processes", default=ALONE)
_trainings = itertools.count()


def current() -> Processes:
    """The processes of the training that runs here."""
    return _current.get()


@contextmanager
def joined() -> Iterator[Processes]:
    """Inside the block, the processes that torchrun started with this one are `current`; this one alone without a
    launcher.

    Uses the process group of the program, if it has one. Raises ConfigError when the processes cannot find one
    another."""
    if started() == 1 or current() is not ALONE:
        yield current()
        return
    own = not dist.is_initialized()
    if own:
        _initialise()
    processes = Launched(dist.distributed_c10d._get_default_store(), next(_trainings))
    token = _current.set(processes)
    try:
        yield processes
    except Exception as error:
        ended = processes.ended(error)
        raise ended from (None if ended is error else error)
    finally:
        _current.reset(token)
        if own:
            dist.destroy_process_group()


def _initialise() -> None:
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    try:
        store, rank, size = next(rendezvous("env://", timeout=WAITING))
        # the launcher's store outlives a restart, and with it the addresses of processes that have ended
        store = dist.PrefixStore(f"attempt/{attempt()}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAITING)
    except (dist.DistError, RuntimeError, ValueError) as error:
        address = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise ConfigError(
            f"The processes do not reach one another at {address}: {error_text(error)}. If the port is in use, choose "
            "another with --rdzv-endpoint=HOST:PORT of torchrun."
        ) from error
