"""What unseen normal images score: p-values, the threshold, and whether the generator is good enough to judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from zerosum.data.scan import Progress
from zerosum.inference.anomalies.detector import Detector, Measures
from zerosum.inference.anomalies.found import Finding
from zerosum.inference.anomalies.pictures import Rows
from zerosum.metrics.conformal import auroc, false_alarm_interval, p_values, threshold

TRIED = 256  # unseen normal images that are also scored with their quarters exchanged
LEAST_EXPLAINED, LEAST_AUROC = 0.25, 0.8  # a generator below either is too weak to judge
BETTER = 0.02  # of the AUROC of nearest neighbours above the generator's, from which on a note recommends them


@dataclass(frozen=True)
class Strength:
    """What the generator and nearest neighbours can do with unseen normal images.

    explained: 1 minus the squared error of their reconstructions over that of the mean training image. auroc: of the
    scores of such images with their quarters exchanged against as they are; neighbour_auroc: of the distances to
    nearest neighbours."""

    explained: float
    auroc: float
    neighbour_auroc: float

    @property
    def problem(self) -> str:
        """Why the generator is too weak to judge; "" if it is not."""
        if self.explained < LEAST_EXPLAINED:
            return (
                f"The generator is too weak to judge: its reconstructions of unseen normal images explain "
                f"{max(0, self.explained):.0%} of what distinguishes them from the mean training image, and at least "
                f"{LEAST_EXPLAINED:.0%} is needed."
            )
        if self.auroc < LEAST_AUROC:
            return (
                "The generator is too weak to judge: normal images with their quarters exchanged score hardly above "
                f"normal ones (AUROC {self.auroc:.2f}, and at least {LEAST_AUROC:g} is needed)."
            )
        return ""

    def facts(self) -> dict[str, Any]:
        """For anomalies.json."""
        return {
            "explained": self.explained,
            "rearranged_auroc": self.auroc,
            "neighbours_rearranged_auroc": self.neighbour_auroc,
            "too_weak": bool(self.problem),
        }


@dataclass(frozen=True)
class Calibration:
    """Scores (n,) of normal images that no network was trained on, and their distances to nearest neighbours.

    peak: the level of heat maps that a share of at most `false_alarms` of normal images reaches anywhere."""

    detector: Detector
    false_alarms: float
    source: str
    scores: np.ndarray
    neighbours: np.ndarray
    peak: float
    strength: Strength

    @classmethod
    def of(
        cls, detector: Detector, normals: Rows, false_alarms: float, progress: Progress | None = None
    ) -> "Calibration":
        """Measure them."""
        measures = detector.measure_all(normals, "scoring normal images", progress)
        tried = normals.subset(TRIED, 0)
        changed = detector.measure_all(tried, "scoring rearranged normal images", progress, rearranged)
        scores = detector.score(measures)
        strength = Strength(
            1 - float(measures.residual.sum() / max(measures.from_mean.sum(), np.finfo(np.float64).tiny)),
            auroc(scores, detector.score(changed)),
            auroc(measures.neighbour, changed.neighbour),
        )
        peak = max(threshold(measures.peak, false_alarms), float(np.finfo(np.float32).tiny))
        return cls(detector, false_alarms, normals.source, scores, measures.neighbour, peak, strength)

    def findings(
        self, measures: Measures, names: Sequence[str], labels: Sequence[str], maps: Sequence[str]
    ) -> list[Finding]:
        """The rows of found.csv."""
        scores = self.detector.score(measures)
        p, neighbour_p = p_values(scores, self.scores), p_values(measures.neighbour, self.neighbours)
        flagged = scores > threshold(self.scores, self.false_alarms)
        columns = {
            "name": names,
            "score": scores.tolist(),
            "p": p.tolist(),
            "flagged": flagged.tolist(),
            "residual": measures.residual.tolist(),
            "feature_distance": measures.features.tolist(),
            "peak": measures.peak.tolist(),
            "neighbour": measures.neighbour.tolist(),
            "neighbour_p": neighbour_p.tolist(),
            "label": labels,
            "map": maps,
        }
        return [Finding(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]

    def facts(self) -> dict[str, Any]:
        """For anomalies.json."""
        count = len(self.scores)
        return {
            "source": self.source,
            "images": count,
            "false_alarms": self.false_alarms,
            "false_alarm_interval": list(false_alarm_interval(count, self.false_alarms)),
            "threshold": threshold(self.scores, self.false_alarms),
            "smallest_p": 1 / (count + 1),
        }

    def notes(self) -> list[str]:
        """What to make of the scores."""
        found = [self.strength.problem] if self.strength.problem else []
        if self.strength.neighbour_auroc > self.strength.auroc + BETTER or found:
            found.append(
                "Nearest neighbours among the training images recognise rearranged normal images "
                f"{'better' if self.strength.neighbour_auroc > self.strength.auroc else 'too'} "
                f"(AUROC {self.strength.neighbour_auroc:.2f} against {self.strength.auroc:.2f}): see neighbour_p in "
                "found.csv."
            )
        return found


def rearranged(images: Tensor) -> Tensor:
    """Images (N, C, H, W) whose opposite quarters are exchanged: abnormal, unless they show a texture."""
    height, width = images.shape[2:]
    return images.roll((height // 2, width // 2), (2, 3))
