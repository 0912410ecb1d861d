"""Detect anomalies among pictures with a generator of normal images."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Progress
from zerosum.inference.anomalies.calibration import Calibration
from zerosum.inference.anomalies.detector import Detector, Measures, new_detector, tensors
from zerosum.inference.anomalies.found import (
    ON_SHEET,
    Finding,
    tiles,
    write_csv,
    write_map,
    write_sheet,
)
from zerosum.inference.anomalies.inversion import (
    FOLDER,
    EncoderSettings,
    Method,
    by_encoder,
    by_projection,
    trained_encoder,
)
from zerosum.inference.anomalies.pictures import Rows, open_pictures, refuse_too_few, trained_images, unseen_normals
from zerosum.inference.explore.projection import MOST_STEPS, Features, features_for
from zerosum.inference.explore.shown import refuse_points
from zerosum.metrics.features import SMALLEST, RandomFeatures
from zerosum.models.base import Checkpoint
from zerosum.models.discriminator_features import discriminator_features
from zerosum.models.exported import is_exported
from zerosum.models.generator import Model
from zerosum.models.loading import load_classifier, load_generator
from zerosum.runs.folder import RunFolder
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import distinct_stems, plain_disk_errors, refuse_to_replace, write_json
from zerosum.utils.weights import tensors_hash

REFERENCE = 256  # training images whose errors are the units of scores; the encoder does not learn from them
STEPS = {"encoder": 0, "projection": 200}  # gradient steps by default


def anomalies(
    run: str | Path,
    pictures: str | Path,
    out: str | Path,
    *,
    normal: str | Path | None = None,
    false_alarms: float = 0.01,
    method: Method = "encoder",
    steps: int | None = None,
    features: str = "auto",
    encoder_images: int = EncoderSettings.images,
    trained_on: str | Path | None = None,
    seed: int = 0,
    checkpoint: Checkpoint = "latest",
    device: str = "auto",
    overwrite: bool = False,
    warn: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score every picture by how badly a generator of normal images reproduces it, with a p-value and a heat map.

    The score is the largest squared error of the reconstruction (`peak`) plus the mean squared error of its features,
    both in units of what is usual.
    Its p-value is conformal, calibrated on normal images that the run was not trained on: those of `normal`, by default
    the test part of the training data or images of it that were not trained on. Of such images, a share of at most
    false_alarms is flagged. method: the latent of a picture is predicted by an encoder (f-AnoGAN), trained on
    encoder_images training images on first use and kept in the run folder, or found by projection (AnoGAN). steps:
    gradient steps on each latent, by default none with an encoder and 200 by projection. features: discriminator,
    random, the run of a classifier, or auto (the discriminator's, if they depend on one image only). trained_on: the
    training data, if it has moved.
    Writes found.csv, anomalies.json, sheet.png and the folder maps to `out`, and returns what anomalies.json holds.
    Raises ConfigError for a run that is not a generator of images, for options out of range and too few normal images;
    DataError if pictures cannot be read or have another form."""
    out, folder, steps = Path(out), _run_folder(run), STEPS.get(method, 0) if steps is None else steps
    _check_options(false_alarms, method, steps, encoder_images)
    _refuse_inside(Path(pictures), out)
    refuse_to_replace(out, overwrite)
    model = load_generator(run, device, warn, checkpoint)
    refuse_points(model)
    training, others = trained_images(folder, model, _text(trained_on), progress)
    normals, notes = unseen_normals(model, _text(normal), training, others, seed, progress)
    refuse_too_few(normals, false_alarms)
    sets, skipped = open_pictures(model, str(pictures), progress)
    choice = Choice(method, steps, features, encoder_images, seed)
    detector, made_by = _build(model, folder, training, choice, out, progress)
    calibration = Calibration.of(detector, normals, false_alarms, progress)
    with plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    found = _judge(detector, calibration, sets, out, progress)
    notes += _trained_among(sets, training)
    result = {
        "run": str(run),
        "recipe": model.recipe.name,
        "trained_on": model.images,
        "out": str(out),
        **_counts(found, calibration),
        "made_by": made_by,
        "calibration": calibration.facts(),
        "generator": calibration.strength.facts(),
        "skipped": [asdict(skip) for skip in skipped],
        "notes": [*notes, *calibration.notes()],
    }
    write_csv(found, out / "found.csv")
    write_json(out / "anomalies.json", result)
    return result


@dataclass(frozen=True)
class Choice:
    """How latents are found, and in which features pictures are compared: options of `anomalies`."""

    method: Method
    steps: int
    features: str
    encoder_images: int
    seed: int


def _build(
    model: Model, folder: RunFolder, training: Rows, choice: Choice, out: Path, progress: Progress | None
) -> tuple[Detector, dict[str, Any]]:
    """The detector, with an encoder that is trained if need be, and its provenance."""
    extract, name = _features(choice.features, model, folder)
    reference, learnt = _reference(training, choice.seed)
    file: Path | None = None
    if choice.method == "encoder":
        settings = EncoderSettings(images=choice.encoder_images, seed=choice.seed)
        encoder, file = trained_encoder(model, learnt, extract, name, settings, (folder.path / FOLDER, out), progress)
        invert = by_encoder(model, encoder, choice.steps, extract)
    else:
        invert = by_projection(model, choice.steps, extract, choice.seed)
    made_by: dict[str, Any] = {"method": choice.method, "steps": choice.steps, "features": name, "seed": choice.seed}
    made_by["encoder"] = None if file is None else str(file)
    return new_detector(model, invert, extract, reference, training, choice.seed), made_by


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _run_folder(run: str | Path) -> RunFolder:
    if is_exported(run):
        raise ConfigError(
            f"{run} is an exported folder; anomalies are detected with a run folder, which knows the images that it "
            "was trained on."
        )
    return RunFolder.existing(run)


