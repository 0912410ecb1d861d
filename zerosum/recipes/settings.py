"""Typed settings that every recipe shares. The same models give the command line, the docs and `config.yaml`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from zerosum.data.records import listed
from zerosum.data.settings import PackSettings, Size, parse_size
from zerosum.nn.augment.settings import AugmentSettings, GanAugmentSettings
from zerosum.recipes.overrides import ALIASES
from zerosum.utils.errors import ConfigError

if TYPE_CHECKING:
    from zerosum.data.dataset import DatasetInfo

LossName = Literal[
    "minimax", "non-saturating", "least-squares", "wasserstein", "hinge", "relativistic", "relativistic-average"
]
"""The keys of `zerosum.nn.losses.adversarial.ADVERSARIAL`, repeated here because settings load without torch."""


def split_at_commas(value: object) -> object:
    """`hair,eyes` as a tuple."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(split_at_commas)]
"""Several names; on the command line separated by commas."""


FEW_HELD, LEAST_HELD, MOST_HELD = 20, 0.05, 0.2
"""`validation=auto` holds out 20 images, but at least a twentieth and at most a fifth."""

HeldShare = Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)]


def held_share(validation: HeldShare, count: int) -> float:
    """The share of `count` images that is held out."""
    if validation != "auto":
        return validation
    return round(min(MOST_HELD, max(LEAST_HELD, FEW_HELD / max(1, count))), 3)


SPLIT_HELP = (
    "how held-out images are chosen: content, by a hash of their pixels, so that copies stay together and the split "
    "stays the same when the data grows; order, by their positions in the data set, as earlier versions did"
)
ORDER_BEFORE = {"split": "order"}
"""The split of runs whose version did not have the setting."""


Attention = NonNegativeInt | Literal["half"]
ATTENTION_HELP = (
    "self-attention in both networks, at the feature map whose shorter side has this many pixels, or half those of "
    "the image; 0: none"
)


def attention_side(attention: Attention, height: int, width: int) -> int:
    """The shorter side of the feature map with self-attention, in images of this size; 0: none."""
    return min(height, width) // 2 if attention == "half" else attention


class Strict(BaseModel):
    """Immutable settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class AdamSettings(Strict):
    """Adam (Kingma & Ba 2015)."""

    lr: PositiveFloat = Field(2e-4, description="learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty added to the gradient")


class TwoTimeScales(Strict):
    """Separate learning rates for generator and discriminator (TTUR, Heusel et al. 2017, section 2)."""

    lr: PositiveFloat = Field(2e-4, description="learning rate")
    discriminator_lr: PositiveFloat | None = Field(
        None, description="learning rate of the discriminator (TTUR); none: the same. Schedules scale both alike"
    )

    @property
    def discriminator_ratio(self) -> float:
        """The discriminator's learning rate as a multiple of the generator's."""
        return 1.0 if self.discriminator_lr is None else self.discriminator_lr / self.lr


class GanAdamSettings(TwoTimeScales, AdamSettings):
    """Adam for two players."""


class R1Settings(Strict):
    """Penalties on the discriminator of images; 0 disables a penalty."""

    r1: float = Field(0.0, ge=0, description="gamma of R1: gamma/2 times the squared gradient norm at real images")


class PenaltySettings(Strict):
    """Weights of the discriminator's penalties; 0 disables a penalty."""

    r1: float = Field(0.0, ge=0, description="gamma of R1: gamma/2 times the squared gradient norm at real images")
    r2: float = Field(0.0, ge=0, description="gamma of R2: gamma/2 times the squared gradient norm at generated images")
    every: PositiveInt = Field(
        1, description="lazy regularisation: R1 and R2 every N steps, scaled by N; cheaper, noisier"
    )
    between: float = Field(
        0.0, ge=0, description="WGAN-GP: squared difference of the gradient norm from 1, between real and fake"
    )
    around: float = Field(
        0.0, ge=0, description="DRAGAN: squared difference of the gradient norm from 1, around real images"
    )
    drift: float = Field(0.0, ge=0, description="squared score of real images, which keeps a Wasserstein critic near 0")
    clip: float = Field(0.0, ge=0, description="weights are clipped to [-clip, clip] after each step (WGAN)")


