"""Players and the system they form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

Batch = dict[str, Any]
"""`image` (N, C, H, W) float32 in [-1, 1] or vectors (N, D); `label` (N,) int64 where the data has labels; `condition`
(N, A) float32 for a conditional generator; `images_seen`, an integer; `clock`, the images seen as schedules count them
(`clock_of`); and `step`, the number of training steps before this one. Pairs add `input` (N, C', H, W), images in
[-1, 1] or one-hot label maps; `instances` (N, H, W) int64; and `map` (N, H, W) int64 in place of `image` where the
outputs are label maps."""


def clock_of(batch: Batch) -> int:
    """The argument of schedules: the images seen; or, where the goal is in minutes alone, the elapsed share of the time
    expressed in images (`Settings.clock`)."""
    clock: int = batch["clock"] if "clock" in batch else batch["images_seen"]
    return clock


Terms = dict[str, Tensor]
"""Scalars by name, already weighted: a player minimises their sum."""


LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Memory formats of images and convolution weights."""

Schedule = Callable[[int], Sequence[Mapping[str, Any]]]
"""Images seen -> settings of each parameter group of an optimiser. One of them may be `phase`, a number: when it
changes, the optimiser's moments are reset."""

Generate = Callable[[nn.Module, Tensor, Tensor | None, int], Tensor]
"""(generator, latents (n, D), conditions (n, A) or None, images seen by the run) -> images (n, C, H, W)."""


Translate = Callable[[nn.Module, Batch], Tensor]
"""(network, batch with `input` and what belongs to it) -> images (N, C, H, W), or logits (N, K, H, W) of label maps."""


def call_generator(generator: nn.Module, latents: Tensor, condition: Tensor | None, images_seen: int) -> Tensor:
    """The forward pass of most generators, which does not depend on the images seen."""
    images: Tensor = generator(latents) if condition is None else generator(latents, condition)
    return images


def no_op() -> None:
    """The default `after_step`."""


def nothing_observed(gather: Callable[[Sequence[Tensor]], Tensor]) -> Terms:
    """The default `after_backward`."""
    return {}


@dataclass
class Player:
    """One player of the game: a network, its loss and its optimiser.

    losses maps a batch to the terms that this player minimises and to values that are only logged; both are dicts of
    scalar tensors. steps is the number of optimiser steps in a turn (k of Goodfellow's Algorithm 1, n_critic of WGAN).
    after_step is called after each of them (WGAN clips its weights there). after_backward is called once for each
    batch, after the losses of all its micro-batches, and returns more values to log; its argument turns a tensor
    (n, ...) of each of these micro-batches, in order, into that of the whole batch. schedule maps images seen to the
    settings of each of the optimiser's parameter groups, in order, such as [{"lr": 1e-4}].
    """

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    losses: Callable[[Batch], tuple[Terms, Terms]]
    steps: int = 1
    after_step: Callable[[], None] = no_op
    after_backward: Callable[[Callable[[Sequence[Tensor]], Tensor]], Terms] = nothing_observed
    schedule: Schedule | None = None


@dataclass(frozen=True)
class GeneratorSpec:
    """How a generator of images from latents is used.

    latents maps seeds to latents, one row per seed, independent of the other rows: standard normal, or uniform in
    [-latent_bound, latent_bound] where that is given. generate is the forward pass. stage maps images seen to named
    values that describe the outputs at that time, such as the resolution of progressive growing; they are logged with
    each sample sheet."""

    latents: Callable[[Sequence[int]], Tensor]
    latent_bound: float | None = None
    generate: Generate = call_generator
    stage: Callable[[int], dict[str, float]] = lambda images: {}


@dataclass(frozen=True)
class TranslatorSpec:
    """How an image-to-image network is used.

    translate is the forward pass; height and width of its input must be multiples of `multiple`, and those of its
    output are `scale` times as large. stochastic: it uses random numbers at inference too. has_styles: `style` in the
    batch selects one of several styles. uses_instances: the output depends on `instances`. fixed_size: it only accepts
    images of the training size. defaults: values of conditions, by name, where none is requested. expects: the inputs
    that it was trained for, as the end of a sentence, where they are not obvious."""

    translate: Translate
    multiple: int = 1
    scale: int = 1
    stochastic: bool = False
    has_styles: bool = False
    uses_instances: bool = False
    fixed_size: bool = False
    defaults: Mapping[str, str] = field(default_factory=dict)
    expects: str = ""


@dataclass(frozen=True)
class Hooks:
    """Callbacks that some recipes need at certain times of a run.

    load_weights: before a new run (not a resumed one), load pretrained weights; returns whether there were any.
    init_from_data: before the first step, gets one large batch of real images.
    finalize_checkpoint: before each checkpoint, gets the averaged network and the training pairs, batch by batch, to
        store in the network what depends on the data beyond its weights, such as styles.
    class_dependent: names of the network's tensors that depend on the classes; they are not transferred from a run with
        other classes.
    remap_state_dict: renames the tensors of an earlier run, of `network` and of each player by name, to the names of
        this configuration, where they differ.
    density_critic: name of the player with logits (N,) of D(x) for points, for plots of the game on known densities;
        None where D(x) is no probability.
    """

    load_weights: Callable[[], bool] = lambda: False
    init_from_data: Callable[[Tensor], None] = lambda images: None
    finalize_checkpoint: Callable[[nn.Module, Iterator[Batch]], None] | None = None
    class_dependent: frozenset[str] = frozenset()
    remap_state_dict: Callable[[dict[str, dict[str, Tensor]]], dict[str, dict[str, Tensor]]] | None = None
    density_critic: str | None = None


@dataclass
class System:
    """A network for inference, how to use it, and the players that train it.

    build_players builds the players in the order of their turns, with losses and optimisers. It is called on first
    access to `players`, so inference builds no discriminator.
    batch: images seen -> batch size, where it varies during training.
    half_life: clock -> half-life of the moving average in images, in place of the setting and its ramp.
    simultaneous: all gradients are computed before any player steps.
    joint_forward: computes what the players share, once for each batch of the first player, and returns that batch with
        the results added (such as `fake`); the other players get the last such batch.
    """

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
        """The players, built on first access."""
        return self.build_players()

    def stage(self, images_seen: int) -> dict[str, float]:
        """`GeneratorSpec.stage`; empty for other networks."""
        return {} if self.generator is None else self.generator.stage(images_seen)

    def to(self, device: torch.device, layout: str = "channels_last") -> "System":
        """Move every network to the device; convolution weights take the memory format `layout`, a key of LAYOUTS."""
        for module in [self.network, *(player.module for player in self.players)]:
            to_memory_format(module.to(device), layout)
        return self


def to_memory_format(network: nn.Module, layout: str) -> nn.Module:
    """Convert convolution weights, and the outputs of layers that turn vectors into images (nn/layers/layout), to a
    memory format, in place; returns the network."""
    for module in network.modules():
        if hasattr(module, "layout"):
            cast(Any, module).layout = LAYOUTS[layout]
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=LAYOUTS[layout])
    return network
