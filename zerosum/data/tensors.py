"""Stored pixels to the tensors of networks, and back without loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.dataset import DatasetInfo, Side

Batch = dict[str, Any]


def to_tensors(arrays: Mapping[str, np.ndarray], info: DatasetInfo, device: torch.device | str = "cpu") -> Batch:
    """The arrays of `Dataset.batch` as tensors: `image` by to_float, `label` and `condition` unchanged; of pairs
    `input` (N, C, H, W), one-hot for label maps, `instances` (N, H, W) int64, and for targets that are label maps `map`
    (N, H, W) int64 in place of `image`."""
    batch: Batch = {}
    for name in ("label", "condition"):
        if name in arrays:
            batch[name] = torch.from_numpy(arrays[name]).to(device)
    if info.labels:
        batch["map"] = _numbers(arrays["image"], device)
    else:
        batch["image"] = to_float(arrays["image"], info, device)
    if info.input is not None and "input" in arrays:
        batch["input"] = to_input(arrays["input"], info.input, device)
    if "instances" in arrays:
        batch["instances"] = _numbers(arrays["instances"], device)
    return batch


def to_input(inputs: np.ndarray, side: Side, device: torch.device | str = "cpu") -> Tensor:
    """Stored inputs of pairs (N, H, W, C) to float32 (N, side.width, H, W): images in [-1, 1], label maps one-hot, all
    zero where there is no class."""
    if not side.labels:
        return to_float(inputs, side, device)
    return one_hot(_numbers(inputs, device)[:, None], len(side.labels))


def one_hot(numbers: Tensor, classes: int) -> Tensor:
    """Class numbers (N, 1, H, W) to one-hot (N, classes, H, W), all zero where there is no class."""
    return (numbers == torch.arange(classes, device=numbers.device)[:, None, None]).float()


def _numbers(maps: np.ndarray, device: torch.device | str) -> Tensor:
    """Integers (N, H, W, 1) to (N, H, W) int64."""
    return torch.from_numpy(maps[..., 0].astype(np.int64)).to(device)


def to_float(images: np.ndarray, info: DatasetInfo | Side, device: torch.device | str = "cpu") -> Tensor:
    """Stored images (N, H, W, C) to float32 (N, C, H, W) in [-1, 1], channels-last in memory; vectors as they are.

    Transferred to the device in the stored type, which for 8-bit images is a quarter of the size of floats."""
    if not images.flags.writeable:  # torch warns about tensors of read-only memory
        images = images.copy()
    tensor = torch.from_numpy(images).to(device).to(torch.float32)
    if info.value_range is None:
        return tensor
    low, high = info.value_range
    if images.dtype == np.float32 and tensor.data_ptr() == images.ctypes.data:
        tensor = tensor.clone()  # or float images on the CPU would be scaled in place
    if low:
        tensor.sub_(low)
    tensor.mul_(2 / (high - low)).sub_(1)
    if images.dtype != np.uint8:  # data.range may be narrower than the stored values
        tensor.clamp_(-1, 1)
    return tensor.permute(0, 3, 1, 2)


def to_stored(tensor: Tensor, info: DatasetInfo) -> np.ndarray:
    """The inverse of to_float: (N, C, H, W) in [-1, 1] to (N, H, W, C) of info.dtype, rounded and clamped."""
    tensor = tensor.detach().to(torch.float32)
    if info.value_range is None:
        return tensor.cpu().numpy()
    low, high = info.value_range
    stored = tensor.permute(0, 2, 3, 1).add(1).mul_((high - low) / 2).add_(low).clamp_(low, high)
    if info.dtype != "float32":
        stored = stored.round_().to(torch.int32)  # torch cannot convert to uint16
    return np.ascontiguousarray(stored.cpu().numpy().astype(info.dtype, copy=False))
