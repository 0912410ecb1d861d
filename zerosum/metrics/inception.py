"""The Inception-v3 of FID: the network of TensorFlow's graph of 2015-12-05, as pytorch-fid brought it to torch.

Its weights have torchvision's names. It differs in 1,008 classes, in average pools that leave the padding out of the
average, and in a max pool in the last block.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d
from torchvision.models import inception

from zerosum.utils.weights import misfit

FID_DIGEST = "6726825d"  # how the sha256 of the one file of weights begins
FID_URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"


def inception_network(weights: Mapping[str, Tensor]) -> tuple[nn.Module, Tensor]:
    """Images (N, 3, 299, 299) to features (N, 2048), in eval mode; and what makes logits of these, (1008, 2048).

    Raises ValueError when the weights are not this network's."""
    blocks = [
        inception.BasicConv2d, _BlockA, inception.InceptionB, _BlockC, inception.InceptionD, _BlockE,
        inception.InceptionAux,
    ]  # fmt: skip
    with torch.device("meta"):  # nothing is drawn that the file overwrites
        network = inception.Inception3(1008, aux_logits=False, inception_blocks=blocks, init_weights=False)
    network.Mixed_7c.largest = True
    if words := misfit(network.state_dict(), weights):
        raise ValueError(words)
    network.to_empty(device="cpu").load_state_dict(weights)
    classes: Tensor = network.fc.weight.detach()
    network.fc = nn.Identity()
    return network.eval().requires_grad_(False), classes


class _BlockA(inception.InceptionA):
    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_average(x)),
        ]


class _BlockC(inception.InceptionC):
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_average(x)),
        ]


class _BlockE(inception.InceptionE):
    largest = False

    def _forward(self, x: Tensor) -> list[Tensor]:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(single), self.branch3x3_2b(single)], dim=1),
            torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], dim=1),
            self.branch_pool(max_pool2d(x, 3, stride=1, padding=1) if self.largest else _average(x)),
        ]


def _average(maps: Tensor) -> Tensor:
    return avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
