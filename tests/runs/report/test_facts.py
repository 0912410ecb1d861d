"""From the system through its sheets of samples to the page: each sheet comes with what belongs to it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zerosum
from zerosum.recipes.progressive import GrowthSettings, level_at
from zerosum.runs.folder import read_lines
from zerosum.runs.report.page import gather

GROWTH = {"stable": 32, "fade": 64}
TINY: dict[str, Any] = {
    "size": "8",
    "batch": 8,
    "largest_batch": 8,
    "growth": GROWTH,
    "network": {"latent_dim": 4, "base": 16, "largest": 4},
    "score": {"images": 0},
    "every": {"log": 64, "sample": 32, "checkpoint": 512},
    "device": "cpu",
}


def pictures(folder: Path, images: dict[str, np.ndarray]) -> Path:
    """A PNG of each image (8, 8) uint8, twelve times, in a folder of its name."""
    for name, image in images.items():
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


def test_what_the_system_says_of_a_sheet_stands_beside_it_on_the_page(tmp_path: Path) -> None:
    kinds = {name: np.full((8, 8), value, np.uint8) for name, value in (("dark", 30), ("grey", 120), ("light", 220))}
    data = pictures(tmp_path / "data", kinds)
    run = zerosum.train("progressive", data, out=tmp_path / "run", images=128, conditional=True, **TINY)
    found = gather(run.path)
    levels = {frame["images"]: frame["level"] for frame in found["frames"]}
    assert levels == {n: level_at(n, GrowthSettings(**GROWTH), 8) for n in levels}
    assert {levels[0], levels[64], levels[128]} == {2, 2.5, 3}
    assert found["columns"] == {"name": "class", "values": ["dark", "grey", "light"], "count": 3, "usual": "dark"}
    for src in (found["reals"], found["frames"][-1]["src"]):
        assert src["width"] / src["height"] == pytest.approx(3 / 8, abs=0.01)


def test_a_set_without_variety_is_no_reason_to_keep_silent(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", {"one": np.full((8, 8), 90, np.uint8)})
    run = zerosum.train("progressive", data, out=tmp_path / "run", steps=1, **TINY)
    lines = list(read_lines(run.path / "stats.jsonl"))
    assert [line["images"] for line in lines if line.get("growth/level") == 2] == [0, 8]
    assert not any("health/diversity" in line for line in lines)
