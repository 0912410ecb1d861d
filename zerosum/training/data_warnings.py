"""Sentences about the data: warnings before training, and the facts that networks depend on."""

from collections.abc import Sequence

from zerosum.data.dataset import Dataset, DatasetInfo, packing_report
from zerosum.data.records import counted, listed
from zerosum.recipes.settings import Settings

_SHOWN = 8


def data_warnings(data: Dataset, settings: Settings) -> list[str]:
    """Warnings about the data at the start of a run."""
    return [
        *packing_warnings(data),
        *condition_warnings(data, settings.batch),
        *settings.notes,
        *pair_warnings(data),
    ]


def data_notes(data: Dataset) -> list[str]:
    """Decisions made while reading the data, and conversions of images, as `prepare` reports them."""
    report = packing_report(data.folder)
    notes = list(report.get("notes", []))
    if changes := report.get("changes", {}):
        counts = ", ".join(f"{text} ({count:,})" for text, count in list(changes.items())[:_SHOWN])
        notes.append(f"Images were converted: {counts}.")
    if ignored := report.get("ignored", []):
        first = "; ".join(f"{skip['name']}: {skip['reason']}" for skip in ignored[:3])
        are = "is" if len(ignored) == 1 else "are"
        notes.append(f"{counted(len(ignored), 'file')} other than images {are} not read ({first}).")
    return notes


def packing_warnings(data: Dataset) -> list[str]:
    """Warnings from packing, and the number of images left out and why."""
    report = packing_report(data.folder)
    left_out, warnings = report.get("skipped", []), list(report.get("warnings", []))
    if left_out:
        first = "; ".join(f"{skip['name']}: {skip['reason']}" for skip in left_out[:3])
        warnings.append(
            f"{len(left_out):,} of {len(left_out) + len(data):,} images were left out ({first}). "
            f"{data.folder / 'report.html'} lists all."
        )
    return warnings


def condition_warnings(data: Dataset, batch: int) -> list[str]:
    """Images that a conditional generator is not trained on, and values with too few images."""
    if data.conditions is None:
        return []
    found = []
    names = [condition.name for condition in data.info.conditions]
    lacking = names[0] if len(names) == 1 else f"one of {listed(names)}"
    fewer = "" if len(names) == 1 else ", or name fewer attributes"
    if missing := int((data.conditions < 0).any(axis=1).sum()):
        found.append(
            f"{missing:,} of {len(data):,} images have no value for {lacking} and are left out. Complete the "
            f"table, by hand or with `zerosum tag`{fewer}."
        )
    for condition in data.info.conditions:
        few = [
            f"{value} ({count})"
            for value, count in zip(condition.values, condition.counts, strict=True)
            if count < batch
        ]
        if few:
            found.append(
                f"{condition.name} has values with fewer images than a batch ({batch}), too few for a generator "
                f"to learn: {', '.join(few[:8])}{' and others' if len(few) > 8 else ''}. Merge them with others "
                "(numbers with bins=...), or collect more."
            )
    return found


def form_text(info: DatasetInfo) -> str:
    """The image form that a network depends on, in words."""
    values = "" if info.value_range is None else f" from {info.value_range[0]:g} to {info.value_range[1]:g}"
    return f"{info.dtype} values{values} of shape {'x'.join(map(str, info.shape))}"


def shape_text(info: DatasetInfo) -> str:
    if info.is_vectors:
        return f"{counted(info.shape[0], 'number')} each"
    height, width, channels = info.shape
    made = side_text(info.labels, channels, info.dtype)
    if info.input is None or info.conditions:  # attribute editing: the inputs are the images themselves
        return f"{height}x{width} pixels, {made}"
    given = side_text(info.input.labels, info.input.channels, info.input.dtype)
    if info.input.scale > 1:
        given = f"{'x'.join(map(str, info.input_size))} pixels, {given}"
    beside = " with instances" if info.instances else ""
    return f"{height}x{width} pixels, from {given}{beside} to {made}"


def side_text(labels: Sequence[str], channels: int, dtype: str) -> str:
    """A kind of image in words: 3 channels, uint8; or label maps of 12 classes."""
    return (
        f"label maps of {len(labels)} classes"
        if labels
        else f"{channels} channel{'s' if channels > 1 else ''}, {dtype}"
    )


def conditions_of(info: DatasetInfo) -> list[tuple[str, tuple[str, ...]]]:
    """The conditions that a network depends on: their names and values."""
    return [(condition.name, condition.values) for condition in info.conditions]


def conditions_text(info: DatasetInfo) -> str:
    """The conditions of a set in words."""
    return "; ".join(f"{c.name}: {', '.join(c.values[:20])}" for c in info.conditions) or "no conditions"


def pair_warnings(data: Dataset) -> list[str]:
    """A warning if there are too few pairs to hold one out."""
    if data.info.input is not None and not data.info.conditions and len(data) == 1:
        return ["There is only one pair, which will be memorised, and none is left for a score. Collect more."]
    return []