class DecaySettings(Strict):
    """Learning rate decay: half a cosine from image 0 to `images`, constant afterwards."""

    images: PositiveInt = Field(
        250_000,
        description="images seen until the final values are reached; unless given, at most the length of the run",
    )
    lr: float = Field(0.2, gt=0, le=1, description="final learning rate, as a share of the first; 1: constant")


class Every(Strict):
    """Intervals of logging, samples and checkpoints, in images seen."""

    log: PositiveInt = Field(1_000, description="images between two lines of stats.jsonl")
    sample: PositiveInt = Field(10_000, description="images between two sample grids")
    checkpoint: PositiveInt = Field(50_000, description="images between two checkpoints")
    checkpoint_minutes: PositiveFloat = Field(3.0, description="a checkpoint is written at least this often")


class ScoreSettings(Strict):
    """Quick scores at checkpoints, which choose the best one; `zerosum evaluate` computes the full scores."""

    features: str = Field(
        "random",
        description="feature extractor: random, inception, resnet50 or another network, or a classifier run",
    )
    images: NonNegativeInt = Field(2000, description="generated images scored at each checkpoint; 0: no scores")


class Settings(Strict):
    """Settings of every recipe."""

    sets: ClassVar[int] = 1
    """How many sets of images the data has that are learnt from side by side, such as two domains."""
    fits_few_images: ClassVar[bool] = False
    """Whether augmentation and length are chosen automatically for small data sets."""

    preset: str = Field("default", description="default, paper or code: a set of values, which your own override")
    size: str = Field("auto", description="height x width in pixels: 64, 48x80, or auto (from the data)")
    data: PackSettings = Field(PackSettings(), description="how images are converted to one shape")
    augment: AugmentSettings = Field(
        AugmentSettings(), description="augmentation of training images: the name of a preset, or single settings"
    )
    batch: PositiveInt = Field(64, description="images in a batch, of all processes together")
    accumulate: PositiveInt = Field(
        1, description="micro-batches that a process computes one after the other, for a batch that does not fit"
    )
    reproducible: NonNegativeInt = Field(
        0,
        description="micro-batches, a power of 2, that are added in a fixed order: the same weights to the bit on 1, "
        "2, 4, ... processes; 0: off",
    )
    images: PositiveInt = Field(
        1_000_000,
        description="length of training in images seen, as --images; schedules that follow the goal end there",
    )
    epochs: PositiveFloat | None = Field(None, description="passes over the training images, in place of images")
    ema_half_life: float = Field(10_000, ge=0, description="half-life of the generator's moving average, in images")
    every: Every = Every()

    def goal(self, count: int, classes: int) -> int:
        """Length of training in images seen, on a set of `count` images of `classes` classes."""
        return self.images if self.length_in_epochs is None else self.in_epochs(count, classes)

    @property
    def length_in_epochs(self) -> float | None:
        """The length if it is given in epochs, else None."""
        return self.epochs

    def in_epochs(self, count: int, classes: int) -> int:
        """The length in images of `epochs` epochs on such a data set."""
        return max(1, round((self.epochs or 0) * self.epoch(count, classes)))

    def epoch(self, count: int, classes: int) -> int:
        """Training images of a set of `count`."""
        return count

    def batch_plan(self, size: Size | None) -> Sequence[tuple[int, int]]:
        """Batch sizes over training, as (images seen from which it holds, batch), in order, the first from image 0.

        size: height and width of the images; None for vectors."""
        return [(0, self.batch)]

    @property
    def batches_a_step(self) -> int:
        """Batches of the first player in one step; all of them count as images seen."""
        return 1

    def images_after(self, steps: int, size: Size | None) -> int:
        """Images seen after `steps` steps from the start, given batch schedule and discriminator steps."""
        pieces, images = self.batch_plan(size), 0
        for index, (_, batch) in enumerate(pieces):
            each, taken = batch * self.batches_a_step, steps
            if index + 1 < len(pieces):
                taken = min(steps, max(0, -((images - pieces[index + 1][0]) // each)))  # rounded up
            images, steps = images + taken * each, steps - taken
        return images

    def following(self, images: int, size: Size | None) -> dict[str, Any]:
        """Nested values of settings that depend on the length `images` of a new run, such as schedules; used where the
        user has not given them."""
        return {}

    def clock(self, images_seen: int, share: float) -> int:
        """The argument of schedules, in images, where the goal is in minutes alone; share in [0, 1] is the elapsed
        part.

        Non-decreasing in both arguments. By default the images seen: no schedule follows the goal."""
        return images_seen

    def clock_end(self, by_time: bool) -> int:
        """The argument of schedules at the end: the length; with a goal of minutes alone, the value of `clock`, as far
        as it is known."""
        return self.clock(0, 1.0) if by_time else self.images

    def unreached(self, images: int, count: int, classes: int, size: Size | None) -> list[str]:
        """Sentences about what a run of `images` images does not reach."""
        return []

    def validate_start(self, init: str | Path | None) -> None:
        """Check that a run can start with these settings, from the run `init` if given. Raises ConfigError or DataError
        before any data is read."""

    def with_absolute_paths(self, absolute: Callable[[str], str]) -> Self:
        """The settings with absolute paths of the runs they name."""
        return self

    def balanced_column(self, info: "DatasetInfo") -> int | None:
        """The index of the condition whose values are sampled equally often in training; None for no balancing. Raises
        ConfigError when it is ambiguous."""
        return None

    def allowed_size(self, size: Size) -> Size:
        """The nearest size that these settings allow, of those that the networks support."""
        return size

    def example(self, info: "DatasetInfo") -> "DatasetInfo":
        """The data set of the example in a recipe's description: info with conditions, classes or pairs added."""
        return info

    @property
    def notes(self) -> list[str]:
        """Notes about what training omits."""
        return []

    @property
    def frozen_layers(self) -> dict[str, int]:
        """The number of frozen layers of each player."""
        return {}

    def micro_batches(self, processes: int) -> int:
        """The number of micro-batches of a batch on this number of processes. Raises ConfigError for a number of
        processes that does not divide it."""
        count = self.reproducible or self.accumulate * processes
        if count % processes:
            raise ConfigError(
                f"reproducible={count}: {processes} processes cannot share {count} micro-batches equally; start a "
                "number of processes that divides them."
            )
        return count

    def validate_division(self, processes: int, size: Size | None) -> int:
        """`micro_batches`, also checked against the batch sizes of the whole run (`batch_plan`). Raises ConfigError for
        a batch that cannot be divided so."""
        count = self.micro_batches(processes)
        for _, batch in self.batch_plan(size):
            if batch % count:
                parts = f"reproducible={count}" if self.reproducible else f"accumulate={self.accumulate}"
                shared = f" and {processes} processes" if processes > 1 else ""
                near = max(count, round(batch / count) * count)
                raise ConfigError(
                    f"batch={batch} cannot be divided into {count} equal parts ({parts}{shared}); use batch={near}, "
                    "say."
                )
        return count

    @model_validator(mode="after")
    def _one_division(self) -> Self:
        if self.reproducible & (self.reproducible - 1):
            raise ValueError(f"reproducible={self.reproducible} is not a power of 2")
        if self.reproducible and self.accumulate > 1:
            raise ValueError("reproducible is a number of micro-batches itself; leave accumulate out")
        return self

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        """`resolution=64` is accepted for `size=64`, and `k=3` for `discriminator_steps=3`."""
        for word, key in ALIASES.items():
            if isinstance(value, Mapping) and word in value and key in cls.model_fields:
                value = {name: part for name, part in value.items() if name != word} | {key: value[word]}
        return value

    @field_validator("size", mode="before")
    @classmethod
    def _readable_size(cls, value: object) -> str:
        if str(value) != "auto":
            parse_size(str(value))
        return str(value)


class TransferSettings(Strict):
    """Frozen layers of a run that starts with --init."""

    freeze_discriminator: NonNegativeInt = Field(
        0, description="number of frozen layers, counted from the image (FreezeD)"
    )
    freeze_generator: NonNegativeInt = Field(0, description="number of frozen layers, counted from the latent")


class AdversarialSettings(Settings):
    """Settings of recipes with one generator and one discriminator."""

    fits_few_images: ClassVar[bool] = True

    augment: GanAugmentSettings = Field(
        GanAugmentSettings(differentiable="auto"),
        description="augmentation: the name of a preset, or single settings",
    )
    transfer: TransferSettings = TransferSettings()
    loss: LossName = Field("non-saturating", description="the adversarial loss")
    score: ScoreSettings = ScoreSettings()
    optimizer: TwoTimeScales = TwoTimeScales()
    penalty: PenaltySettings = Field(PenaltySettings(), description="penalties on the discriminator")
    discriminator_steps: PositiveInt = Field(
        1, description="discriminator steps per generator step: k of Algorithm 1; short form k=3"
    )

    @property
    def batches_a_step(self) -> int:
        """Discriminator batches per training step."""
        return self.discriminator_steps

    @property
    def condition_names(self) -> tuple[str, ...] | None:
        """Names of the conditions of the generator; empty: all that the data has; None: unconditional."""
        return None

    def validate_start(self, init: str | Path | None) -> None:
        """Raises ConfigError for frozen layers without a run to start from."""
        if init is not None:
            return
        for name, count in self.transfer.model_dump().items():
            if count:
                raise ConfigError(
                    f"transfer.{name}={count} freezes layers, which would stay at random weights: name a run to start "
                    "from with --init."
                )

    def with_absolute_paths(self, absolute: Callable[[str], str]) -> Self:
        """The settings with the absolute path of the run that scores checkpoints."""
        if not (Path(self.score.features) / "config.yaml").is_file():
            return self
        score = self.score.model_copy(update={"features": absolute(self.score.features)})
        return self.model_copy(update={"score": score})

    @property
    def frozen_layers(self) -> dict[str, int]:
        """The frozen layers of `transfer`."""
        return {
            "generator": self.transfer.freeze_generator,
            "discriminator": self.transfer.freeze_discriminator,
        }


class ConditionalSettings(AdversarialSettings):
    """Settings of recipes that can be conditional."""

    conditional: bool = Field(
        False, description="condition both networks on the class of an image, or on its attributes"
    )
    attributes: Names = Field(
        (),
        description="the conditions: class, or columns of tags.csv; by default all columns, or the class if "
        "there are none",
    )
    balance: bool | str = Field(
        False,
        description="sample each class equally often, however few images it has; with several attributes, name one",
    )

    @property
    def condition_names(self) -> tuple[str, ...] | None:
        """`attributes`, if conditional."""
        return self.attributes if self.conditional else None

    def balanced_column(self, info: "DatasetInfo") -> int | None:
        """The index of the condition that `balance` names."""
        if not self.balance:
            return None
        names = [condition.name for condition in info.conditions]
        if self.balance is True and len(names) == 1:
            return 0
        if self.balance in names:
            return names.index(str(self.balance))
        if self.balance is True:
            raise ConfigError(
                f"balance=true: {info.source} has {len(names)} attributes, {listed(names)}, and only one can be "
                f"balanced. Name it, as in balance={names[0]}."
            )
        raise ConfigError(f"balance={self.balance}: the conditions are {listed(names)}. Name one of these.")

    @model_validator(mode="after")
    def _needs_conditional(self) -> Self:
        if self.balance and not self.conditional:
            raise ValueError(f"balance={str(self.balance).lower()} needs conditional=true")
        if self.attributes and not self.conditional:
            raise ValueError(f"attributes={','.join(self.attributes)} needs conditional=true")
        return self
