"""What a source holds, read from headers alone, and what the packed set should therefore be."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median_low

from zerosum.data.conform import Form
from zerosum.data.images import BadImage, own_pixel_cap, read_header
from zerosum.data.parallel import in_order
from zerosum.data.records import Header, Record, Skip, Source
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Size
from zerosum.errors import DataError

Progress = Callable[[str, int, int], None]  # what is being done, how many of how many are done

_CHANNELS = {"gray": (1, False), "gray+alpha": (2, True), "rgb": (3, False), "rgba": (4, True)}
_DEPTHS = {"8": "uint8", "16": "uint16", "float": "float32"}


@dataclass(frozen=True)
class Survey:
    """What the images of a source say of themselves.

    count        of images with a header that can be read, or of points
    native_size  the size that all share, or None
    median_size  the median height and the median width
    channels, alpha, dtype  what the set becomes: what most images have, unless the settings say
    vector       the source holds points (N, D), which have none of the rest
    skipped      what not even a header could be read from"""

    count: int
    sizes: Counter[Size]
    modes: Counter[str]
    classes: tuple[str, ...]
    native_size: Size | None
    median_size: Size
    channels: int
    alpha: bool
    dtype: str
    vector: bool
    skipped: tuple[Skip, ...]

    @property
    def auto_size(self) -> Size:
        """The size that all images share; else the square whose side is the power of two next below the median
        shorter side, from 8 to 256."""
        if self.native_size is not None:
            return self.native_size
        side = 1 << (min(self.median_size).bit_length() - 1)
        return (min(max(side, 8), 256),) * 2

    def form(self, size: Size | None, settings: PackSettings) -> Form:
        """What every image becomes; no size means auto_size."""
        return Form(size or self.auto_size, self.channels, self.alpha, self.dtype, settings.fit, settings.background)


def survey(source: Source, settings: PackSettings = DEFAULT_SETTINGS, progress: Progress | None = None) -> Survey:
    """Read every header. Raises DataError when not one can be read."""
    if source.vectors is not None:
        return Survey(source.count, Counter(), Counter(), (), None, (1, 1), 1, False, "float32", True, ())
    headers: Counter[Header] = Counter()
    skipped: list[Skip] = []
    if source.header is not None:
        headers[source.header] = source.count
    else:
        done = 0
        with own_pixel_cap():
            for batch in in_order(_header, source.records()):
                skipped.extend(found for found in batch if isinstance(found, Skip))
                headers.update(found for found in batch if isinstance(found, Header))
                done += len(batch)
                if progress:
                    progress("reading headers", done, source.count)
    if not headers:
        raise nothing_readable(source, skipped)
    channels, alpha = _most_channels(headers) if settings.channels == "auto" else _CHANNELS[settings.channels]
    sizes = _count((header.height, header.width) for header in headers.elements())
    return Survey(
        headers.total(),
        sizes,
        _count(header.mode for header in headers.elements()),
        source.classes,
        next(iter(sizes)) if len(sizes) == 1 else None,
        (median_low(height for height, _ in sizes.elements()), median_low(width for _, width in sizes.elements())),
        channels,
        alpha,
        _most_depth(headers) if settings.depth == "auto" else _DEPTHS[settings.depth],
        False,
        tuple(skipped),
    )


def nothing_readable(source: Source, skipped: list[Skip]) -> DataError:
    """The error for a source of which every image is bad."""
    first = f" The first is {skipped[0].name}: {skipped[0].reason}." if skipped else ""
    return DataError(f"None of the {source.count} images in {source.text} can be used.{first}")


def _header(record: Record) -> Header | Skip:
    try:
        opened = record.open()
        ...
    except BadImage as reason:
        return Skip(record.name, str(reason))


def _most_channels(headers: Counter[Header]) -> tuple[int, bool]:
    """Colour if more than half have colour, alpha if more than half have alpha; or the other number most have."""
    def share(chosen: Callable[[Header], bool]) -> float:
        return sum(count for header, count in headers.items() if chosen(header)) / headers.total()
    

def _most_depth(headers: Counter[Header]) -> str:
    return Counter()
