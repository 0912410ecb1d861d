"""Networks that CycleGAN (Zhu, Park, Isola & Efros 2017, arXiv 1703.10593) and CUT (Park, Efros, Zhang & Zhu 2020,
arXiv 2007.15651) use in addition to residual generators and patch discriminators."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPSILON = 1e-7  # added to the norm of a feature
DIRECTIONS = ("AtoB", "BtoA")


class BothWays(nn.Module):
    """Two translators, from domain A to domain B and back.

    Images (N, C, H, W) to images of the other domain. direction: one-hot (N, 2), AtoB or BtoA for each image; None is
    AtoB. If all images have the same direction, only its translator runs."""

    def __init__(self, a_to_b: nn.Module, b_to_a: nn.Module) -> None:
        super().__init__()
        self.a_to_b, self.b_to_a = a_to_b, b_to_a

    def forward(self, images: Tensor, direction: Tensor | None = None) -> Tensor:
        made: Tensor
        back = None if direction is None else direction[:, 1] > 0.5
        if back is not None and (torch.compiler.is_compiling() or back.is_meta or 0 < int(back.sum()) < len(back)):
            made = torch.where(back[:, None, None, None], self.b_to_a(images), self.a_to_b(images))
        else:
            made = (self.b_to_a if back is not None and back.any() else self.a_to_b)(images)
        return made


class PatchSampler(nn.Module):
    """Feature maps (N, C_l, h, w) of several layers to features (N, P, width) of unit length at up to `patches`
    positions of each: for each layer its own Linear, ReLU, Linear (CUT, section 3.2 and appendix C.2).

    560,384 parameters for the maps of a generator of 64 channels: 3, 128, 256, 256 and 256."""

    def __init__(self, channels: Sequence[int], patches: int = 256, width: int = 256) -> None:
        super().__init__()
        self.patches = patches
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Linear(width, width))
            for inputs in channels
        )

    def positions(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Up to `patches` random positions of each map, the same for all images of a batch."""
        return [
            torch.randperm(one.shape[2] * one.shape[3], device="cpu")[: self.patches].to(one.device) for one in maps
        ]

    def forward(self, maps: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        features = []
        for one, chosen, head in zip(maps, positions, self.heads, strict=True):
            taken = one.flatten(2)[:, :, chosen].transpose(1, 2)  # (N, P, C)
            found = head(taken)
            features.append(found / (found.norm(dim=2, keepdim=True) + EPSILON))
        return features
