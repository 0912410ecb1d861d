"""Scores of checkpoints, by which the best is chosen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Scorer:
    """Scores the averaged network at checkpoints and chooses the best one.

    measure(network, images seen) returns scores by name (`eval/...`) and their provenance, as JSON-able values; of the
    latter, the watch compares the leading score with `floor` and `reference` (Watch.see_score). leading is the score
    that chooses the best checkpoint: the highest if `higher`, else the lowest. sound(scores): whether a checkpoint is
    eligible; an ineligible one is chosen only while there is no eligible one."""

    measure: Callable[[nn.Module, int], tuple[dict[str, float], dict[str, Any]]]
    leading: str
    higher: bool
    sound: Callable[[Mapping[str, Any]], bool] = lambda scores: True

    def candidate(self, images: int, scores: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of a checkpoint for choosing the best, from its scores; None without a finite leading score."""
        score = scores.get(self.leading)
        if not isinstance(score, int | float) or not math.isfinite(score):
            return None
        record = {"images": images, "name": self.leading, "score": score}
        return record if self.sound(scores) else record | {"sound": False}

    def better(self, one: Mapping[str, Any], than: Mapping[str, Any] | None) -> bool:
        """Whether one candidate is better than another or than None: eligible before ineligible, then by score."""
        if than is None or than["name"] != self.leading:
            return True
        sign = 1 if self.higher else -1
        return (one.get("sound", True), sign * one["score"]) > (than.get("sound", True), sign * than["score"])
