"""Adam that steps through channels-last weights in memory order."""

from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """torch.optim.Adam (Kingma & Ba 2015), bit for bit; with decoupled_weight_decay it is AdamW (Loshchilov & Hutter
    2019).

    On a CPU, torch's fused step first copies every channels-last gradient to the contiguous layout and then ignores the
    copy, which takes four fifths of its time for large weights (`python -m bench adam`). It also pairs elements of
    weight and gradient by memory offset, whatever their layouts, so the layouts must agree."""

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> Any:
        result = super()._init_group(group, *lists)
        weights, *others = lists[:-1]  # gradients, first and second moments; the last list holds step counts
        if group["fused"]:
            last = [_is_only_channels_last(weight) for weight in weights]
            for tensors in others:
                if [_is_only_channels_last(tensor) for tensor in tensors] != last[: len(tensors)]:
                    raise RuntimeError("a weight and its gradient, or its moments, differ in memory format")
            for tensors in (weights, *others):
                tensors[:] = [one.permute(0, 2, 3, 1) if _is_only_channels_last(one) else one for one in tensors]
        return result


def _is_only_channels_last(tensor: Tensor) -> bool:
    """Whether it is channels-last, and not contiguous at the same time."""
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return last and not tensor.is_contiguous()
