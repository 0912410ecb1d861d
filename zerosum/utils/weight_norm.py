"""Converts spectral and weight normalisation in state dicts to plain weights."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

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
