"""ImageNet architectures from torchvision, for any number of channels and classes, and their weights."""

from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from zerosum.nn.layers.dropout import Dropout
from zerosum.nn.networks.cnn_parts import Parts

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue in [0, 1]


class Entry(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to the input of ImageNet weights.

    Gray, alone or with alpha, is copied to three equal channels, so that the weights see gray images as in their own
    training. With normalise these three, like red, green and blue, get ImageNet's mean and standard deviation. Further
    channels are unchanged."""

    def __init__(self, channels: int, normalise: bool) -> None:
        super().__init__()
        self.repeat = channels < 3
        self.channels = channels + 2 if self.repeat else channels
        shift, scale = torch.zeros(self.channels), torch.ones(self.channels)
        if normalise:  # ImageNet's are for [0, 1]
            shift[:3], scale[:3] = 2 * torch.tensor(MEAN) - 1, 2 * torch.tensor(STD)
        self.register_buffer("shift", shift[:, None, None], persistent=False)
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.shift: Tensor
        self.scale: Tensor

    def forward(self, images: Tensor) -> Tensor:
        if self.repeat:
            gray = images[:, :1]
            images = torch.cat([gray, gray, gray, images[:, 1:]], dim=1)
        return (images - self.shift) / self.scale


def resnet(name: str, channels: int, classes: int) -> Parts:
    """ResNet-18 to -152 (He et al. 2016, table 1)."""
    body, entry = _build(name, channels, classes)
    return Parts(
        stages=[
            nn.Sequential(body.conv1, body.bn1, body.relu, body.maxpool),
            body.layer1,
            body.layer2,
            body.layer3,
            body.layer4,
        ],
        neck=nn.Sequential(body.avgpool, nn.Flatten()),
        head=body.fc,
        entry=entry,
        foreign=_names(body),
    )


def alexnet(name: str, channels: int, classes: int) -> Parts:
    """The one-tower AlexNet (Krizhevsky 2014, arXiv 1404.5997): a stage for each of the five convolutions."""
    return _with_dense_layers(name, channels, classes, first=nn.Conv2d)


def vgg(name: str, channels: int, classes: int) -> Parts:
    """VGG-11 to -19 (Simonyan & Zisserman 2015, table 1) without batch norm: a stage for each of the five blocks."""
    return _with_dense_layers(name, channels, classes, first=nn.MaxPool2d)


def googlenet(name: str, channels: int, classes: int) -> Parts:
    """GoogLeNet (Szegedy et al. 2015, table 1) with batch norm and its two auxiliary classifiers, after 4a and 4d.

    torchvision's weights are for inputs in [-1, 1], so there is no normalisation; its "5x5" branches have 3x3 kernels.
    The auxiliary classifiers in its file are not trained."""
    body, entry = _build(name, channels, classes, normalise=False, aux_logits=True, init_weights=True)
    return Parts(
        stages=[
            nn.Sequential(body.conv1, body.maxpool1, body.conv2, body.conv3, body.maxpool2),
            nn.Sequential(body.inception3a, body.inception3b, body.maxpool3),
            body.inception4a,
            nn.Sequential(body.inception4b, body.inception4c, body.inception4d),
            nn.Sequential(body.inception4e, body.maxpool4, body.inception5a, body.inception5b),
        ],
        neck=nn.Sequential(body.avgpool, nn.Flatten(), Dropout(body.dropout.p)),
        head=body.fc,
        entry=entry,
        taps=(2, 3),
        auxiliary=[
            nn.Sequential(
                nn.AdaptiveAvgPool2d(4),
                branch.conv,
                nn.Flatten(),
                branch.fc1,
                nn.ReLU(inplace=True),
                Dropout(branch.dropout.p),
            )
            for branch in (body.aux1, body.aux2)
        ],
        auxiliary_heads=[body.aux1.fc2, body.aux2.fc2],
        foreign=_names(body),
    )


def _build(name: str, channels: int, classes: int, normalise: bool = True, **options: bool) -> tuple[Any, Entry]:
    """torchvision's network, with its first convolution for the channels of the entry, and the entry."""
    body = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    entry = Entry(channels, normalise)
    if entry.channels != 3:
        path = next(path for path, layer in body.named_modules() if isinstance(layer, nn.Conv2d))
        old = body.get_submodule(path)
        new = nn.Conv2d(
            entry.channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
        )
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        if new.bias is not None:
            nn.init.zeros_(new.bias)
        body.set_submodule(path, new)
    return body, entry


def _with_dense_layers(name: str, channels: int, classes: int, first: type[nn.Module]) -> Parts:
    """AlexNet or VGG, whose convolutions and poolings are a single sequence; `first` is the type of the first layer of
    a stage."""
    body, entry = _build(name, channels, classes)
    layers, pool = list(body.features)[:-1], body.features[-1]
    starts = sorted({0, *(place for place, layer in enumerate(layers) if isinstance(layer, first))})
    stages = [nn.Sequential(*layers[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]
    *dense, head = body.classifier
    return Parts(
        stages=stages,
        neck=nn.Sequential(pool, body.avgpool, nn.Flatten(), *dense),
        head=head,
        entry=entry,
        foreign=_names(body),
    )


def _names(body: nn.Module) -> dict[int, str]:
    return {id(tensor): name for name, tensor in body.state_dict(keep_vars=True).items()}
