"""The report of `prepare`: as data, as JSON and as text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from zerosum.data.dataset import DatasetInfo
from zerosum.data.decode.decoded import FIRST_FRAME
from zerosum.data.decode.label_maps import VOID
from zerosum.data.decode.values import FAR
from zerosum.data.layout import NO_HEIC
from zerosum.data.pack.packer import LOSSY_MAP
from zerosum.data.records import Skip, counted, listed
from zerosum.data.settings import PackSettings, Size

FEW_IMAGES = 500  # a GAN trained from scratch on fewer memorises them
FEW_OF_A_CLASS = 50
DARK = 4  # an image whose maximum is below 1 / DARK of the range is too dark
UNEVEN = 10  # ratio of the largest class to the smallest
MANY = 0.05  # share of images from which a finding is reported for the set
_SHOWN = 20  # lines of a list in the text report; JSON and page have all of them


@dataclass(frozen=True)
class Report:
    """Counts are of the packed images; sizes and modes are those of the files before packing.

    skipped     images left out, each with its reason; ignored: files that are not images, likewise
    changes     number of images for each conversion
    duplicates  groups of names with the same packed pixels; near_duplicates: groups that look nearly the same
    enlarged    number of images smaller than the packed size
    stretching  the few images without which the range of a float set would be a tenth of what it is
    opaque      the set has an alpha channel, and every pixel is opaque
    notes       decisions made while reading the source, as sentences
    highest     the greatest value of a 16-bit set, or of the 16-bit inputs of pairs with other targets
    settings    the settings used for packing, with `auto` resolved; None for vectors"""

    info: DatasetInfo
    skipped: tuple[Skip, ...]
    ignored: tuple[Skip, ...]
    changes: Counter[str]
    sizes: Counter[Size]
    modes: Counter[str]
    classes: dict[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    enlarged: int
    opaque: bool
    stretching: tuple[str, ...]
    notes: tuple[str, ...]
    highest: float | None = None
    settings: PackSettings | None = None

    @property
    def warnings(self) -> list[str]:
        """Warnings about the data as sentences, the most serious first."""
        return list(_warnings(self))

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values."""
        return {
            "info": self.info.to_json(),
            "images": self.info.count,
            "warnings": self.warnings,
            "notes": list(self.notes),
            "skipped": [asdict(skip) for skip in self.skipped],
            "ignored": [asdict(skip) for skip in self.ignored],
            "changes": dict(self.changes.most_common()),
            "sizes": {size_words(size): count for size, count in self.sizes.most_common()},
            "modes": dict(self.modes.most_common()),
            "classes": self.classes,
            "duplicates": [list(group) for group in self.duplicates],
            "near_duplicates": [list(group) for group in self.near_duplicates],
            "enlarged": self.enlarged,
            "stretching": list(self.stretching),
        }

    def text(self) -> str:
        """The report for a terminal."""
        return "\n".join(_lines(self))

    def headline(self) -> str:
        """A summary of the packed set in one sentence."""
        info = self.info
        if info.is_vectors:
            return f"{counted(info.count, 'point')} of {counted(info.shape[0], 'dimension')} from {info.source}."
        height, width, channels = info.shape
        made = _form_words(channels, info.alpha, info.dtype, info.labels, info.value_range)
        packed = f"{self.counted(info.count)} from {info.source}, packed as {height}x{width} {made}"
        if info.input is None:
            return f"{packed}."
        side = info.input
        given = _form_words(side.channels, side.alpha, side.dtype, side.labels, side.value_range)
        return f"{packed}, with {given}{' and instance maps' if info.instances else ''} as inputs."

    def counted(self, count: int) -> str:
        """The size of the set with its unit: 1 image, 3 pairs."""
        return counted(count, "image" if self.info.input is None else "pair")


def size_words(size: Size) -> str:
    """Height x width, also of squares: 64x64."""
    return f"{size[0]}x{size[1]}"


def _form_words(
    channels: int, alpha: bool, dtype: str, labels: tuple[str, ...], value_range: tuple[float, float] | None
) -> str:
    """8-bit RGB; float gray with values from 0 to 1; label maps of 12 classes."""
    if labels:
        return f"label maps of {counted(len(labels), 'class', 'classes')}"
    kind = {(1, False): "gray", (2, True): "gray+alpha", (3, False): "RGB", (4, True): "RGBA"}.get(
        (channels, alpha), f"{channels}-channel"
    )
    depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}[dtype]
    return f"{depth} {kind}" + (f" with values from {range_words(value_range)}" if dtype == "float32" else "")


def range_words(value_range: tuple[float, float] | None) -> str:
    """The values that become -1 and 1: 0 to 1."""
    low, high = value_range or (-1.0, 1.0)
    return f"{low:g} to {high:g}"


