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

LossName = Literal["minimax", "non-saturating", "least-squares", "wasserstein", "hinge", "relativistic"]
"""The keys of `zerosum.nn.losses.adversarial.ADVERSARIAL`, said again here because settings load without torch."""


def split_at_commas(value: object) -> object:
    """`hair,eyes` as its parts."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(split_at_commas)]
"""Several names; on the command line with commas between them."""


FEW_HELD, LEAST_HELD, MOST_HELD = 20, 0.05, 0.2
"""How many images `validation=auto` holds out, of few at most a fifth and of many a twentieth."""

HeldShare = Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)]


def held_share(validation: HeldShare, count: int) -> float:
    """The share of `count` images that is held out."""
    if validation != "auto":
        return validation
    return round(min(MOST_HELD, max(LEAST_HELD, FEW_HELD / max(1, count))), 3)


SPLIT_HELP = (
    "what decides which images are held out: content, the pixels of each, copies together, so that it holds when the "
    "data grows; order, their places in the set, as earlier versions did"
)
ORDER_BEFORE = {"split": "order"}
"""What runs of versions without the setting were split by."""


class Strict(BaseModel):
    """Unknown keys are errors, and settings do not change under a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class AdamSettings(Strict):
    """Adam (Kingma & Ba 2015)."""

    lr: PositiveFloat = Field(2e-4, description="learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty added to the gradient")


class TwoTimeScales(Strict):
    """Learning rates of a generator and a discriminator, which may differ (TTUR, Heusel et al. 2017, section 2)."""

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
    """Penalties on the discriminator of images; 0 leaves a penalty out."""

    r1: float = Field(0.0, ge=0, description="gamma of R1: gamma/2 times the squared slope at real images")


class PenaltySettings(Strict):
    """Weights of the discriminator's penalties; 0 leaves a penalty out."""

    r1: float = Field(0.0, ge=0, description="gamma of R1: gamma/2 times the squared slope at real images")
    r2: float = Field(0.0, ge=0, description="gamma of R2: gamma/2 times the squared slope at generated images")
    every: PositiveInt = Field(
        1, description="R1 and R2 in every so many steps only, and so many times as strong: sooner done, less sure"
    )
    between: float = Field(0.0, ge=0, description="WGAN-GP: squared gap between the slope and 1 between real and fake")
    around: float = Field(0.0, ge=0, description="DRAGAN: squared gap between the slope and 1 around real images")
    drift: float = Field(0.0, ge=0, description="squared score of real images: a Wasserstein critic stays near 0")
    clip: float = Field(0.0, ge=0, description="after each step, weights are clipped to [-clip, clip] (WGAN)")


class DecaySettings(Strict):
    """How the learning rate falls, along half a cosine from image 0 to `images`; then it stays."""

    images: PositiveInt = Field(
        250_000, description="images seen until the last values hold; unless given, not more than the run sees"
    )
    lr: float = Field(0.2, gt=0, le=1, description="the last learning rate, as a share of the first; 1: it never falls")


class Every(Strict):
    """How often things happen, in images seen."""

    log: PositiveInt = Field(1_000, description="images between two lines of stats.jsonl")
    sample: PositiveInt = Field(10_000, description="images between two sample grids")
    checkpoint: PositiveInt = Field(50_000, description="images between two checkpoints")
    checkpoint_minutes: PositiveFloat = Field(3.0, description="a checkpoint is written at least this often")


class ScoreSettings(Strict):
    """The light scores at checkpoints, by which the best of them is chosen; `zerosum evaluate` gives the full ones."""

    features: str = Field(
        "random",
        description="what sees the images: random, inception, resnet50 or another network, or a classifier run",
    )
    images: NonNegativeInt = Field(2000, description="generated images scored at each checkpoint; 0: none")


