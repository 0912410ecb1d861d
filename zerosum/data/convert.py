"""Stored pixels to the tensors that networks see, and back without loss."""

import numpy as np
import torch
from torch import Tensor

from zerosum.data.dataset import DatasetInfo


def to_float(images: np.ndarray, info: DatasetInfo, device: torch.device | str = "cpu") -> Tensor:
    """Stored images (N, H, W, C) to float32 (N, C, H, W) in [-1, 1], channels-last in memory; vectors as they are.

    The bytes travel to the device in the stored type, a quarter of the floats for 8-bit images."""
    if not images.flags.writeable:  # torch warns of tensors over memory that may not be written
        images = images.copy()
    tensor = torch.from_numpy(images).to(device).to(torch.float32)
    if info.value_range is None:
        return tensor
    low, high = info.value_range
    if images.dtype == np.float32 and tensor.data_ptr() == images.ctypes.data:
        tensor = tensor.clone()  # float images on the CPU would otherwise be scaled in place under the caller
    if low:
        tensor.sub_(low)
    return tensor.mul_(2 / (high - low)).sub_(1).permute(0, 3, 1, 2)


def to_stored(tensor: Tensor, info: DatasetInfo) -> np.ndarray:
    """The inverse of to_float: (N, C, H, W) in [-1, 1] to (N, H, W, C) of info.dtype, rounded and clamped."""
    tensor = tensor.detach().to(torch.float32)
    if info.value_range is None:
        return tensor.cpu().numpy()
    low, high = info.value_range
    stored = tensor.permute(0, 2, 3, 1).add(1).mul_((high - low) / 2).add_(low).clamp_(low, high)
    if info.dtype != "float32":
        stored = stored.round_().to(torch.int32)  # torch has no rounding into uint16
    return np.ascontiguousarray(stored.cpu().numpy().astype(info.dtype, copy=False))
