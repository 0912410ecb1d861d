"""Where a classifier looks: Grad-CAM (Selvaraju et al. 2017, equations 1 and 2)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.nn.networks.cnn import Cnn


def grad_cam(network: Cnn, images: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (N, H, W) from 0 to 1 of what spoke for the class that the network names, and its logits (N, K).

    images: (N, C, H, W) in [-1, 1]. The mean slope of the class's logit over each feature map weighs that map; what
    speaks against the class is left out. A map without anything that speaks for it is 0 everywhere. The network must be
    in eval mode, so that each image is judged on its own."""
    with torch.enable_grad():
        maps, logits = network.feature_maps_and_logits(images.detach().requires_grad_())  # weights may be frozen
        (slopes,) = torch.autograd.grad(logits.max(dim=1).values.sum(), maps)
    spoken = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu().detach()
    seen = interpolate(spoken, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    highest = seen.amax(dim=(1, 2), keepdim=True)
    return seen / highest.clamp_min(1e-12), logits.detach()
