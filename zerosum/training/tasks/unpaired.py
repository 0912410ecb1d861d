"""Unpaired translation: networks that learn from two sets of images to translate one into the other."""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from torch import nn

from zerosum.data.conditioning.labels import label_by_attribute, with_classes
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.records import listed
from zerosum.data.sampler import batch_indices, epoch_order
from zerosum.data.scan import Scan
from zerosum.engine.players import System
from zerosum.engine.scorer import Scorer
from zerosum.metrics.scores import FEWEST, distance_scores, made_by, score_name
from zerosum.models.feature_extractors import check_features, extractor_for, real_features
from zerosum.models.sample_sheets import UnpairedSheets
from zerosum.models.unpaired_scores import domain_rows, translation_features
from zerosum.recipes.unpaired import UnpairedSettings, domains_of, split, with_domains
from zerosum.runs.task import UNPAIRED
from zerosum.training.batches import StoredBatches
from zerosum.training.tasks.base import TRAINING, TrainingTask
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.seeds import seed_of

SAME_NAMES = 0.9  # share of file names in the smaller domain that the other has too, from which they may be pairs
COPIES = 0.5  # share of images of the smaller domain that the other also contains, above which they hardly differ


class UnpairedTraining(TrainingTask):
    """Trains on the images of two domains, each in its own order; the score is the distance of translations from images
    of the other domain."""

    def check(self, settings: UnpairedSettings, init: str | Path | None) -> None:
        """Raises ConfigError also when score.images is too small."""
        if 0 < settings.score.images < FEWEST:
            raise ConfigError(
                f"score.images={settings.score.images}: scores need at least {FEWEST} images a side. Use more, or 0 "
                "for no scores."
            )
        super().check(settings, init)

    def check_data(self, settings: UnpairedSettings, found: Scan, source: str) -> None:
        """Raises DataError for a set without two domains."""
        if settings.label == "class":
            named_domains(found.classes, settings, source)

    def check_expected(self, settings: UnpairedSettings, info: DatasetInfo) -> None:
        """Raises ConfigError when the features that score translations do not take such images."""
        if settings.score.images:
            check_features(settings.score.features, info)

    def check_restored(self, found: DatasetInfo, known: DatasetInfo, source: str, run: str | Path) -> None:
        """Raises DataError when the domains have changed."""
        if found.classes != known.classes:
            raise DataError(
                f"{source} now has the domains {listed(found.classes)}; this run translates between "
                f"{listed(known.classes)}. Restore the data, or train again."
            )

    def prepare(self, data: Dataset, settings: UnpairedSettings) -> Dataset:
        """The set with its two domains as classes; images of other classes have the label -1."""
        found = label_by_attribute(data, settings.label)
        assert found.labels is not None
        names = named_domains(found.info.classes, settings, data.info.source)
        labels = np.full(len(found), -1, np.int64)
        for number, name in enumerate(names):
            labels[found.labels == found.info.classes.index(name)] = number
        chosen = with_classes(found, names, labels)
        return chosen.with_info(with_domains(chosen.info, names, settings.both_ways), labels=labels)

    def pinned(self, settings: UnpairedSettings, info: DatasetInfo) -> dict[str, Any]:
        """The names of the domains, so that other data is read in the same way."""
        source, target = info.classes
        return {"data": settings.data.model_copy(update={"from": source, "to": target})}

    def known_rows(self, data: Dataset) -> np.ndarray:
        """The images of both domains."""
        assert data.labels is not None
        return np.flatnonzero(data.labels >= 0)

    def split(self, settings: UnpairedSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Images of both domains."""
        return split(settings, data, seed)

    def batches(self, settings: UnpairedSettings, data: Dataset, rows: np.ndarray) -> StoredBatches:
        """`input` from domain A and `image` from domain B, each with its own shuffle: if their sizes differ, the
        smaller domain is seen more often."""
        sides = {name: domain_rows(data, rows, domain) for domain, name in enumerate(("input", "image"))}

        def next_batch(stream: int, position: int, count: int) -> dict[str, np.ndarray]:
            return {
                name: data.batch(mine[batch_indices(len(mine), count, position, seed_of(stream, name))])["image"]
                for name, mine in sides.items()
            }

        return next_batch

    def sheets(
        self, folder: Path, system: System, settings: UnpairedSettings, data: Dataset, seed: int
    ) -> UnpairedSheets:
        """Held-out images of each domain with their translations, or training images if none are held out."""
        return UnpairedSheets(folder, system, data, self.shown_rows(settings, data, seed), seed)

    def scorer(self, system: System, settings: UnpairedSettings, data: Dataset, seed: int) -> Scorer | None:
        """Distances of translations of training images of A from images of B, and with both directions of B from A;
        None if a domain has too few images."""
        score = settings.score
        sides = [domain_rows(data, self.rows(settings, data, seed), domain) for domain in (0, 1)]
        n = min(score.images, *(len(rows) // 2 for rows in sides))
        if not score.images or n < FEWEST:
            return None
        device = next(system.network.parameters()).device
        extractor = extractor_for(score.features, data.info, device)
        # of each domain one half as inputs or as reference, and one for the floor
        lots = [rows[epoch_order(len(rows), seed, 0)[: 2 * n]] for rows in sides]
        halves = [(np.sort(lot[:n]), np.sort(lot[n:])) for lot in lots]
        known: dict[str, Any] = {}
        directions = [("", 0, 1)] + ([("BtoA/", 1, 0)] if settings.both_ways else [])
        leading = f"eval/{score_name('fd', n, extractor)}"

        def measure(network: nn.Module, images_seen: int) -> tuple[dict[str, float], dict[str, Any]]:
            if not known:  # on first use, so that training starts at once
                seen = [[real_features(extractor, data, half, device) for half in pair] for pair in halves]
                known.update(seen=seen, floor={}, baselines={"unchanged input": {}})
                for name, source, target in directions:
                    floor = distance_scores(seen[target][1], seen[target][0]).named(n, extractor)
                    known["floor"] |= {f"eval/{name}{key}": value for key, value in floor.items()}
                    plain = distance_scores(seen[source][0], seen[target][0]).named(n, extractor)
                    unchanged = known["baselines"]["unchanged input"]
                    unchanged |= {f"eval/{name}{key}": value for key, value in plain.items()}
            values: dict[str, float] = {}
            for name, source, target in directions:
                fake = translation_features(system, network, data, halves[source][0], source, extractor)
                found = distance_scores(fake, known["seen"][target][0]).named(n, extractor)
                values |= {f"eval/{name}{key}": value for key, value in found.items()}
            about = made_by(extractor, n, seed, data, part="train")
            return values, {"floor": known["floor"], "baselines": known["baselines"], "made_by": about}

        return Scorer(measure, leading, higher=False)

    def warnings(self, settings: UnpairedSettings, data: Dataset, seed: int) -> list[str]:
        """Overlap between the two domains, and checkpoints that are not scored."""
        assert data.labels is not None
        found = []
        first, second = (np.flatnonzero(data.labels == domain) for domain in (0, 1))
        fewer = min(len(first), len(second))
        shared = np.intersect1d(data.content.groups[first], data.content.groups[second])
        if len(shared) >= COPIES * fewer:
            found.append(
                f"{len(shared):,} images are in both {' and '.join(data.info.classes)}, of {fewer:,} in the smaller "
                "one. There is little to translate between sets that share their images."
            )
        elif settings.label == "class" and not data.info.source.startswith("builtin:"):
            stems = [{PurePosixPath(data.names[row]).stem for row in rows} for rows in (first, second)]
            if len(stems[0] & stems[1]) >= SAME_NAMES * fewer:
                found.append(
                    f"The files of {' and '.join(data.info.classes)} have the same names. If they form pairs, "
                    "pix2pix learns more from them: zerosum train pix2pix DATA."
                )
        if settings.score.images and fewer < 2 * FEWEST:
            found.append(
                f"Checkpoints are not scored, and none is the best: scores need {2 * FEWEST} images of each domain, "
                f"and the smaller has {fewer}."
            )
        return found


def named_domains(classes: tuple[str, ...], settings: UnpairedSettings, source: str) -> tuple[str, str]:
    """The classes of a set that are the domains A and B: those of `data.from` and `data.to`, or the only two. Raises
    DataError if they are missing, or if there are others."""
    first, second = domains_of(settings)
    if first is not None and second is not None:
        for key, name in (("from", first), ("to", second)):
            if name not in classes:
                raise DataError(f"data.{key}={name}: {source} has no such class; it has {listed(classes) or 'none'}.")
        return first, second
    if len(classes) == 2:
        return classes[0], classes[1]
    if not classes:
        raise DataError(
            f"{source} is one set of images; translation without pairs learns from two. Put them into two folders, A/ "
            "and B/, or name an attribute with label=."
        )
    raise DataError(
        f"{source} has {len(classes)} classes, {listed(classes)}. Name the two to translate between: "
        f"data.from={classes[0]} data.to={classes[1]}."
    )


TRAINING.add(UNPAIRED, UnpairedTraining())
