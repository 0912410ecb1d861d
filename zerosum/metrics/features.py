"""Feature extractors: named networks with their own preprocessing, which is part of the metric.

Every extractor takes images as they come, (N, C, H, W) in [-1, 1] at any size, and first rounds them to the 8-bit grid
(`quantised`), as if they had been written to a picture file and read again: real images were, and a generator must not
gain or lose by values between two grays. The caller does not do that, nor any resizing. `--features` on the command
line is the text that `open_extractor` reads.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from zerosum.metrics.inception import FID_DIGEST, FID_URL, inception_network
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.seeds import rng
from zerosum.utils.weights import downloaded, fingerprint, misfit, read_weights

BACKBONES = (
    "alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "googlenet",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
)  # fmt: skip
NAMES = ("random", "inception", *BACKBONES)
SMALLEST = 8  # pixels a side that `random` takes at least
SIDE = 224  # pixels: what torchvision's weights of ImageNet were trained on
PART = 64  # images in one pass through a large network
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue in [0, 1]


class Extractor(Protocol):
    """Images to features.

    name: part of the name of every score, such as `random`, `inception`, or `resnet50-1a2b3c4d` for weights of one's
    own. hash: the first 12 hexadecimal digits of the weights' sha256. resize: in words, what is done to images before
    the network sees them. One with classes also has probabilities(features) -> (N, K)."""

    name: str
    hash: str
    dimension: int
    resize: str

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, dimension) float32 of images (N, C, H, W) in [-1, 1], on their device."""


class RandomFeatures:
    """A fixed random network: pixels at 8x8, and three random convolutions at 2x2. 64 C + 896 features.

    It sees colours, layout and coarse texture, and knows nothing of what images show: good enough to say whether
    training goes on, to notice a collapse, and to check a score. Any channels, 8 pixels or more each way. The numbers
    of one set of images say nothing about those of another."""

    name = "random"
    hash = "random-net-1"  # the weights are a function of the channels; the digit rises if that function changes
    resize = "none"

    def __init__(self, channels: int, alpha: bool = False) -> None:
        self.alpha = alpha
        if alpha:
            self.hash += "-over-white"
        self.channels, self.dimension = channels, 64 * channels + 4 * (32 + 64 + 128)
        stream = rng("random features", channels)
        self.kernels = [
            torch.from_numpy(stream.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))).float()  # He 2015
            for inputs, outputs in pairwise((channels, 32, 64, 128))
        ]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Raises ValueError for images with other channels, or smaller than 8 pixels."""
        if images.shape[1] != self.channels or min(images.shape[2:]) < SMALLEST:
            raise ValueError(
                f"these random features see images of {self.channels} channels and {SMALLEST} pixels or more each way, "
                f"got {tuple(images.shape[1:])}: enlarge the images, or open the extractor for their channels"
            )
        if self.alpha:  # the colours of transparent pixels are seen by nobody
            images = torch.cat((over_white(images), images[:, -1:]), dim=1)
        maps = quantised(images)
        features = [adaptive_avg_pool2d(maps, 8).flatten(1)]
        for kernels in self.kernels:
            maps = torch.conv2d(maps, kernels.to(maps.device), stride=2, padding=1).relu_()
            features.append(0.5 * adaptive_avg_pool2d(maps, 2).flatten(1))  # as loud as the pixels, which are fewer
        return torch.cat(features, dim=1)


class Inception:
    """The Inception-v3 of the Fréchet inception distance (Heusel et al. 2017): 2,048 features after the last pooling.

    path: a file of its weights, such as pytorch-fid's; None takes that file from torch's cache or downloads it. With
    any other weights it is the same network, but what it measures is no FID and its name says so.
    Resizing is antialiased and clamped to 0..255, without rounding, as in clean-fid (Parmar et al. 2022), whose pixels
    these are to 0.01 of 255; Heusel's own code resizes bilinearly and without antialiasing, and the numbers differ for
    images that are not 299 pixels.
    Raises ConfigError when there are no weights, DataError when the file holds others."""

    dimension = 2048

    def __init__(self, channels: int, alpha: bool = False, path: str | Path | None = None) -> None:
        self.colour, words = _to_colour(channels, alpha, "inception")
        self.resize = f"{words}bicubic to 299x299, antialiased, clamped"
        path = Path(path) if path is not None else downloaded(FID_URL, _remedy("inception"))
        with _weights_of("FID's Inception-v3", path):
            self.network, self.classes = inception_network(read_weights(path))
        digest = fingerprint(path)
        self.hash, self.is_fid = digest[:12], digest.startswith(FID_DIGEST)
        self.name = "inception" if self.is_fid else f"inception-{digest[:8]}"

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 2048)."""
        return _in_parts(self._see, images, self.network)

    def probabilities(self, features: Tensor) -> Tensor:
        """Class probabilities (N, 1008) that follow from features (N, 2048), for the inception score: without the
        biases of the last layer, as in the code of Salimans et al. 2016."""
        return (features @ self.classes.to(features.device).T).softmax(dim=1)

    def _see(self, images: Tensor) -> Tensor:
        # (p - 128) / 128 for a pixel p of 0 to 255, as in the TensorFlow graph
        pixels = (resized(self.colour(quantised(images)), 299) + 1) * 127.5
        features: Tensor = self.network((pixels - 128) / 128)
        return features


