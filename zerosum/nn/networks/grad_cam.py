"""Grad-CAM (Selvaraju et al. 2017, equations 1 and 2)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.nn.networks.cnn import Cnn


def grad_cam(network: Cnn, images: Tensor) -> tuple[Tensor, Tensor]:
    """Heat maps (N, H, W) in [0, 1] for the predicted class, and the logits (N, K).

    images: (N, C, H, W) in [-1, 1]. Feature maps are weighted by the mean gradient of the class's logit; negative
    evidence is cut to 0, so a map without positive evidence is 0 everywhere. The network must be in eval mode, so that
    images do not influence each other."""
    with torch.enable_grad():
        maps, logits = network.feature_maps_and_logits(images.detach().requires_grad_())  # weights may be frozen
        (gradients,) = torch.autograd.grad(logits.max(dim=1).values.sum(), maps)
    evidence = (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu().detach()
    maps_at_size = interpolate(evidence, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    highest = maps_at_size.amax(dim=(1, 2), keepdim=True)
    return maps_at_size / highest.clamp_min(1e-12), logits.detach()