def _check_options(false_alarms: float, method: str, steps: int, encoder_images: int) -> None:
    if not 0 < false_alarms < 1:
        raise ConfigError(f"false_alarms is {false_alarms:g}; it must lie between 0 and 1, such as 0.01.")
    if method not in get_args(Method):
        raise ConfigError(f"method is {method!r}; it must be {' or '.join(get_args(Method))}.")
    least = 1 if method == "projection" else 0
    if not least <= steps <= MOST_STEPS:
        raise ConfigError(f"steps is {steps}; it must be {least} to {MOST_STEPS:,}.")
    if encoder_images < 1:
        raise ConfigError(f"encoder_images is {encoder_images}; it must be at least 1.")


def _refuse_inside(pictures: Path, out: Path) -> None:
    if pictures.is_dir() and out.resolve().is_relative_to(pictures.resolve()):
        raise ConfigError(
            f"{out} lies in {pictures}, so heat maps would be taken for pictures the next time. Choose a folder beside "
            "it with --out."
        )


def _features(text: str, model: Model, folder: RunFolder) -> tuple[Features, str]:
    """The feature extractor that was asked for, and its name with a hash of its weights."""
    if text in ("auto", "discriminator"):
        found = discriminator_features(model, folder.checkpoints)
        if found is not None:
            return found, f"{found.name}-{found.hash}"
        if text == "discriminator":
            raise ConfigError(
                f"The discriminator of {folder.path} has no features of a single image: it is conditional, compares "
                "the images of a batch, or is not in the checkpoint. Use --features random, or a classifier run."
            )
    if text in ("auto", "random"):
        if min(model.info.shape[:2]) < SMALLEST:
            raise ConfigError(
                f"The features `random` need images of at least {SMALLEST} pixels per side. Give --features RUN, a "
                "classifier trained on such images."
            )
        return features_for("random", model.info), RandomFeatures.hash
    if not (Path(text) / "config.yaml").is_file():
        raise ConfigError(
            f"There are no features {text!r}: give discriminator, random, auto, or the run folder of a classifier."
        )
    digest = tensors_hash(load_classifier(text, model.device.type).network.state_dict())[:12]
    return features_for(text, model.info, model.device.type), f"{Path(text).resolve().name}-{digest}"


def _reference(training: Rows, seed: int) -> tuple[Rows, Rows]:
    """Split training images into those whose errors are the units of scores, and those that an encoder learns from."""
    order = epoch_order(len(training), seed, 0)
    count = min(REFERENCE, len(training) // 10)
    if not count:
        return training, training
    reference, learnt = (replace(training, rows=np.sort(training.rows[part])) for part in np.split(order, [count]))
    return reference, learnt


def _judge(
    detector: Detector, calibration: Calibration, sets: Sequence[Rows], out: Path, progress: Progress | None
) -> list[Finding]:
    """Score all pictures, and write their heat maps and the sheet of the most anomalous."""
    names = [name for rows in sets for name in rows.names]
    files, measured, best = [f"{stem}.png" for stem in distinct_stems(names)], [], []
    total, done = len(names), 0
    for images in (images for rows in sets for images in tensors(rows, detector.model)):
        measures, made, _, heat = detector.measure(images, detector.invert(images))
        measured.append(measures)
        for score, row in zip(
            detector.score(measures), tiles(images, made, heat, calibration.peak, detector.model.info), strict=True
        ):
            write_map(row, out / "maps" / files[done])
            best.append((float(score), done, row))
            done += 1
        best = sorted(best, key=lambda one: (-one[0], one[1]))[:ON_SHEET]
        if progress:
            progress("scoring pictures", done, total)
    labels = [label for rows in sets for label in rows.labels]
    found = calibration.findings(Measures.joined(measured), names, labels, [f"maps/{file}" for file in files])
    shown = [index for _, index, _ in best]
    write_sheet(np.stack([row for _, _, row in best]), [found[index] for index in shown], out / "sheet.png")
    return found


def _counts(found: Sequence[Finding], calibration: Calibration) -> dict[str, Any]:
    """How many pictures are flagged, of each label, and the most anomalous ones."""
    labels = sorted({one.label for one in found} - {""})
    return {
        "pictures": len(found),
        "flagged": sum(one.flagged for one in found),
        "flagged_by_neighbours": sum(one.neighbour_p <= calibration.false_alarms for one in found),
        "labels": {label: _of_label([one for one in found if one.label == label]) for label in labels},
        "most_anomalous": [
            {"name": one.name, "p": one.p, "score": one.score}
            for one in sorted(found, key=lambda one: -one.score)[:ON_SHEET]
        ],
    }


def _of_label(found: Sequence[Finding]) -> dict[str, Any]:
    return {
        "pictures": len(found),
        "flagged": sum(one.flagged for one in found),
        "median_p": float(np.median([one.p for one in found])),
    }


def _trained_among(sets: Sequence[Rows], training: Rows) -> list[str]:
    """A note if pictures are among the images that the run was trained on."""
    known = training.data.content.keys[training.rows]
    copies = sum(int(np.isin(rows.data.content.keys[rows.rows], known).sum()) for rows in sets)
    if not copies:
        return []
    are = "is an image" if copies == 1 else "are images"
    return [f"{copies:,} of the pictures {are} that the run was trained on: their p-values are too high."]
