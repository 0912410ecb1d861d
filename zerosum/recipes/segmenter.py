"""A segmenter: images to label maps. It also scores translation from label maps: does it recover the labels?"""

from pydantic import Field, PositiveInt
from torch.nn.functional import cross_entropy

from zerosum.data.dataset import DatasetInfo
from zerosum.data.decode.label_maps import VOID
from zerosum.data.settings import PackSettings
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec
from zerosum.nn.networks import unet
from zerosum.recipes.adversarial import adam
from zerosum.recipes.decay import decaying
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ORDER_BEFORE, AdamSettings
from zerosum.recipes.translation import TranslationSettings, halvings, input_of, jittered, nearest_size
from zerosum.runs.task import TRANSLATION
from zerosum.utils.errors import ConfigError, DataError


class SegmenterSettings(TranslationSettings):
    """Settings of `segmenter`."""

    data: PackSettings = Field(
        PackSettings(pairs=True, direction="BtoA", maps="A"),
        description="A are the label maps; with images in A and maps in B, data.direction=AtoB data.maps=B",
    )
    width: PositiveInt = Field(32, description="channels of the first layer; each halving doubles them, up to 8 times")
    depth: PositiveInt = Field(5, description="halvings at most; fewer where the size allows no more")
    batch: PositiveInt = Field(16, description="pairs in a batch")
    optimizer: AdamSettings = AdamSettings(lr=1e-3, beta1=0.9)


@recipe(
    "segmenter",
    summary="semantic segmentation: the class of each pixel; scores translation from label maps",
    paper="Ronneberger, Fischer & Brox 2015, arXiv 1505.04597, on the U-Net of pix2pix",
    expect="64 px portraits: nine of ten pixels right after a minute on two CPU cores",
    settings=SegmenterSettings,
    nearest_size=nearest_size,
    largest_default=256,
    example_shape=(64, 64, 3),
    task=TRANSLATION,
    bf16=lambda settings: True,
    older={**ORDER_BEFORE, "data": {"halves": True}, "sharp_jitter": True},
)
def segmenter(settings: SegmenterSettings, data: DatasetInfo) -> System:
    """One network trained with cross-entropy, without pixels that have no class; there is no second player."""
    given = input_of(data)
    if not data.labels:
        raise DataError(
            f"The targets in {data.source} are images, not label maps. Say which side holds label maps: data.maps=A "
            "data.direction=BtoA, or data.maps=B data.direction=AtoB."
        )
    height, width = data.shape[:2]
    depth = min(settings.depth, halvings(height, width))
    try:
        network = unet.Generator(given.width, len(data.labels), depth, settings.width, dropout=0, bounded=False)
    except ValueError as error:
        raise ConfigError(f"This network cannot be built: {error}.") from error

    def losses(batch: Batch) -> tuple[Terms, Terms]:
        batch = jittered(settings, data, batch)
        logits, truth = network(batch["input"]).float(), batch["map"]
        known = truth != VOID
        if not known.any():  # the mean would be 0 / 0
            return {"cross-entropy": 0 * logits.sum()}, {}
        accuracy = (logits.argmax(dim=1) == truth)[known].float().mean()
        return {"cross-entropy": cross_entropy(logits, truth, ignore_index=VOID)}, {"accuracy/training": accuracy}

    def players() -> list[Player]:
        schedule = decaying(settings, settings.optimizer.lr, data.count)
        return [Player("segmenter", network, adam(settings.optimizer, network), losses, schedule=schedule)]

    spec = TranslatorSpec(lambda network, batch: network(batch["input"]), multiple=network.multiple)
    return System(network, players, translator=spec)
