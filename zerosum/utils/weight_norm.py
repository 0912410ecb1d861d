"""Converts spectral and weight normalisation in state dicts to plain weights."""

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

_PARTS = re.compile(r"(?P<before>(?:.*\.)?)parametrizations\.(?P<name>\w+)\.(?P<part>original[01]?|0\._[uv])")
_OLD = {"original": "_orig", "0._u": "_u", "0._v": "_v", "original0": "_g", "original1": "_v"}


def plain_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without `weight_orig`, `weight_u`, `weight_v` (Miyato et al. 2018), `weight_g` (Salimans & Kingma
    2016), and their names in newer PyTorch (`parametrizations.weight...`): `weight` is the one used in eval mode."""
    parts = {_older(name): tensor for name, tensor in state.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in parts.items():
        base = name[:-2]
        if name.endswith("_orig"):
            base = name.removesuffix("_orig")
            found[base] = _spectral(tensor, parts.get(f"{base}_u"), parts.get(f"{base}_v"))
        elif (name.endswith("_u") and f"{base}_orig" in parts) or (
            name.endswith("_v") and (f"{base}_orig" in parts or _is_length(parts, base))
        ):
            continue
        elif name.endswith("_g") and _is_length(parts, base):
            direction = parts[f"{base}_v"].float()
            along = [place for place, size in enumerate(tensor.shape) if size == 1]
            length = direction.square().sum(dim=along, keepdim=True).sqrt() if along else direction.abs()
            found[base] = (direction * (tensor.float() / length)).to(tensor.dtype)
        else:
            found[name] = tensor
    return found


def is_singular_vector(name: str) -> bool:
    """Whether a tensor of this name is one of the two vectors that spectral normalisation keeps beside a weight: a unit
    vector, unlike an average of several."""
    match = _PARTS.fullmatch(name)
    return match is not None and match["part"] in ("0._u", "0._v")


def fold_weights(network: nn.Module) -> nn.Module:
    """Replace normalised weights by the weights that they stand for, in place; returns the network, whose outputs in
    eval mode stay the same.

    PyTorch's `remove_parametrizations` changes the class that copies of a module share, and so breaks the others."""
    for module in list(network.modules()):
        if is_parametrized(module):
            names = list(cast(Any, module).parametrizations)
            weights = {name: getattr(module, name).detach().clone() for name in names}
            kind = type_before_parametrizations(module)
            del module.parametrizations
            module.__class__ = kind
            for name, weight in weights.items():
                module.register_parameter(name, nn.Parameter(weight))
    return network


def _older(name: str) -> str:
    """The name of a part before PyTorch's parametrizations."""
    match = _PARTS.fullmatch(name)
    return name if match is None else f"{match['before']}{match['name']}{_OLD[match['part']]}"


def _is_length(parts: Mapping[str, Tensor], base: str) -> bool:
    """Whether a weight is stored as length and direction."""
    length, direction = parts.get(f"{base}_g"), parts.get(f"{base}_v")
    if length is None or direction is None or length.ndim != direction.ndim:
        return False
    return all(size in (1, whole) for size, whole in zip(length.shape, direction.shape, strict=True))


def _spectral(weight: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """The weight divided by its largest singular value, computed from the stored vectors. Transposed convolutions have
    their output channels in the second dimension; this shows in the length of the vectors, or else the larger value is
    used."""
    if left is None:
        return weight
    values = []
    for matrix in (weight.flatten(1), weight.transpose(0, 1).flatten(1) if weight.ndim > 1 else weight[None]):
        matrix = matrix.float()
        if len(matrix) != len(left):
            continue
        towards = torch.nn.functional.normalize(matrix.T @ left.float(), dim=0) if right is None else right.float()
        if len(towards) == matrix.shape[1]:
            values.append(left.float() @ (matrix @ towards))
    return weight if not values else (weight.float() / torch.stack(values).max()).to(weight.dtype)
