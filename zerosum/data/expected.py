"""What a data set will be once packed, as far as headers, tables and label maps show."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.decode.conform import Form
from zerosum.data.pack.pair_packing import classes_of_maps
from zerosum.data.records import RecordFacts, Source, printable
from zerosum.data.scan import CHANNELS, Scan
from zerosum.data.settings import PackSettings, Size

GUESSED = 10  # number of classes assumed for label maps that are not read
RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": (0.0, 1.0)}


class ExpectedDataset(Dataset):
    """A set that is not packed yet: names, labels and attributes of its images, without pixels and without a hash.

    It contains every image whose header can be read; packing leaves out those that cannot be decoded."""

    def __init__(self, info: DatasetInfo, found: Scan) -> None:
        super().__init__(Path(), info, np.empty((info.count, 0)), None, {})
        del self.labels, self.attributes  # read on first use
        self._found = found

    @cached_property
    def _records(self) -> Sequence[RecordFacts]:
        return self._found.records

    @cached_property
    def names(self) -> list[str]:
        """As in a packed set."""
        return [printable(record.name) for record in self._records]

    @cached_property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        """As in a packed set."""
        if not self.info.classes:
            return None
        numbers = {name: number for number, name in enumerate(self.info.classes)}
        return np.array([numbers[record.label] for record in self._records if record.label is not None], np.int64)

    @cached_property
    def attributes(self) -> dict[str, np.ndarray]:  # type: ignore[override]
        """As in a packed set."""
        if not self._records:
            return {}
        return {key: np.array([r.attributes[key] for r in self._records]) for key in self._records[0].attributes}


def expected_dataset(
    source: str, found: Scan, size: Size | None, settings: PackSettings, read_maps: bool = True
) -> ExpectedDataset:
    """The description that DATA will have once it is packed at this size. read_maps: read all label maps to find their
    classes where neither the settings nor the source give them; otherwise their number is assumed. Raises DataError for
    label maps without any class."""
    opened = found.source
    if size is None:
        shape = (1,) if opened is None or opened.vectors is None else tuple(opened.vectors().shape[1:])
        return ExpectedDataset(DatasetInfo(source, found.count, shape, "float32", None, False, (), ""), found)
    shape, limits = (*size, found.channels), RANGES[found.dtype]
    info = DatasetInfo(source, found.count, shape, found.dtype, limits, found.alpha, found.classes, "")
    if opened is not None and opened.pairs is not None:
        info = _of_pairs(info, opened, found.form(size, settings), settings, read_maps)
    return ExpectedDataset(info, found)


def _of_pairs(info: DatasetInfo, source: Source, form: Form, settings: PackSettings, read_maps: bool) -> DatasetInfo:
    """The set with its inputs, and the classes of its label maps."""
    facts = source.pairs
    assert facts is not None
    maps, classes = facts.input_maps or facts.target_maps, facts.classes
    if maps and not classes:
        classes = classes_of_maps(source, form, settings) if read_maps else guessed_classes(settings)
    width = info.shape[2] if settings.input_channels == "auto" else CHANNELS[settings.input_channels][0]
    given = Side(width, "uint8", RANGES["uint8"], False)
    if facts.input_maps:
        given = Side(1, "uint8", RANGES["uint8"], False, classes)
    if facts.target_maps:
        shape = (*info.shape[:2], 1)
        info = replace(info, labels=classes, shape=shape, dtype="uint8", value_range=RANGES["uint8"], alpha=False)
    return replace(info, input=given, instances=facts.instances)


def guessed_classes(settings: PackSettings) -> tuple[str, ...]:
    """The number of classes in the settings, or GUESSED."""
    return tuple(map(str, settings.shades or range(settings.labels or GUESSED)))
