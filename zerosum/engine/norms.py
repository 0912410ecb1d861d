"""Running statistics of batch norm early in training."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def warm_up_statistics(network: nn.Module) -> bool:
    """Let running means and variances be plain means over the first batches, until these are 1 / momentum, and from
    then on what torch makes of them. Call before each step; says whether it has to be called again.

    They begin at 0 and 1, of which 0.9**n is left after n batches: a network of 50 steps whose first layer has a
    variance of 1e-4, as on dark images, would still divide by 0.003, and call every image the same. Nothing that is
    trained depends on them."""
    warming = False
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.training and module.num_batches_tracked is not None:
            usual = module.__dict__.setdefault("usual_momentum", module.momentum)
            if usual is not None:
                share = 1 / (int(module.num_batches_tracked) + 1)
                module.momentum = max(usual, share)
                warming |= share > usual
    return warming
