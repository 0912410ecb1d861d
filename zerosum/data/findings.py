"""What `prepare` found in a source: as data, as JSON and as text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from zerosum.data.dataset import DatasetInfo
from zerosum.data.records import Skip
from zerosum.data.settings import Size

FEW_IMAGES = 500  # below it a GAN from scratch learns the images by heart
FEW_OF_A_CLASS = 50
UNEVEN = 10  # times as many images in the largest class as in the smallest
MANY = 0.05  # the share of a set from which something said of images is said of the set
_SHOWN = 20  # lines of a list in the text report; the JSON and the page have all of them


@dataclass(frozen=True)
class Report:
    """Counts are of images; sizes and modes are those of the files, before packing.

    skipped     images left out, each with its reason; ignored: files that are no images, likewise
    changes     how many images were converted in which way
    duplicates  groups of names with the same packed pixels; near_duplicates: groups that look nearly the same
    enlarged    how many images were smaller than the packed size
    opaque      the set has an alpha channel, and every pixel of it is opaque
    notes       what was decided while reading the source, in sentences"""

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
    notes: tuple[str, ...]

    @property
    def warnings(self) -> list[str]:
        """What may spoil training, in sentences, the gravest first."""
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
        }

    def text(self) -> str:
        """The report for a terminal."""
        return "\n".join(_lines(self))

    def headline(self) -> str:
        """What was packed, in one sentence."""
        info = self.info
        if info.is_vectors:
            return f"{info.count:,} points of {info.shape[0]} dimensions from {info.source}."
        height, width, channels = info.shape
        kind = {(1, False): "gray", (2, True): "gray+alpha", (3, False): "RGB", (4, True): "RGBA"}.get(
            (channels, info.alpha), f"{channels}-channel"
        )
        depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}[info.dtype]
        return f"{info.count:,} images from {info.source}, packed as {height}x{width} {depth} {kind}."


def size_words(size: Size) -> str:
    """Height x width, also of squares: 64x64."""
    return f"{size[0]}x{size[1]}"


def _warnings(report: Report) -> Iterator[str]:
    info = report.info
    if info.is_vectors:
        return
    if info.count < FEW_IMAGES:
        yield f"There are {info.count} images in all: fewer than {FEW_IMAGES} are soon learnt by heart."
    for name, count in report.classes.items():
        if count < FEW_OF_A_CLASS:
            yield f"Class {name} has {count} images: too few to learn."
    if report.classes and max(report.classes.values()) > UNEVEN * max(1, min(report.classes.values())):
        most, least = (
            max(report.classes, key=report.classes.__getitem__),
            min(report.classes, key=report.classes.__getitem__),
        )
        yield f"The classes are uneven: {report.classes[most]:,} of {most}, {report.classes[least]:,} of {least}."
    if report.enlarged > MANY * info.count:
        yield (
            f"{report.enlarged:,} images are smaller than {info.shape[0]}x{info.shape[1]} and were enlarged: they are "
            "soft, and so will be what is learnt from them."
        )
    copies = sum(len(group) - 1 for group in (*report.duplicates, *report.near_duplicates))
    if copies > MANY * info.count:
        yield f"{copies:,} images are copies or near copies of others: the generator will favour them."
    if len(report.skipped) > MANY * (info.count + len(report.skipped)):
        yield f"{len(report.skipped):,} images were left out; the reasons are below."
    if report.opaque:
        yield "Every image is opaque: channels rgb or gray would pack the same pictures without an alpha channel."


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
    yield from _list("The same pixels", [" = ".join(group) for group in report.duplicates])
    yield from _list("Look nearly the same", [" ~ ".join(group) for group in report.near_duplicates])


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
