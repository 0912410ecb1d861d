"""What the machine's convolutions can do at best, and the operations of a training step: for shares of the peak."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.autotune.timing import DTYPES, Convolution
from zerosum.engine.players import Batch
from zerosum.engine.step import frozen
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import Settings

# Well-shaped convolutions: many channels, a few hundred places.
BEST = (
    Convolution((16, 256, 32, 32), (256, 256, 3, 3), (1, 1), (1, 1), (1, 1), False, (0, 0), 1),
    Convolution((32, 128, 32, 32), (256, 128, 4, 4), (2, 2), (1, 1), (1, 1), False, (0, 0), 1),
    Convolution((32, 512, 8, 8), (512, 512, 3, 3), (1, 1), (1, 1), (1, 1), False, (0, 0), 1),
)


def peak(precision: str) -> float:
    """Operations a second of the fastest of BEST, forward, in the better layout: once, so that it can take turns with
    what it is compared to."""
    rates = []
    for convolution in BEST:
        for layout in (torch.contiguous_format, torch.channels_last):
            images, weight = (
                torch.ones(shape, dtype=DTYPES[precision]).contiguous(memory_format=layout)
                for shape in (convolution.images, convolution.weight)
            )
            with torch.inference_mode():
                seconds = min(_seconds(partial(convolution, images, weight)) for _ in range(3))
            rates.append(convolution.operations() / seconds)
    return max(rates)


class Counter(TorchDispatchMode):
    """Adds up the operations of convolutions and matrix products that go by."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        if (count := flop_registry.get(function.overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=found)
        return found


def operations(recipe: Recipe, settings: Settings, info: DatasetInfo, batch: Batch) -> float:
    """Operations of convolutions and matrix products in one round of turns, forward and backward, with opponents
    frozen: what zerosum's step has to do."""
    system = recipe.build(settings, info)
    told = batch
    with Counter() as counter:
        for place, player in enumerate(system.players):
            joint = None if place else system.joint_forward
            others = [] if joint is not None else [one.module for one in system.players if one is not player]
            for _ in range(player.steps):
                with frozen(others):
                    if joint is not None:
                        told = joint(batch)
                    terms, _ = player.losses(told)
                    torch.stack(list(terms.values())).sum().backward()
    return float(counter.total)


def _seconds(run: "partial[Tensor]") -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
