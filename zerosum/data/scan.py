"""A scan of the headers of a source, which decides the shape of the packed set."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import median_low
from typing import TypeVar

from zerosum.data.dataset import DatasetInfo, is_prepared, load_dataset
from zerosum.data.decode.conform import Form
from zerosum.data.decode.decoded import BadImage, half, mode_words
from zerosum.data.decode.images import own_pixel_cap, read_header
from zerosum.data.parallel import in_order
from zerosum.data.records import Header, Record, RecordFacts, Skip, Source
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Size
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import DataError

Progress = Callable[[str, int, int], None]  # what is being done, number done, total

Key = TypeVar("Key")

CHANNELS = {"gray": (1, False), "gray+alpha": (2, True), "rgb": (3, False), "rgba": (4, True)}
DEPTHS = {"8": "uint8", "16": "uint16", "float": "float32"}


@dataclass(frozen=True)
class Scan:
    """The headers of the images of a source, summarised.

    count        number of images with a readable header, or of vectors
    native_size  the size that all share, or None
    median_size  the median height and the median width
    channels, alpha, dtype  of the packed set: what most images have, unless the settings say otherwise
    mostly_float  whether most images are float, whatever the packed type
    vector       the source holds vectors (N, D), for which the rest does not apply
    skipped      images without a readable header
    source       the opened source, for reuse; None for packed pairs
    read         the records with a readable header, without their images; None where no header had to be read"""

    count: int
    sizes: Counter[Size]
    modes: Counter[str]
    classes: tuple[str, ...]
    native_size: Size | None
    median_size: Size
    channels: int
    alpha: bool
    dtype: str
    mostly_float: bool
    vector: bool
    skipped: tuple[Skip, ...]
    source: Source | None = None
    read: tuple[RecordFacts, ...] | None = None

    @property
    def records(self) -> tuple[RecordFacts, ...]:
        """Every image as its source describes it, in order."""
        if self.read is not None or self.source is None:
            return self.read or ()
        return tuple(record.facts for record in self.source.records())

    @property
    def auto_size(self) -> Size:
        """The size that all images share; else a square whose side is the largest power of two up to the median shorter
        side, from 8 to 256."""
        if self.native_size is not None:
            return self.native_size
        side = 1 << (min(self.median_size).bit_length() - 1)
        return (min(max(side, 8), 256),) * 2

    def form(self, size: Size | None, settings: PackSettings) -> Form:
        """The form of every packed image; size None means auto_size."""
        return Form(
            size or self.auto_size,
            self.channels,
            self.alpha,
            self.dtype,
            settings.placing,
            settings.background,
            settings.range,
            self.mostly_float,
            settings.sampling,
        )


def scan(
    source: Source | str | Path, settings: PackSettings = DEFAULT_SETTINGS, progress: Progress | None = None
) -> Scan:
    """Read the header of every image in DATA, or in a source that is already open; of pairs, of the targets. Raises
    DataError when none can be read."""
    if not isinstance(source, Source):
        # packed pairs are not a source: they are used as they are
        if settings.pairs and is_prepared(Path(source)) and (info := load_dataset(source).info).input is not None:
            return _of_packed(info)
        source = open_source(source, settings=settings)
    if source.vectors is not None:
        return Scan(source.count, Counter(), Counter(), (), None, (1, 1), 1, False, "float32", True, True, (), source)
    headers: Counter[Header] = Counter()
    skipped: list[Skip] = []
    read: list[RecordFacts] = []
    if source.header is not None:
        headers[source.header] = source.count
    else:
        done = 0
        with own_pixel_cap():
            halves = source.pairs is not None and source.pairs.halves
            for batch in in_order(partial(_header, halves=halves), source.records(), held=attrgetter("held")):
                skipped.extend(one for one in batch if isinstance(one, Skip))
                readable = [one for one in batch if not isinstance(one, Skip)]
                headers.update(header for header, _ in readable)
                read.extend(facts for _, facts in readable)
                done += len(batch)
                if progress:
                    progress("reading headers", done, source.count)
    if not headers:
        raise nothing_readable(source, skipped)
    channels, alpha = _most_channels(headers) if settings.channels == "auto" else CHANNELS[settings.channels]
    common_depth = _most_depth(headers)
    sizes = _tally(headers, lambda header: (header.height, header.width))
    return Scan(
        headers.total(),
        sizes,
        _tally(headers, lambda header: header.mode),
        source.classes,
        next(iter(sizes)) if len(sizes) == 1 else None,
        (median_low(height for height, _ in sizes.elements()), median_low(width for _, width in sizes.elements())),
        channels,
        alpha,
        common_depth if settings.depth == "auto" else DEPTHS[settings.depth],
        common_depth == "float32",
        False,
        tuple(skipped),
        source,
        None if source.header is not None else tuple(read),
    )


def _of_packed(info: DatasetInfo) -> Scan:
    height, width, channels = info.shape
    size, floats = (height, width), info.dtype == "float32"
    kind = mode_words(channels, info.alpha, info.dtype)
    sizes, modes = Counter({size: info.count}), Counter({kind: info.count})
    return Scan(info.count, sizes, modes, (), size, size, channels, info.alpha, info.dtype, floats, False, ())


def nothing_readable(source: Source, skipped: list[Skip]) -> DataError:
    """The error for a source in which no image can be used."""
    first = f"{skipped[0].name}: {skipped[0].reason}." if skipped else ""
    if source.count == 1:
        return DataError(f"The one image in {source.text} cannot be used. {first}")
    return DataError(f"None of the {source.count:,} images in {source.text} can be used. The first is {first}")


def scan_inputs(source: Source, settings: PackSettings) -> Scan:
    """Like `scan`, for the inputs of a source of pairs. Unreadable inputs are left out."""
    assert source.pairs is not None
    settings = settings.model_copy(update={"channels": settings.input_channels})
    if source.pairs.halves:
        return scan(source, settings)

    def inputs() -> Iterator[Record]:
        for record in source.records():
            assert record.counterpart is not None
            assert record.counterpart.input is not None
            yield replace(record, open=record.counterpart.input)

    return scan(replace(source, records=inputs, header=source.pairs.input_header, pairs=None), settings)


def _header(record: Record, halves: bool) -> tuple[Header, RecordFacts] | Skip:
    try:
        header = read_header(record.open, record.name)
        return half(header) if halves else header, record.facts
    except BadImage as reason:
        return Skip(record.name, str(reason))


def _most_channels(headers: Counter[Header]) -> tuple[int, bool]:
    """Colour if more than half have colour, alpha if more than half have alpha; or, if most have another number of
    channels, the most common of these."""
    kinds = _tally(headers, lambda header: (header.channels, header.alpha))
    pictures = {kind: count for kind, count in kinds.items() if kind in CHANNELS.values()}
    if 2 * sum(pictures.values()) <= kinds.total():
        return max((count, kind) for kind, count in kinds.items() if kind not in pictures)[1]
    half = sum(pictures.values()) / 2
    colour = sum(count for (channels, alpha), count in pictures.items() if channels - alpha == 3) > half
    alpha = sum(count for (_, alpha), count in pictures.items() if alpha) > half
    return (3 if colour else 1) + alpha, alpha


def _most_depth(headers: Counter[Header]) -> str:
    """The most common type; the narrower one of a tie, because as floats the others would be nearly black."""
    depths = _tally(headers, lambda header: header.dtype)
    return max(DEPTHS.values(), key=depths.__getitem__)  # the first in a tie


def _tally(headers: Counter[Header], key: Callable[[Header], Key]) -> Counter[Key]:
    tally: Counter[Key] = Counter()
    for header, count in headers.items():
        tally[key(header)] += count
    return tally