class Backbone:
    """An ImageNet classifier of torchvision: the input of its last layer.

    name: one of `BACKBONES`. path: a file of its weights, with any number of classes; None takes torchvision's.
    Raises ConfigError when there are no weights, DataError when the file holds others."""

    def __init__(self, name: str, channels: int, alpha: bool = False, path: str | Path | None = None) -> None:
        self.colour, words = _to_colour(channels, alpha, name)
        self.resize = f"{words}bicubic to {SIDE}x{SIDE}, antialiased, clamped"
        own = path is not None
        if path is None:
            path = downloaded(torchvision.models.get_model_weights(name).DEFAULT.url, _remedy(name))
        with _weights_of(f"torchvision's {name}", path):
            self.network, self.last = _classifier(name, read_weights(path))
        self.dimension = self.last.in_features
        digest = fingerprint(path)
        self.hash, self.name = digest[:12], f"{name}-{digest[:8]}" if own else name
        # GoogLeNet's weights come from a network that sees [-1, 1]
        mean, std = ((0.5,) * 3, (0.5,) * 3) if name == "googlenet" else (_MEAN, _STD)
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, dimension)."""
        return _in_parts(self._see, images, self.network)

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor:
        """Class probabilities (N, K) that follow from features (N, dimension)."""
        probabilities: Tensor = self.last.to(features.device)(features).softmax(dim=1)
        return probabilities

    def _see(self, images: Tensor) -> Tensor:
        pixels = (resized(self.colour(quantised(images)), SIDE) + 1) / 2
        features: Tensor = self.network((pixels - self.mean.to(pixels.device)) / self.std.to(pixels.device))
        return features


def open_extractor(text: str, channels: int, alpha: bool = False) -> Extractor:
    """The extractor of that name for images with this number of channels, including alpha if alpha is true.

    text: `random`, `inception`, `resnet50` and others, or `inception:FILE` and `resnet50:FILE` with own weights. Raises
    ConfigError for an unknown name, unavailable weights, or images that it does not support; DataError if the file does
    not contain its weights."""
    name, path = named_extractor(text, channels, alpha)
    try:
        if name == "random":
            return RandomFeatures(channels, alpha)
        if name == "inception":
            return Inception(channels, alpha, path or None)
        return Backbone(name, channels, alpha, path or None)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error


def named_extractor(text: str, channels: int, alpha: bool = False) -> tuple[str, str]:
    """The name and the file (or "") in the text of `open_extractor`, which takes a moment and no weights.

    Raises ConfigError when there is no extractor of that name, or it sees no images of so many channels; DataError when
    there is no such file."""
    name, _, path = text.partition(":")
    if name not in NAMES or (name == "random" and path):
        near = get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean {near[0]}?" if near and near[0] != name else ""
        raise ConfigError(
            f"There are no features {text!r}.{hint} There are {', '.join(NAMES)}; NAME:FILE for weights of your own, "
            "but for random; and the run folder of a classifier."
        )
    try:
        if name != "random":
            _to_colour(channels, alpha, name)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    if path and not Path(path).is_file():
        raise DataError(f"There is no weights file {path}. Give the path of weights of {name}, or only {name}.")
    return name, path


def quantised(images: Tensor) -> Tensor:
    """Images in [-1, 1] rounded to the nearest of the 256 values that a picture file has, and clamped to them."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).div(127.5).sub(1)


