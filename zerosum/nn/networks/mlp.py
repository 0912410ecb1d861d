"""Fully connected players: the networks of the first GAN (Goodfellow et al. 2014, and their `mnist.yaml`).

Outside, images are in [-1, 1] like everywhere in this package. The paper works in [0, 1], and its initial weights and
dropout are tuned to that, so the players for images change the range at their own border: (x + 1) / 2 on the way into
the maxout discriminator, 2 sigmoid - 1 on the way out of the generator. Vectors, shape (D,), pass as they are.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.nn.layers.dropout import Dropout
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.maxout import Maxout

Output = Literal["sigmoid", "tanh", "linear"]


class Generator(nn.Module):
    """Latent vectors (N, latent_dim) to samples (N, *shape), through layers of rectified units.

    shape: (C, H, W) or (D,).
    output: `sigmoid` gives 2 sigmoid(a) - 1 and `tanh` gives tanh(a), both in [-1, 1] for images; `linear` is for
    vectors, which have no fixed range.
    init_range: weights start uniform in ±init_range and biases at 0 (the authors'); None keeps PyTorch's own start.
    condition_dim: with it, forward takes a condition (N, condition_dim) too, beside the latent (Mirza & Osindero 2014).
    The defaults are the authors' MNIST generator: 2,503,984 parameters.
    Raises ValueError when shape is neither an image's nor a vector's, or output is unknown."""

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        latent_dim: int = 100,
        hidden: Sequence[int] = (1200, 1200),
        output: Output = "sigmoid",
        init_range: float | None = 0.05,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        if output not in ("sigmoid", "tanh", "linear"):
            raise ValueError(f"output must be sigmoid, tanh or linear, got {output!r}")
        self.shape, self.latent_dim, self.output = _check_shape(shape), latent_dim, output
        layers: list[nn.Module] = []
        for inputs, units in pairwise((latent_dim + condition_dim, *hidden)):
            layers += [nn.Linear(inputs, units), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear((latent_dim + condition_dim, *hidden)[-1], math.prod(self.shape))
        _init_uniform(self, init_range)

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            latent = torch.cat((latent, condition), dim=1)
        raw: Tensor = self.last(self.layers(latent))
        if self.output == "sigmoid":
            raw = 2 * torch.sigmoid(raw) - 1
        elif self.output == "tanh":
            raw = torch.tanh(raw)
        return raw.unflatten(1, self.shape)

    @torch.no_grad()
    def init_from_mean(self, mean: Tensor) -> None:
        """Set the last bias so that a latent which the layers ignore gives the mean sample: no grey noise at the start.

        mean: the average of training samples, in this generator's shape and range; the authors' code does the same with
        the marginals of the pixels. A pixel that never changes is taken as 1e-3 inside the range, where its unit can
        still learn (5e-4 of their range of 1; their code has 1e-7)."""
        bias = mean.to(self.last.bias).reshape(-1)
        if self.output != "linear":
            bias = torch.atanh(bias.clamp(-0.999, 0.999))
        if self.output == "sigmoid":  # 2 sigmoid(a) - 1 = tanh(a / 2)
            bias = 2 * bias
        self.last.bias.copy_(bias)


class MaxoutDiscriminator(nn.Module):
    """Samples (N, *shape) to logits (N,), through maxout layers with dropout before each layer.

    keep_input, keep_hidden: the share of inputs and of hidden units that dropout keeps, scaled by 1 / keep. The authors
    leave it on while the generator learns, so leave the module in training mode.
    condition_dim: with it, forward takes a condition (N, condition_dim) too, beside the sample; dropout leaves it
    whole. The defaults are the authors' MNIST discriminator: 1,231,441 parameters. Raises ValueError when shape is
    neither an image's nor a vector's."""

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (240, 240),
        pieces: int = 5,
        keep_input: float = 0.8,
        keep_hidden: float = 0.5,
        init_range: float | None = 0.005,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.shape = _check_shape(shape)
        layers: list[nn.Module] = [nn.Flatten(), Dropout(1 - keep_input)]
        for inputs, units in pairwise((math.prod(self.shape) + condition_dim, *hidden)):
            layers += [Maxout(inputs, units, pieces), Dropout(1 - keep_hidden)]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear((math.prod(self.shape) + condition_dim, *hidden)[-1], 1)
        _init_uniform(self, init_range)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        if len(self.shape) == 3:
            samples = (samples + 1) / 2  # the paper's [0, 1]
        values = self.layers[:2](samples)
        if condition is not None:
            values = torch.cat((values, condition), dim=1)
        logits: Tensor = self.last(self.layers[2:](values)).squeeze(1)
        return logits


class Discriminator(nn.Module):
    """Samples (N, *shape) to logits (N,), through leaky rectified layers: the plain choice, and smooth enough for
    penalties.

    dropout: the share of hidden units dropped while training. Weights start as PyTorch's linear layers do.
    condition_dim: with it, forward takes a condition (N, condition_dim) too, beside the sample.
    Raises ValueError when shape is neither an image's nor a vector's."""

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (512, 256),
        slope: float = 0.2,
        dropout: float = 0.0,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.shape = _check_shape(shape)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, units in pairwise((math.prod(self.shape) + condition_dim, *hidden)):
            layers += [nn.Linear(inputs, units), LeakyReLU(slope)]
            if dropout:
                layers.append(Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear((math.prod(self.shape) + condition_dim, *hidden)[-1], 1)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        values = samples.flatten(1) if condition is None else torch.cat((samples.flatten(1), condition), dim=1)
        logits: Tensor = self.last(self.layers(values)).squeeze(1)
        return logits


def _check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(
            f"shape must be (channels, height, width) or (dimension,), each at least 1, got {tuple(shape)}"
        )
    return tuple(shape)


def _init_uniform(module: nn.Module, init_range: float | None) -> None:
    if init_range is None:
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -init_range, init_range)
            nn.init.zeros_(layer.bias)
