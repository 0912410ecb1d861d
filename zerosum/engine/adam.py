"""Adam that goes through channels-last weights as they lie in memory."""

from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """torch.optim.Adam (Kingma & Ba 2015), bit for bit; with decoupled_weight_decay it is AdamW (Loshchilov & Hutter
    2019).

    The fused step of torch on a CPU first copies every channels-last gradient into the other layout, and then does not
    look at the copy: four fifths of its time where weights are large (`python -m bench adam`). It also takes elements
    of weight and gradient together by their place in memory, whatever their layouts, so these must be the same."""

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> Any:
        found = super()._init_group(group, *lists)
        weights, *others = lists[:-1]  # gradients, averages, squares; the last are step counts
        if group["fused"]:
            last = [_lies_last(weight) for weight in weights]
            for tensors in others:
                if [_lies_last(tensor) for tensor in tensors] != last[: len(tensors)]:
                    raise RuntimeError("a weight and its gradient, or its moments, differ in memory format")
            for tensors in (weights, *others):
                tensors[:] = [one.permute(0, 2, 3, 1) if _lies_last(one) else one for one in tensors]
        return found


def _lies_last(tensor: Tensor) -> bool:
    """Whether it is channels-last, and not contiguous at the same time."""
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return last and not tensor.is_contiguous()