def _warnings(report: Report) -> Iterator[str]:
    info = report.info
    if info.is_vectors:
        return
    if info.count < FEW_IMAGES:
        there = "is" if info.count == 1 else "are"
        yield f"There {there} only {report.counted(info.count)}: fewer than {FEW_IMAGES} are soon memorised."
    if len(info.map_classes) == 1:
        yield f"The label maps have a single class, so there is nothing to learn. {VOID} means no class."
    if lossy := report.changes[LOSSY_MAP]:
        yield (
            f"{counted(lossy, 'label map')} {'is' if lossy == 1 else 'are'} stored as JPEG or lossy WebP, which change "
            "the numbers: wrong classes appear along edges. Save label maps as PNG."
        )
    if empty := [name for name, count in report.classes.items() if not count]:
        yield (
            f"No image of {listed(empty, 5)} could be used: such a class cannot be learnt. `zerosum prepare` lists the "
            "reason for each file."
        )
    if info.count and report.changes[FIRST_FRAME] == info.count:
        yield (
            "Every file has several pages (slices, time points or frames), of which only the first was used. "
            "data.pages=images in train, --pages images in prepare, makes each an image of its own; pages=channels "
            "makes the pages of a file the channels of one image."
        )
    small = [f"{name} ({count})" for name, count in report.classes.items() if 0 < count < FEW_OF_A_CLASS]
    if small:
        have = "class has" if len(small) == 1 else "classes have"
        yield f"{len(small)} {have} fewer than {FEW_OF_A_CLASS} images, too few to distinguish: {listed(small, 5)}."
    if report.classes and max(report.classes.values()) > UNEVEN * max(1, min(report.classes.values())):
        most, least = (
            max(report.classes, key=report.classes.__getitem__),
            min(report.classes, key=report.classes.__getitem__),
        )
        yield f"The classes are imbalanced: {report.classes[most]:,} of {most}, {report.classes[least]:,} of {least}."
    yield from _value_warnings(report)
    if report.enlarged > MANY * info.count:
        sharp = report.settings is not None and report.settings.sampling == "nearest"
        yield (
            f"Smaller than {info.shape[0]}x{info.shape[1]} and therefore enlarged: {counted(report.enlarged, 'image')}."
            + ("" if sharp else " Enlarged images are blurred, and a model learns the blur.")
        )
    copies = sum(len(group) - 1 for group in report.duplicates)
    if copies > MANY * info.count:
        yield f"{counted(copies, 'exact copy', 'exact copies')}: a model will generate them more often."
    if heic := sum(skip.reason == NO_HEIC for skip in report.skipped):
        yield (
            f"{counted(heic, 'HEIC file')} {'was' if heic == 1 else 'were'} left out, which pillow-heif can read: "
            "pip install 'zerosum[heic]', then run the command again."
        )
    if len(report.skipped) > MANY * (info.count + len(report.skipped)):
        were = "was" if len(report.skipped) == 1 else "were"
        yield f"{report.counted(len(report.skipped))} {were} left out; the reasons are below."
    if report.opaque:
        yield (
            "Every image is opaque: data.channels=rgb or data.channels=gray would pack the same pictures without an "
            "alpha channel."
        )


def _value_warnings(report: Report) -> Iterator[str]:
    """Images with too little contrast for the range of values."""
    info = report.info
    side = info if info.dtype == "uint16" or info.input is None else info.input
    if report.highest is not None and side.value_range is not None and report.highest < side.value_range[1] / DARK:
        yield (
            f"The values of the 16-bit images go up to {report.highest:,.0f} of {side.value_range[1]:,.0f}, so all of "
            "them are nearly black. Use their own range: data.range=auto, or for 12 bits data.range=0:4095."
        )
    if info.dtype != "float32" or info.value_range is None:
        return
    low, high = info.value_range
    if names := report.stretching:
        yield (
            f"The values run from {range_words(info.value_range)} only because of {listed(names, 3)}: "
            "the other images have almost no contrast. Leave these files out, or rescale them."
        )
    integers = report.changes["uint8 to float32"] + report.changes["uint16 to float32"]
    if integers and high - low >= FAR:
        shade = "nearly black" if low > -(high - low) / FAR else "nearly one gray"
        yield (
            f"{counted(integers, 'image')} of 8 or 16 bits, scaled to 0..1 in a set with values from "
            f"{range_words(info.value_range)}, now {shade}. Pack them separately."
        )


def _lines(report: Report) -> Iterator[str]:
    yield report.headline()
    for sentence in report.notes:
        yield f"Note: {sentence}"
    for sentence in report.warnings:
        yield f"Warning: {sentence}"
    yield from _table(
        "Sizes (height x width)", [(size_words(size), count) for size, count in report.sizes.most_common()]
    )
    yield from _table("Modes", report.modes.most_common())
    yield from _table("Classes", list(report.classes.items()))
    yield from _table("Converted", report.changes.most_common())
    yield from _list("Skipped", [f"{skip.name}: {skip.reason}" for skip in report.skipped])
    yield from _list("Other files", [f"{skip.name}: {skip.reason}" for skip in report.ignored])
    yield from _list("Exact duplicates", [" = ".join(group) for group in report.duplicates])
    yield from _list("Near duplicates", [" ~ ".join(group) for group in report.near_duplicates])


def _table(title: str, rows: list[tuple[str, int]]) -> Iterator[str]:
    if rows:
        yield f"{title}:"
        yield from (f"  {count:>9,}  {name}" for name, count in rows[:_SHOWN])
        yield from _rest(len(rows))


def _list(title: str, rows: list[str]) -> Iterator[str]:
    if rows:
        yield f"{title} ({len(rows):,}):"
        yield from (f"  {row}" for row in rows[:_SHOWN])
        yield from _rest(len(rows))


def _rest(count: int) -> Iterator[str]:
    if count > _SHOWN:
        yield f"  and {count - _SHOWN:,} more, in report.json and report.html"
