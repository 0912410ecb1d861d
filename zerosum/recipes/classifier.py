"""Image classifiers: CNNs trained from scratch or by transfer learning; a single player."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator
from torch import nn
from torch.nn.functional import cross_entropy

from zerosum.data import sampler as order
from zerosum.data.conditioning.binning import Bins, parse_bins
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.settings import Size
from zerosum.data.split import SplitBy, few_per_class, split_indices
from zerosum.engine.adam import Adam
from zerosum.engine.players import Batch, Hooks, Player, Schedule, System, Terms
from zerosum.engine.schedule import cosine, linear
from zerosum.nn.networks.cnn import Cnn, cnn, imagenet_weights, smallest_side
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ORDER_BEFORE, SPLIT_HELP, Settings, Strict
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.weights import read_weights

Network = Literal[
    "small", "lenet5", "resnet20", "resnet32", "resnet44", "resnet56", "vgg-small",
    "alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "googlenet",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
]  # fmt: skip
"""The names of `zerosum.nn.networks.cnn.NETWORKS`, repeated here for the command line and forms."""

WITHOUT_BATCH_NORM = ("lenet5", "alexnet", "vgg11", "vgg13", "vgg16", "vgg19")
WARM_UP, LAST = 0.05, 0.01
"""cosine: the share of training over which the learning rate rises; and its final share, not 0, so that training can be
continued."""


class ClassifierOptimizerSettings(Strict):
    """AdamW, or SGD with momentum."""

    name: Literal["adamw", "sgd"] = Field("adamw", description="adamw, or sgd with momentum")
    lr: PositiveFloat | Literal["auto"] = Field(
        "auto", description="peak learning rate; auto: chosen by optimiser, network and transfer"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum; adamw: decay of the first moment")
    nesterov: bool = Field(True, description="sgd: Nesterov's momentum; false: plain momentum (He et al. 2016)")
    weight_decay: NonNegativeFloat = Field(0.05, description="adamw: decoupled decay; sgd: L2 penalty in the gradient")
    schedule: Literal["cosine", "steps", "constant"] = Field(
        "cosine",
        description="cosine: warm-up for a twentieth of the epochs, then decay to 1 %; steps: a tenth after "
        "1/2 and 3/4",
    )


class ClassifierSettings(Settings):
    """Settings of `classifier`."""

    network: Network = Field("small", description="the architecture")
    width: PositiveInt = Field(32, description="small: channels of the first layer; each stage doubles them")
    weights: str = Field(
        "none",
        description="pretrained weights: none, imagenet (torchvision's, downloaded), or a FILE",
    )
    transfer: Literal["none", "features", "finetune"] = Field(
        "none",
        description="features: only the head is trained; finetune: all layers, with lower rates nearer the "
        "image; none: all",
    )
    head_epochs: NonNegativeFloat = Field(1, description="finetune: epochs in which only the head is trained")
    depth_decay: float = Field(
        0.3,
        gt=0,
        le=1,
        description="finetune: learning rate of each stage as a share of that of the next stage towards the head",
    )
    label: str = Field("class", description="what to classify: class, or the name of an attribute of the data")
    bins: Bins | None = Field(
        None,
        description="for an ordered label, such as age: upper bounds of its classes, its values, or auto",
    )
    per_class: PositiveInt | None = Field(None, description="train on at most this many images of each class")
    validation: float = Field(
        0.1, ge=0, le=0.5, description="share of the images held out to choose the best checkpoint"
    )
    split: SplitBy = Field("content", description=SPLIT_HELP)
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="label smoothing: share of the target spread over all classes"
    )
    batch: PositiveInt = Field(128, description="images in a batch")
    epochs: PositiveFloat | None = Field(
        10, description="length of training in passes over the training images; the schedule ends there"
    )
    images: PositiveInt | None = Field(None, description="length of training in images seen, in place of epochs")  # type: ignore[assignment]
    optimizer: ClassifierOptimizerSettings = ClassifierOptimizerSettings()
    ema_half_life: float = Field(5_000, ge=0, description="half-life of the network's moving average, in images")

    @field_validator("bins", mode="before")
    @classmethod
    def _readable_bins(cls, value: Any) -> Any:
        return None if value is None else parse_bins(value)

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.images is None and self.epochs is None:
            raise ValueError("give images or epochs: how long to train")
        return self

    def clock(self, images_seen: int, share: float) -> int:
        """The learning rate follows the time."""
        return round(share * (self.images or 0))

    @property
    def length_in_epochs(self) -> float | None:
        """The length if it is given in epochs, else None; images take precedence."""
        return None if self.images is not None else self.epochs

    def unreached(self, images: int, count: int, classes: int, size: Size | None) -> list[str]:
        """A sentence if the run ends while only the head is trained."""
        alone = round(self.head_epochs * self.epoch(count, classes))
        if self.transfer != "finetune" or alone < images:
            return []
        return [
            f"The run ends after {images:,} images, but for {alone:,} only the head is trained; the rest of the "
            "network does not change. Train for more images, or with a smaller head_epochs."
        ]

    def validate_start(self, init: str | Path | None) -> None:
        """Raises ConfigError when there is no source of weights to transfer, or two; DataError when a file is
        missing."""
        named = self.weights != "none"
        if named and init is not None:
            raise ConfigError(f"weights={self.weights} and --init {init} both give initial weights; use one of them.")
        if self.transfer != "none" and not named and init is None:
            raise ConfigError("transfer needs initial weights: name them with weights=, or a run with --init.")
        if named and self.weights != "imagenet" and not Path(self.weights).is_file():
            raise DataError(f"{self.weights}: file of weights not found. Give imagenet, or the path of a file.")

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """Ten classes."""
        return replace(info, classes=tuple(f"class {i}" for i in range(10)))

    def epoch(self, count: int, classes: int) -> int:
        """Training images of a set of `count`, but for the rounding of each class."""
        kept = count - round(self.validation * count)
        return max(1, min(kept, (self.per_class or kept) * max(1, classes)))


PAPER = {
    "optimizer": {"name": "sgd", "lr": 0.1, "nesterov": False, "weight_decay": 1e-4, "schedule": "steps"},
    "augment": {"preset": "crop", "fill": "constant"},  # zeros beyond the edges
    "epochs": 182,  # 64,000 batches of 128 of CIFAR-10's 45,000 training images
    "ema_half_life": 0,
}


@recipe(
    "classifier",
    summary="image classification; also a feature extractor for scores of generators",
    paper="LeCun et al. 1998; Krizhevsky et al. 2012; Simonyan & Zisserman 2015; Szegedy et al. 2015; He et al. 2016",
    expect="MNIST: 99 % in three minutes with lenet5; Fashion-MNIST: 91 % in ten with small, on two CPU cores",
    settings=ClassifierSettings,
    nearest_size=lambda height, width: (height, width),
    largest_default=224,
    example_shape=(32, 32, 3),
    presets={"paper": PAPER},
    task=CLASSIFICATION,
    smallest_side=lambda settings: smallest_side(settings.network),
    bf16=lambda settings: settings.network == "small",
    older={**ORDER_BEFORE, "optimizer": {"nesterov": True}},
)
def classifier(settings: ClassifierSettings, data: DatasetInfo) -> System:
    """The default is AdamW with one cosine cycle and a moving average, which works in a few epochs with every network.
    `preset=paper` is the schedule that He et al. 2016 trained CIFAR-10 with (section 4.2): momentum, a learning rate of
    0.1 divided by 10 after a half and three quarters, shifts and mirror images."""
    if not data.classes:
        raise DataError(no_classes_text(data.source))
    height, width, channels = data.shape
    try:
        network = cnn(settings.network, (channels, height, width), len(data.classes), settings.width)
    except ValueError as error:
        raise ConfigError(f"{settings.network} cannot be built: {error}.") from error
    if settings.transfer == "features":
        network.freeze_features()

    def losses(batch: Batch) -> tuple[Terms, Terms]:
        images, labels = batch["image"], batch["label"]
        logits, auxiliary = network.forward_all(images)

        def loss(scores: torch.Tensor) -> torch.Tensor:
            return cross_entropy(scores.float(), labels, label_smoothing=settings.label_smoothing)

        terms = {"cross-entropy": loss(logits)}
        if auxiliary:  # GoogLeNet's two heads, at 0.3 each (Szegedy et al. 2015, section 5)
            terms["auxiliary"] = 0.3 * torch.stack([loss(head) for head in auxiliary]).sum()
        return terms, {"accuracy/training": (logits.argmax(dim=1) == labels).float().mean()}

    def players() -> list[Player]:
        groups = parameter_groups(network, settings)
        optimizer = make_optimizer(settings, groups)
        return [Player("classifier", network, optimizer, losses, schedule=schedule(settings, data, groups))]

    hooks = Hooks(load_weights=lambda: load_weights(network, settings), class_dependent=head_names(network))
    return System(network, players, hooks=hooks)


def no_classes_text(source: str) -> str:
    """The error message for data without classes."""
    return (
        f"{source} has no classes: put the images of each class in a folder of its own, or name an "
        "attribute with label=NAME."
    )


def split(settings: ClassifierSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out images, ascending; a pure function, so that evaluation finds the same
    ones. Images without a class (-1) are in neither. Raises DataError for data without classes."""
    if data.labels is None:
        raise DataError(f"{data.info.source} has no classes.")
    known = np.flatnonzero(data.labels >= 0)
    training, held = split_indices(data, known, settings.validation, seed, settings.split, data.labels[known])
    if settings.per_class is not None and settings.split == "content":
        training = training[few_per_class(data.content.of(training), data.labels[training], settings.per_class, seed)]
    elif settings.per_class is not None:
        training = training[order.few_per_class(data.labels[training], settings.per_class, seed)]
    return training, held


