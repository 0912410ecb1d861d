"""What an image costs as the work grows: time and memory against size, batch, width and the number of images.

    python -m bench growth --plot docs/images/growth.svg
    python -m bench growth r3gan

Each row is a process of its own that takes steps of the recipe, in the format and layout that training would choose,
for a second or more. Beside the time of an image stand the operations that it asks for, and the operations a second
that this makes: where that number stays, the time grows as the arithmetic says. Memory is the most that the process
held, less what it held before the networks were built. The last rows draw batches of 64 from packed sets of random
images of 32 pixels, without training.
"""

import argparse
import multiprocessing
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.metrics import peak_gigabytes
from bench.peak import operations
from zerosum.data.dataset import DatasetInfo
from zerosum.data.open import open_dataset
from zerosum.data.sampler import batch_indices
from zerosum.engine.autotune.precision import choose_speed
from zerosum.engine.device import keep_pages
from zerosum.recipes.registry import Recipe, get_recipe
from zerosum.recipes.settings import Settings
from zerosum.training.doctor import step_rate
from zerosum.utils.environment import processor

CPU = torch.device("cpu")
USUAL = {"size": 32, "batch": 64, "width": 64}
GROWN = {"size": (16, 32, 64, 128), "batch": (8, 16, 32, 64, 128, 256), "width": (16, 32, 64, 128)}
IMAGES = (1_000, 10_000, 100_000)


def case(recipe: str, size: int, batch: int, width: int) -> tuple[Recipe, Settings, DatasetInfo, dict[str, Any]]:
    """A recipe with its settings, what it knows of the data, and a batch."""
    chosen = get_recipe(recipe)
    parts = ("network",) if recipe == "r3gan" else ("generator", "discriminator")
    settings = chosen.configure({"batch": batch, **{part: {"width": width} for part in parts}})
    info = DatasetInfo("growth", batch, (size, size, 3), "uint8", (0, 255), False, (), "")
    image = torch.rand(batch, 3, size, size).mul(2).sub(1)
    return chosen, settings, info, {"image": image, "images_seen": 0, "step": 0}


def work_of(recipe: str, size: int, width: int) -> float:
    """GFLOP of an image, by batches of 8."""
    return operations(*case(recipe, size, 8, width)) / 8 / 1e9


def step(recipe: str, size: int, batch: int, width: int, threads: int) -> tuple[str, float, float]:
    """The format and layout, milliseconds an image, and the gigabytes of the process."""
    torch.set_num_threads(threads)
    keep_pages()
    chosen, settings, info, told = case(recipe, size, batch, width)
    build = partial(chosen.build, settings, info)
    before = peak_gigabytes()
    speed = choose_speed("auto", chosen.bf16(settings), build, lambda count: told, CPU)
    rate = step_rate(build(), told, speed, CPU)
    return f"{speed.precision} {speed.layout}", 1000 / rate, peak_gigabytes() - before


def drawing(count: int) -> tuple[float, float, float]:
    """Seconds to pack so many images, microseconds to draw one, gigabytes of the process."""
    before = peak_gigabytes()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        made = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, 32, 32, 3))
        for start in range(0, count, 1_000):
            made[start : start + 1_000] = np.random.default_rng(start).integers(256, size=(1_000, 32, 32, 3))
        started = time.perf_counter()
        dataset = open_dataset(file)
        packed = time.perf_counter() - started
        started = time.perf_counter()
        for place in range(200):
            dataset.batch(batch_indices(count, 64, 64 * place, 0))
        return packed, (time.perf_counter() - started) / 200 / 64 * 1e6, peak_gigabytes() - before


def alone(work: Any, *arguments: Any) -> Any:
    """What it returns in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def plot(rows: dict[str, list[tuple[int, float]]], file: Path) -> None:
    """Milliseconds an image against size, batch and width, both axes doubling, as SVG."""
    width, height, gap = 240, 200, 50
    highest = max(value for points in rows.values() for _, value in points)
    lowest = min(value for points in rows.values() for _, value in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {(width + gap) * len(rows) + gap} {height + 2 * gap}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for column, (name, points) in enumerate(rows.items()):
        left, first, last = gap + column * (width + gap), points[0][0], points[-1][0]
        places = [
            (
                left + width * np.log2(x / first) / np.log2(last / first),
                gap + height * (1 - np.log2(y / lowest) / np.log2(highest / lowest)),
            )
            for x, y in points
        ]
        parts.append(
            f'<polyline fill="none" stroke="#888" points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in places)}"/>'
        )
        for (x, y), (value, took) in zip(places, points, strict=True):
            parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3"/>')
            parts.append(f'<text x="{x:.0f}" y="{y - 8:.0f}" text-anchor="middle">{took:.3g}</text>')
            parts.append(f'<text x="{x:.0f}" y="{gap + height + 18}" text-anchor="middle">{value}</text>')
        parts.append(f'<text x="{left}" y="20" font-size="13">ms an image by {name}</text>')
    file.write_text("\n".join([*parts, "</svg>"]) + "\n")


def main(words: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="dcgan", choices=["dcgan", "r3gan"])
    parser.add_argument("--plot", type=Path, help="a picture of it, SVG")
    options = parser.parse_args(words)
    threads = torch.get_num_threads()
    print(f"{processor()}, {threads} threads, torch {torch.__version__}; {options.recipe}")
    print("| grown | chosen | ms an image | GFLOP an image | GFLOP/s | GB |\n|---|---|---|---|---|---|")
    rows: dict[str, list[tuple[int, float]]] = {}
    for name, values in GROWN.items():
        for value in values:
            grown = USUAL | {name: value}
            chosen, took, held = alone(step, options.recipe, *grown.values(), threads)
            work = alone(work_of, options.recipe, grown["size"], grown["width"])
            print(f"| {name} {value} | {chosen} | {took:.3g} | {work:.3g} | {1000 * work / took:.0f} | {held:.2f} |")
            rows.setdefault(name, []).append((value, took))
    print("\n| images in the set | s to pack | microseconds to draw one | GB |\n|---|---|---|---|")
    for count in IMAGES:
        packed, took, held = alone(drawing, count)
        print(f"| {count:,} | {packed:.2f} | {took:.1f} | {held:.2f} |")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