def resized(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] to side x side pixels, by a bicubic filter that widens where it makes smaller (as
    Pillow), and clamped: such a filter overshoots at edges, by up to a third of the range."""
    if images.shape[2:] == (side, side):
        return images
    return interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


def over_white(images: Tensor) -> Tensor:
    """The colours of images in [-1, 1] whose last channel is opacity, composited over white."""
    opacity = (images[:, -1:] + 1) / 2
    return images[:, :-1] * opacity + (1 - opacity)  # white is 1


def _to_colour(channels: int, alpha: bool, name: str) -> tuple[Callable[[Tensor], Tensor], str]:
    """How images become red, green and blue, and the words for it. Raises ValueError when they cannot."""
    colours = channels - alpha
    if colours not in (1, 3):
        raise ValueError(
            f"{name} sees gray and colour, and these images have {channels} channels: take --features random, or a "
            "classifier that was trained on such images (--features RUN)"
        )

    def to_colour(images: Tensor) -> Tensor:
        if images.shape[1] != channels:
            raise ValueError(f"{name} was opened for images of {channels} channels, got {images.shape[1]}")
        if alpha:
            images = over_white(images)
        return images.expand(-1, 3, -1, -1)

    words = ["alpha laid over white"] * alpha + ["gray to colour"] * (colours == 1)
    return to_colour, "".join(f"{word}, " for word in words)


def _classifier(name: str, weights: dict[str, Tensor]) -> tuple[nn.Module, nn.Linear]:
    """torchvision's network up to its features, and the last layer, with these weights in eval mode.

    Raises ValueError when they are not this network's."""
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    last = "classifier.6" if name.startswith(("alexnet", "vgg")) else "fc"
    weights = {key: tensor for key, tensor in weights.items() if not key.startswith(("aux1.", "aux2."))}
    classes = len(weights.get(f"{last}.bias", ()))
    with torch.device("meta"):  # nothing is drawn that the file overwrites
        network = torchvision.models.get_model(name, weights=None, num_classes=max(1, classes), **options)
    if words := misfit(network.state_dict(), weights):
        raise ValueError(words)
    network.to_empty(device="cpu").load_state_dict(weights)
    head = network.get_submodule(last)
    network.set_submodule(last, nn.Identity())
    return network.eval().requires_grad_(False), head.requires_grad_(False)


@contextmanager
def _weights_of(what: str, path: str | Path) -> Iterator[None]:
    """Turn a ValueError of weights that do not fit into a DataError that names their file."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{path} does not hold the weights of {what}: {error}.") from error


@torch.no_grad()
def _in_parts(see: Callable[[Tensor], Tensor], images: Tensor, network: nn.Module) -> Tensor:
    """see(images), a few at a time, with the network on their device."""
    network.to(images.device)
    return torch.cat([see(part) for part in images.split(PART)])


def _remedy(name: str) -> str:
    return (
        f"Name a file that you have with --features {name}:FILE, or take what needs none: --features random, or the "
        "run folder of a classifier."
    )