@dataclass(frozen=True)
class Group:
    """Parameters with the same hyperparameters. scale multiplies the learning rate; waits: frozen while only the head
    is trained; decays: weight decay applies (not to biases and gains of norms)."""

    parameters: list[nn.Parameter]
    scale: float
    waits: bool
    decays: bool


def parameter_groups(network: Cnn, settings: ClassifierSettings) -> list[Group]:
    """The trainable parameters, from the head to the image, with discriminative learning rates for fine-tuning (Howard
    & Ruder 2018, section 3.2, who divide the rate by 2.6 per layer)."""
    groups = []
    for distance, stage in enumerate([network.head, *reversed(network.stages)]):
        scale = settings.depth_decay**distance if settings.transfer == "finetune" else 1.0
        waits = settings.transfer == "finetune" and distance > 0
        trainable = [parameter for parameter in stage.parameters() if parameter.requires_grad]
        for decays in (True, False):
            if chosen := [parameter for parameter in trainable if (parameter.dim() > 1) == decays]:
                groups.append(Group(chosen, scale, waits, decays))
    return groups


def make_optimizer(settings: ClassifierSettings, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """The optimiser over the groups; their learning rates come from the schedule."""
    chosen = settings.optimizer
    parts = [
        {"params": group.parameters, "weight_decay": chosen.weight_decay if group.decays else 0.0} for group in groups
    ]
    lr = highest_rate(settings)
    if chosen.name == "sgd":
        nesterov = chosen.nesterov and chosen.momentum > 0
        return torch.optim.SGD(parts, lr, momentum=chosen.momentum, nesterov=nesterov, fused=True)
    return Adam(parts, lr, (chosen.momentum, 0.999), fused=True, decoupled_weight_decay=True)


def highest_rate(settings: ClassifierSettings) -> float:
    """The requested peak learning rate, or a default: lower without batch norm, and lower for pretrained weights."""
    if settings.optimizer.lr != "auto":
        return settings.optimizer.lr
    sgd = settings.optimizer.name == "sgd"
    if settings.transfer == "finetune":
        return 1e-2 if sgd else 1e-3
    if settings.network == "lenet5":
        return 2e-2 if sgd else 2e-3
    if settings.network in WITHOUT_BATCH_NORM and settings.transfer == "none":
        return 1e-2 if sgd else 3e-4
    return 1e-1 if sgd else 3e-3


def schedule(settings: ClassifierSettings, data: DatasetInfo, groups: Sequence[Group]) -> Schedule:
    """The learning rate of each group as a function of images seen."""
    count, classes = data.count, len(data.classes)
    end, highest = settings.goal(count, classes), highest_rate(settings)
    warm = WARM_UP * end
    head_alone = settings.head_epochs * settings.epoch(count, classes)

    def rate(images: int) -> float:
        if settings.optimizer.schedule == "constant":
            return highest
        if settings.optimizer.schedule == "steps":
            return highest * (1 if images < end / 2 else 0.1 if images < 3 * end / 4 else 0.01)
        if images < warm:
            return linear(images, 0, warm, highest / 10, highest)
        return cosine(images - warm, end - warm, highest, LAST * highest)

    def at(images: int) -> list[dict[str, float]]:
        now = rate(images)
        return [{"lr": 0.0 if group.waits and images < head_alone else now * group.scale} for group in groups]

    return at


def head_names(network: Cnn) -> frozenset[str]:
    """The names, in the network, of the tensors that depend on the number of classes."""
    return frozenset(f"head.{name}" for name, _ in network.head.named_parameters())


def load_weights(network: Cnn, settings: ClassifierSettings) -> bool:
    """Load the weights that `weights` names; False for none."""
    if settings.weights == "none":
        return False
    if settings.weights == "imagenet":
        network.load_pretrained(imagenet_weights(settings.network))
        return True
    try:
        network.load_pretrained(read_weights(settings.weights))
    except ValueError as error:
        raise DataError(f"{settings.weights} does not hold weights of {settings.network}: {error}.") from error
    return True