class Settings(Strict):
    """What every recipe can be told."""

    fits_few_images: ClassVar[bool] = False
    """Whether augmentation and length are chosen by the number of images, where they are few."""

    preset: str = Field("default", description="default, paper or code: a set of values that your own then override")
    size: str = Field("auto", description="height x width in pixels: 64, 48x80, or auto (from the data)")
    data: PackSettings = Field(PackSettings(), description="how images are brought to one shape")
    augment: AugmentSettings = Field(
        AugmentSettings(), description="how training images are varied: the name of a preset, or single settings"
    )
    batch: PositiveInt = Field(64, description="images in a batch")
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
        """The length where it is given in epochs, else None."""
        return self.epochs

    def in_epochs(self, count: int, classes: int) -> int:
        """The images seen of so many epochs, of such a set."""
        return max(1, round((self.epochs or 0) * self.epoch(count, classes)))

    def epoch(self, count: int, classes: int) -> int:
        """Images that are trained on, of a set of `count`."""
        return count

    def batch_plan(self, size: Size | None) -> Sequence[tuple[int, int]]:
        """Batch sizes over training, as (images seen from which it holds, batch), in order, the first from image 0.

        size: height and width of the images; None for vectors."""
        return [(0, self.batch)]

    @property
    def batches_a_step(self) -> int:
        """Batches of the first player in one step: each of them counts as images seen."""
        return 1

    def images_after(self, steps: int, size: Size | None) -> int:
        """Images seen after so many steps from the start, batch schedule and discriminator steps included."""
        pieces, images = self.batch_plan(size), 0
        for place, (_, batch) in enumerate(pieces):
            each, taken = batch * self.batches_a_step, steps
            if place + 1 < len(pieces):
                taken = min(steps, max(0, -((images - pieces[place + 1][0]) // each)))  # rounded up
            images, steps = images + taken * each, steps - taken
        return images

    def following(self, images: int, size: Size | None) -> dict[str, Any]:
        """Values, nested, of the settings other than `images` that follow a new run's length of so many images, where
        the user has not given them."""
        return {}

    def clock(self, images_seen: int, share: float) -> int:
        """The images seen that schedules count under a goal of minutes alone, of which this share, in [0, 1], is over.

        Never falls while images_seen and share rise. Here the images themselves: no schedule follows the goal."""
        return images_seen

    def clock_end(self, by_time: bool) -> int:
        """What schedules count at the end: the length; or of a goal of minutes alone what `clock` gives then, as far as
        it is known."""
        return self.clock(0, 1.0) if by_time else self.images

    def unreached(self, images: int, count: int, classes: int, size: Size | None) -> list[str]:
        """Sentences on what a run of so many images ends before."""
        return []

    def validate_start(self, init: str | Path | None) -> None:
        """Whether a run can begin so, with the weights of the run `init` if it is named. Raises ConfigError or
        DataError before any data is read."""

    def with_absolute_paths(self, absolute: Callable[[str], str]) -> Self:
        """The settings with the runs that they name under paths that hold in any working folder."""
        return self

    def balanced_column(self, info: "DatasetInfo") -> int | None:
        """The column of the condition whose values are drawn equally often in training; None where none is. Raises
        ConfigError when it is not clear which."""
        return None

    def example(self, info: "DatasetInfo") -> "DatasetInfo":
        """What a set of images is like for the example that a recipe is described with, beside their shape."""
        return info

    @property
    def notes(self) -> list[str]:
        """Sentences on what training goes without."""
        return []

    @property
    def later(self) -> list[str]:
        """Sentences on what is not known before training begins."""
        return []

    @property
    def frozen_layers(self) -> dict[str, int]:
        """How many layers of each player keep the weights that they begin with."""
        return {}

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        """`resolution=64`, the word of most papers and tools, is `size=64`; `k=3` is `discriminator_steps=3`."""
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
    """Layers that a run begun with --init keeps as they are."""

    freeze_discriminator: NonNegativeInt = Field(
        0, description="so many of its layers, from the image on, keep their weights (FreezeD)"
    )
    freeze_generator: NonNegativeInt = Field(
        0, description="so many of its layers, from the latent on, keep their weights"
    )


class AdversarialSettings(Settings):
    """What recipes with one generator against one discriminator can be told."""

    fits_few_images: ClassVar[bool] = True

    augment: GanAugmentSettings = Field(
        GanAugmentSettings(differentiable="auto"),
        description="how images are varied: the name of a preset, or single settings",
    )
    transfer: TransferSettings = TransferSettings()
    loss: LossName = Field("non-saturating", description="the adversarial loss")
    score: ScoreSettings = ScoreSettings()
    optimizer: TwoTimeScales = TwoTimeScales()
    penalty: PenaltySettings = Field(PenaltySettings(), description="penalties on the discriminator")
    discriminator_steps: PositiveInt = Field(
        1, description="k of Algorithm 1, and k=3 in short: discriminator steps before each generator step"
    )

    @property
    def batches_a_step(self) -> int:
        """Batches of the discriminator in one step."""
        return self.discriminator_steps

    @property
    def condition_names(self) -> tuple[str, ...] | None:
        """What the generator is conditioned on, by name; empty: on all that the data has; None: on nothing."""
        return None

    def validate_start(self, init: str | Path | None) -> None:
        """Raises ConfigError when layers are to keep weights that come from nowhere."""
        if init is not None:
            return
        for name, count in self.transfer.model_dump().items():
            if count:
                raise ConfigError(
                    f"transfer.{name}={count} keeps layers as they are, and there is nothing to keep: name the run "
                    "that they come from with --init."
                )

    def with_absolute_paths(self, absolute: Callable[[str], str]) -> Self:
        """The same with the run that scores checkpoints under its absolute path."""
        if not (Path(self.score.features) / "config.yaml").is_file():
            return self
        score = self.score.model_copy(update={"features": absolute(self.score.features)})
        return self.model_copy(update={"score": score})

    @property
    def frozen_layers(self) -> dict[str, int]:
        """Those of `transfer`."""
        return {
            "generator": self.transfer.freeze_generator,
            "discriminator": self.transfer.freeze_discriminator,
        }


class ConditionalSettings(AdversarialSettings):
    """What recipes can be told whose generator may be told what to make."""

    conditional: bool = Field(False, description="tell both networks the class of an image, or its attributes")
    attributes: Names = Field(
        (), description="what they are told: class, or columns of tags.csv; by default all columns, else the class"
    )
    balance: bool | str = Field(
        False,
        description="show each class equally often, however few images it has; with several attributes the name of one",
    )

    @property
    def condition_names(self) -> tuple[str, ...] | None:
        """The attributes."""
        return self.attributes if self.conditional else None

    def balanced_column(self, info: "DatasetInfo") -> int | None:
        """That of `balance`."""
        if not self.balance:
            return None
        names = [condition.name for condition in info.conditions]
        if self.balance is True and len(names) == 1:
            return 0
        if self.balance in names:
            return names.index(str(self.balance))
        if self.balance is True:
            raise ConfigError(
                f"balance=true: {info.source} has {len(names)} attributes, {listed(names)}, which cannot all be "
                f"balanced at once. Name one of them, as in balance={names[0]}."
            )
        raise ConfigError(f"balance={self.balance}: the generator is told {listed(names)}. Name one of these.")

    @model_validator(mode="after")
    def _attributes_are_told(self) -> Self:
        if self.balance and not self.conditional:
            raise ValueError(f"balance={str(self.balance).lower()} needs conditional=true")
        if self.attributes and not self.conditional:
            raise ValueError(f"attributes={','.join(self.attributes)} needs conditional=true")
        return self
