"""How a batch is divided into micro-batches, and how their gradients become that of the batch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zerosum.engine.players import Batch
from zerosum.engine.processes import ALONE, Processes
from zerosum.utils.microbatch import MicroBatch, computing
from zerosum.utils.weight_norm import is_singular_vector

RUNNING = ("running_mean", "running_var")


@dataclass(frozen=True)
class Division:
    """A batch as `count` micro-batches of equal size, of which process r of W computes r, r + W, r + 2 W, ...

    fixed_order: gradients are added in an order that does not depend on the number of processes: those of even
    micro-batches, plus those of odd ones, each likewise; count is then a power of 2, and a multiple of W."""

    count: int = 1
    processes: Processes = ALONE
    fixed_order: bool = False

    @property
    def own(self) -> range:
        """The indices of the micro-batches that this process computes."""
        return range(self.processes.rank, self.count, self.processes.size)

    def parts(self, batch: Batch) -> list[Batch]:
        """Rows of this process, in order, as its micro-batches."""
        parts = len(self.own)
        if parts == 1:
            return [batch]
        split = {name: value.chunk(parts) for name, value in batch.items() if isinstance(value, Tensor)}
        return [batch | {name: chunks[i] for name, chunks in split.items()} for i in range(parts)]

    def computing(self, index: int) -> AbstractContextManager[None]:
        """The context of the losses of a micro-batch."""
        return computing(MicroBatch(index, self.count, self.processes.size, self.processes.gather_rows))

    def whole(self, rows: Sequence[Tensor]) -> Tensor:
        """Tensors (n, ...) of the micro-batches of this process as that of the whole batch, in order."""
        own = torch.stack(list(rows))
        if self.processes.size == 1:
            return own.flatten(0, 1)
        return torch.stack(self.processes.gather(own), dim=1).flatten(0, 2)


class Accumulator:
    """The mean over micro-batches of the gradients of a player, and of running statistics of batch norm.

    The losses of each micro-batch start with the same state of the layers: running statistics move once a batch, to the
    mean of where the micro-batches would move them, and power iterations of spectral norm are those of an undivided
    batch. With an undivided batch nothing is done."""

    def __init__(self, division: Division, modules: Iterable[nn.Module], parameters: Iterable[nn.Parameter]) -> None:
        self.division = division
        divided = division.count > 1
        self.parameters = [one for one in parameters if divided and one.requires_grad]
        self.averaged, self.restored = _states(modules if divided else ())
        self._before = [tensor.clone() for tensor in self.restored]
        self._sums: list[Tensor] = []

    @contextmanager
    def computing(self, index: int) -> Iterator[None]:
        """The context of losses and backward pass of a micro-batch; its gradients are moved to the sum."""
        with self.division.computing(index):
            self.restore()
            yield
            if self.division.count > 1:
                self._add()

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the state of the layers before the first micro-batch."""
        for tensor, before in zip(self.restored, self._before, strict=True):
            tensor.copy_(before)

    @torch.no_grad()
    def _add(self) -> None:
        if self.division.fixed_order or not self._sums:
            self._sums.append(self._flat())
        else:
            self._sums[0] += self._flat()
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()

    @torch.no_grad()
    def finish(self) -> None:
        """Replace gradients and running statistics by their means over the micro-batches of all processes."""
        if self.division.count == 1:
            return
        processes, total = self.division.processes, tree_sum(self._sums)
        if processes.size > 1:
            if self.division.fixed_order:
                total = tree_sum(processes.gather(total))
            else:
                processes.add(total)
        means = (total / self.division.count).split([one.numel() for one in (*self.parameters, *self.averaged)])
        targets = [*(parameter.grad for parameter in self.parameters), *self.averaged]
        for target, mean in zip(targets, means, strict=True):
            if target is not None:  # of the same parameters in each process and micro-batch
                target.copy_(mean.view(target.shape))

    def _flat(self) -> Tensor:
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in self.parameters
        ]
        return torch.cat([tensor.detach().flatten().to(gradients[0].dtype) for tensor in (*gradients, *self.averaged)])


def joined_rows(parts: Sequence[Batch]) -> Batch:
    """Micro-batches as one batch: the rows of all, in order."""
    tensors = {name: value for name, value in parts[0].items() if isinstance(value, Tensor)}
    return parts[0] | {name: torch.cat([part[name] for part in parts]) for name in tensors}


def shares_parameters(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have a parameter in common."""
    own = {id(parameter) for parameter in one.parameters()}
    return any(id(parameter) in own for parameter in other.parameters())


def tree_sum(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of those at even positions, plus that of those at odd ones, each likewise: with the W-th part of 2^k
    tensors, every W-th, summed so by each of W processes, and the sums summed so, the result has the same bits for
    every W."""
    if len(tensors) == 1:
        return tensors[0]
    return tree_sum(tensors[::2]) + tree_sum(tensors[1::2])


def _states(modules: Iterable[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """Running statistics of batch norm, which are averaged; and all tensors that a forward pass in training mode
    changes as if it saw the whole batch: these, the number of batches, and singular vectors."""
    averaged: dict[int, Tensor] = {}
    restored: dict[int, Tensor] = {}
    for module in modules:
        for prefix, layer in module.named_modules():
            if not layer.training:
                continue
            running = isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm)
            for name, tensor in layer.named_buffers(prefix, recurse=False):
                if running and name.rpartition(".")[2] in RUNNING:
                    averaged[id(tensor)] = tensor
                if running or is_singular_vector(name):
                    restored[id(tensor)] = tensor
    return list(averaged.values()), list(restored.values())


def batch_statistics(modules: Iterable[nn.Module]) -> list[str]:
    """The kinds of layers, by class name, whose outputs depend on the other images of the batch."""
    kinds = {type(layer).__name__ for module in modules for layer in module.modules() if _mixes(layer)}
    return sorted(kinds)


def _mixes(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) or getattr(layer, "mixes_images", False)


def synchronise_batch_norm(modules: Sequence[nn.Module]) -> None:
    """Let batch norm use the statistics of all processes, in place; for GPUs only, as torch has it."""
    for module in modules:
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
