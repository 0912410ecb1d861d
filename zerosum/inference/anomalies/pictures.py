"""Which images anomalies are detected with: those that the run was trained on, normal ones that it has not seen, and
the pictures to judge. All have the form of the training data."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import get_args

import numpy as np

from zerosum.data.dataset import Dataset, packing_report
from zerosum.data.records import NoTestPart, Skip, counted, printable
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Progress
from zerosum.data.settings import Part
from zerosum.metrics.conformal import fewest
from zerosum.models.as_trained import as_trained, open_as_trained
from zerosum.models.generator import Model
from zerosum.runs.folder import RunFolder
from zerosum.utils.errors import ConfigError, DataError

MOST_NORMALS = 10_000  # calibration images


@dataclass(frozen=True)
class Rows:
    """Some images of a data set: their row numbers (n,), ascending; `source` names them in sentences."""

    data: Dataset
    rows: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> list[str]:
        """The name of each image in its source."""
        return [self.data.names[row] for row in self.rows]

    @property
    def labels(self) -> list[str]:
        """The class of each image, "" where there are none."""
        labels, classes = self.data.labels, self.data.info.classes
        return [""] * len(self) if labels is None else [classes[label] for label in labels[self.rows]]

    def subset(self, most: int, seed: int) -> "Rows":
        """At most `most` of them, chosen at random."""
        if len(self) <= most:
            return self
        return replace(self, rows=np.sort(self.rows[epoch_order(len(self), seed, 0)[:most]]))

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """The images as stored, (n, H, W, C)."""
        for start in range(0, len(self), size):
            yield self.data.batch(self.rows[start : start + size])["image"]


def open_pictures(model: Model, data: str, progress: Progress | None = None) -> tuple[list[Rows], list[Skip]]:
    """The pictures to judge, of both parts if DATA has two, and those that could not be read. A single picture is a set
    of one. Raises DataError if there are none, or they have another form."""
    path = Path(data)
    if path.is_file() and not _is_set(path):
        pixels = as_trained(path, model.info, model.settings.data)
        info = replace(model.info, source=data, count=1, classes=(), conditions=(), together=())
        single = Dataset(path, info, pixels[None], None, {})
        vars(single).update(names=[printable(path.name)])
        return [Rows(single, np.arange(1), data)], []
    found: list[Rows] = []
    skipped: list[Skip] = []
    for part in get_args(Part):
        with suppress(NoTestPart):
            dataset = open_as_trained(data, part, model.info, model.settings.data, progress)
            found.append(Rows(dataset, np.arange(len(dataset)), data))
            skipped += [Skip(**skip) for skip in packing_report(dataset.folder).get("skipped", [])]
    return found, skipped


def trained_images(
    run: RunFolder, model: Model, data: str | None, progress: Progress | None = None
) -> tuple[Rows, Rows]:
    """The images that the run was trained on, and others of the same data that are no copies of these. data: where the
    training data is now, if it has moved. Raises DataError if it is not there, or holds none of those images."""
    source = data or run.config()["source"]
    try:
        dataset = open_as_trained(source, "train", model.info, model.settings.data, progress)
    except DataError as error:
        hint = "" if data else " If the training data has moved, give it with --trained-on."
        raise DataError(f"The images that {run.path} was trained on are needed. {error}{hint}") from error
    keys, groups = run.trained_on(), dataset.content.groups
    if keys is None and dataset.info.hash == model.info.hash:  # a run of an older version, which keeps no keys
        keys = dataset.content.keys
    known = np.isin(dataset.content.keys, () if keys is None else keys)
    if not known.any():
        if keys is None:
            raise DataError(
                f"{source} has changed since {run.path} was trained by an older version of zerosum, which did not keep "
                "on which images: give the data as it was with --trained-on DATA."
            )
        raise DataError(
            f"{source} holds none of the images that {run.path} was trained on: give them with --trained-on DATA."
        )
    unseen = ~np.isin(groups, groups[known])
    return Rows(dataset, np.flatnonzero(known), source), Rows(dataset, np.flatnonzero(unseen), source)


def unseen_normals(
    model: Model, normal: str | None, training: Rows, others: Rows, seed: int, progress: Progress | None = None
) -> tuple[Rows, list[str]]:
    """Normal images for calibration that the run was not trained on, with notes on their choice: those of `normal`; or
    the test part of the training data, of its classes; or images of it that are not among those trained on.

    Raises ConfigError if there are none, DataError if all of `normal` were trained on."""
    notes: list[str] = []
    if normal is not None:
        found = _without_trained(
            open_as_trained(normal, "train", model.info, model.settings.data, progress), training, normal, notes
        )
        if not len(found):
            raise DataError(
                f"All images of {normal} are among those that the run was trained on, and say nothing about new ones: "
                "give normal images that it has not seen."
            )
    else:
        source = training.source
        found = replace(others, source=f"the images of {source} that the run was not trained on")
        with suppress(NoTestPart):
            test = open_as_trained(source, "test", model.info, model.settings.data, progress)
            test_rows = _of_known_classes(
                _without_trained(test, training, f"the test part of {source}", notes), training
            )
            found = test_rows if len(test_rows) else found
        if not len(found):
            raise ConfigError(
                "There are no normal images to calibrate on: a generator is trained on all images of its data, and "
                f"{source} has no test part with normal images. Give a folder of normal images that it has not seen: "
                "--normal DATA."
            )
        notes.insert(0, f"Calibrated on {found.source}: all of them are taken to be normal.")
    if len(found) > MOST_NORMALS:
        notes.append(f"{MOST_NORMALS:,} of the {len(found):,} normal images are used.")
    return found.subset(MOST_NORMALS, seed), notes


def refuse_too_few(normals: Rows, false_alarms: float) -> None:
    """Raises ConfigError when so few calibration images cannot give that false-alarm rate."""
    count, needed = len(normals), fewest(false_alarms)
    if count < needed:
        rate = f"{np.ceil(1e4 / (count + 1)) / 1e4:g}"
        raise ConfigError(
            f"A false-alarm rate of {false_alarms:g} needs {needed:,} or more normal images, and there "
            f"{'is 1' if count == 1 else f'are {count:,}'} in {normals.source}: give more with --normal, or a higher "
            f"rate with --false-alarms {rate}."
        )


def _without_trained(dataset: Dataset, training: Rows, source: str, notes: list[str]) -> Rows:
    trained = np.isin(dataset.content.keys, training.data.content.keys[training.rows])
    if copies := int(trained.sum()):
        were = "was" if copies == 1 else "were"
        notes.append(f"{counted(copies, 'image')} of {source} {were} left out, since the run was trained on them.")
    return Rows(dataset, np.flatnonzero(~trained), source)


def _of_known_classes(found: Rows, training: Rows) -> Rows:
    """Only images of the classes of the training data: train/good, test/good and test/broken is a common layout."""
    if found.data.labels is None:
        return found
    known = set(training.data.info.classes) or {PurePosixPath(name).parent.name for name in training.names}
    return replace(found, rows=found.rows[[label in known for label in found.labels]])


def _is_set(path: Path) -> bool:
    """Whether a file is an archive or an array of many images rather than one picture."""
    return path.suffix.lower() in (".zip", ".tar", ".gz", ".xz", ".tgz", ".npy", ".npz") or "ubyte" in path.name
