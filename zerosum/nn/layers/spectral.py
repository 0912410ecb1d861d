"""Spectral normalisation of a layer's weight (Miyato, Kataoka, Koyama & Yoshida 2018)."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import register_parametrization


def spectral_norm(layer: nn.Conv2d | nn.Linear) -> None:
    """Divide the weight by its largest singular value: PyTorch's, by one power iteration in each forward pass of
    training, after 15 now.

    Without memory (on the meta device) iterations compute nothing, and take seconds for a network: the vectors get
    their shapes alone, under the same names, and are not iterated later either. Such networks are for shapes, or get
    trained weights to evaluate."""
    if not layer.weight.is_meta:
        parametrizations.spectral_norm(layer)
        return
    with torch.device("cpu"):
        smallest: Any = parametrizations.spectral_norm(nn.Linear(1, 1))
    normalisation = smallest.parametrizations.weight[0]
    normalisation.n_power_iterations = 0
    rows = layer.weight.shape[0]
    normalisation._u = layer.weight.new_empty(rows)
    normalisation._v = layer.weight.new_empty(layer.weight.numel() // rows)
    register_parametrization(layer, "weight", normalisation)
