"""Running statistics of batch norm early in training."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def warm_up_statistics(network: nn.Module) -> bool:
    """Make running means and variances cumulative averages for the first 1 / momentum batches, and exponential averages
    from then on, as in torch. Call before each step; returns whether to call it again.

    They start at 0 and 1, of which 0.9**n remains after n batches: after 50 steps, a network whose first layer has a
    variance of 1e-4, as on dark images, would still divide by 0.003 and give the same output for every image. Training
    itself does not depend on them."""
    warming = False
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.training and module.num_batches_tracked is not None:
            momentum = module.__dict__.setdefault("usual_momentum", module.momentum)
            if momentum is not None:
                share = 1 / (int(module.num_batches_tracked) + 1)
                module.momentum = max(momentum, share)
                warming |= share > momentum
    return warming
