"""Players and the system they form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

Batch = dict[str, Any]
"""`image` (N, C, H, W) float32 in [-1, 1] or vectors (N, D); `label` (N,) int64 where there are labels; `condition`
(N, A) float32 where the generator is told what to make; `images_seen`, an integer; `clock`, the images seen as
schedules count them (`clock_of`); and `step`, the number of rounds that were played before. Of pairs `input`
(N, C', H, W), images in [-1, 1] or zeros and ones of label maps; `instances` (N, H, W) int64; and `map` (N, H, W) int64
in place of `image` where label maps are made."""


def clock_of(batch: Batch) -> int:
    """What schedules are a function of: the images seen; under a goal of minutes alone the share of the time that is
    over, in images (`Settings.clock`)."""
    clock: int = batch["clock"] if "clock" in batch else batch["images_seen"]
    return clock


Terms = dict[str, Tensor]
"""Scalars by name. What a player minimises is their sum, so each comes already weighted."""


LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""How images and convolution weights may lie in memory."""

Schedule = Callable[[int], Sequence[Mapping[str, Any]]]
"""Images seen to the settings of each parameter group of an optimiser. One of them may be `phase`, a number with which
the optimiser is told to forget its moments: it does when the number changes."""

Make = Callable[[nn.Module, Tensor, Tensor | None, int], Tensor]
"""(generator, latents (n, D), conditions (n, A) or None, images seen by the run) to images (n, C, H, W)."""


Translate = Callable[[nn.Module, Batch], Tensor]
"""(network, a batch with `input` and whatever belongs to it) to images (N, C, H, W), or logits (N, K, H, W) of label
maps."""


def make_plainly(generator: nn.Module, latents: Tensor, condition: Tensor | None, images_seen: int) -> Tensor:
    """What most generators are asked: no matter how long they have trained."""
    images: Tensor = generator(latents) if condition is None else generator(latents, condition)
    return images


def nothing() -> None:
    """What most players do after a step."""


@dataclass
class Player:
    """One side of the game.

    losses maps a batch to the terms that this player minimises and to scores that are only logged; both are dicts of
    scalar tensors. steps is how many optimiser steps make a turn (k of Goodfellow's Algorithm 1, n_critic of WGAN).
    after_step follows each of them (WGAN clips its weights there). schedule maps images seen to the settings of each of
    the optimiser's parameter groups, in their order, such as [{"lr": 1e-4}].
    """

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    losses: Callable[[Batch], tuple[Terms, Terms]]
    steps: int = 1
    after_step: Callable[[], None] = nothing
    schedule: Schedule | None = None


@dataclass(frozen=True)
class GeneratorSpec:
    """How a network that makes images from latents is used.

    latents maps seeds to its inputs, one row a seed, whatever else is in the batch: standard normal, or with a
    latent_bound uniform between it and its negative. make is how it is asked for images. stage maps images seen to
    numbers that belong to what it makes then, by name, such as the size it has grown to; they are written with each
    sample."""

    latents: Callable[[Sequence[int]], Tensor]
    latent_bound: float | None = None
    make: Make = make_plainly
    stage: Callable[[int], dict[str, float]] = lambda images: {}


@dataclass(frozen=True)
class TranslatorSpec:
    """How a network that makes pictures from pictures is used.

    translate is how it is asked, of sides that are multiples of `multiple`. stochastic: it draws from torch's stream
    even in use. styled: a `style` in the batch chooses between styles. uses_instances: `instances` change what is made.
    fixed_size: it takes pictures of the size it was trained at only."""

    translate: Translate
    multiple: int = 1
    stochastic: bool = False
    styled: bool = False
    uses_instances: bool = False
    fixed_size: bool = False


@dataclass(frozen=True)
class Hooks:
    """What some recipes do at certain moments of a run.

    load_weights: before a new run, load weights from elsewhere (a run that goes on has its own); says whether there
    were any. init_from_data: before the first step, see one large batch of real images. finalize_checkpoint: before
    each checkpoint, be given the averaged network and the training pairs, batch by batch, to keep in it what they tell
    beyond the weights. class_dependent: names of the network's tensors that depend on the classes, and so stay behind
    when it starts from a run that knows others. remap_state_dict: give the tensors of an earlier run, of `network` and
    of each player by its name, the names they have here, where another configuration calls them otherwise.
    density_critic: the player that gives points the logits (N,) of D(x), for pictures of the game on known
    densities; None where there is none, or a critic."""

    load_weights: Callable[[], bool] = lambda: False
    init_from_data: Callable[[Tensor], None] = lambda images: None
    finalize_checkpoint: Callable[[nn.Module, Iterator[Batch]], None] | None = None
    class_dependent: frozenset[str] = frozenset()
    remap_state_dict: Callable[[dict[str, dict[str, Tensor]]], dict[str, dict[str, Tensor]]] | None = None
    density_critic: str | None = None


@dataclass
class System:
    """The network that people use, how it is used, and the players that train it.

    build_players makes the players, in the order of their turns, with their losses and optimisers. They are made when
    they are first asked for: whoever only uses the network has no discriminator. batch maps images seen to the number
    of images in the next batch, for those that do not keep to one. half_life maps the clock to the half-life of the
    moving average, in images, in place of the setting and its ramp. simultaneous: every player's gradient is taken
    before any of them steps. joint_forward: what the players share, computed once for each batch of the first, as
    that batch with more in it (such as `fake`); the last such batch serves the others, too."""

    network: nn.Module
    build_players: Callable[[], list[Player]]
    generator: GeneratorSpec | None = None
    translator: TranslatorSpec | None = None
    hooks: Hooks = Hooks()
    batch: Callable[[int], int] | None = None
    half_life: Callable[[int], float] | None = None
    simultaneous: bool = False
    joint_forward: Callable[[Batch], Batch] | None = None

    @cached_property
    def players(self) -> list[Player]:
        """Those of build_players."""
        return self.build_players()

    def stage(self, images_seen: int) -> dict[str, float]:
        """That of a generator; nothing of other networks."""
        return {} if self.generator is None else self.generator.stage(images_seen)

    def to(self, device: torch.device, layout: str = "channels_last") -> "System":
        """Move every network; convolution weights take the layout, a key of LAYOUTS."""
        for module in [self.network, *(player.module for player in self.players)]:
            laid(module.to(device), layout)
        return self


def laid(network: nn.Module, layout: str) -> nn.Module:
    """The network with its convolution weights in a layout, and what it makes of vectors in it (nn/layers/layout)."""
    for module in network.modules():
        if hasattr(module, "layout"):
            cast(Any, module).layout = LAYOUTS[layout]
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=LAYOUTS[layout])
    return network
