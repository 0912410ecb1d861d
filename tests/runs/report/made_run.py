"""A run folder as training writes it, made in a moment: sheets that grow from noise to faces, and a plausible game."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageDraw

from zerosum.runs.report.page import write_report
from zerosum.utils.pictures import density_picture, grid


def faces(count: int, seed: int, side: int = 32) -> np.ndarray:
    """Round faces on coloured grounds (count, side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        image = Image.new("RGB", (side * 4, side * 4), tuple(rng.integers(120, 240, 3).tolist()))
        pen, unit = ImageDraw.Draw(image), side * 4 / 32
        skin = np.array([235, 190, 155]) * rng.uniform(0.55, 1.05)
        hair = tuple(rng.integers(20, 190, 3).tolist())
        pen.ellipse([5 * unit, 2 * unit, 27 * unit, 26 * unit], fill=hair)
        pen.ellipse([8 * unit, 7 * unit, 24 * unit, 29 * unit], fill=tuple(skin.clip(0, 255).astype(int).tolist()))
        for x in (12, 20):
            pen.ellipse([(x - 1.2) * unit, 15 * unit, (x + 1.2) * unit, 17.6 * unit], fill=(40, 40, 50))
        pen.arc([12 * unit, 19 * unit, 20 * unit, 25 * unit], 20, 160, fill=(150, 50, 60), width=int(1.2 * unit))
        drawn.append(np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)))
    return np.stack(drawn)


def make_run(
    path: Path,
    *,
    loss: str = "non-saturating",
    sheets: int = 12,
    lines: int = 200,
    last_event: str = "done",
    warnings: bool = True,
    classes: tuple[str, ...] = (),
    vectors: bool = False,
    source: str = "builtin:portraits",
    conditions: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    stable: int = 0,
) -> Path:
    """Write a run folder and return it.

    conditions: of each name its values, with how many images have them; the sheets have a column for each value of the
    first. stable: the images grow from 4 pixels to 32, as many images seen at each size as in each fade; 0: they do
    not."""
    rng = np.random.default_rng(1)
    budget = 200_000
    (path / "samples").mkdir(parents=True)
    (path / "checkpoints" / "000200000").mkdir(parents=True)
    (path / "checkpoints" / "000100000").mkdir()
    (path / "checkpoints" / "latest").write_text("000200000\n")
    shape = [2] if vectors else [32, 32, 3]
    config = {
        "schema": 1,
        "zerosum": "0.1.0",
        "recipe": "gan" if vectors else "dcgan",
        "source": source,
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "preset": "default",
        "budget": {"images": budget},
        "settings": {"loss": loss, "batch": 64, "generator": {"width": 64}, "optimizer": {"name": "adam", "lr": 2e-4}},
        "data": {"source": source, "count": 10_000, "shape": shape, "dtype": "uint8", "classes": list(classes)},
    }
    if conditions:
        config["settings"] |= {"conditional": True, "attributes": list(conditions)}
        config["data"]["conditions"] = [
            {"name": name, "values": list(counts), "counts": list(counts.values())}
            for name, counts in conditions.items()
        ]
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    environment = {
        "command": ["zerosum", "train", "dcgan", source, "--out", "runs/portraits"],
        "versions": {"python": "3.12.4", "torch": "2.14.1", "numpy": "2.4.6"},
        "hardware": {"cpu": "Example processor", "cores": 2, "memory_gb": 16.0, "gpu": []},
        "dataset_hash": "4f1c" * 16,
        "started": "2026-11-23T19:02:11+00:00",
    }
    (path / "env.json").write_text(json.dumps(environment))
    stats = [json.dumps(line(place, lines, budget, loss, rng)) for place in range(1, lines + 1)]
    if stable:
        images = [round(budget * place / max(1, sheets - 1)) for place in range(sheets)]
        stats += [json.dumps({"images": n, "growth/level": level(n, stable)}) for n in images]
    (path / "stats.jsonl").write_text("\n".join(stats) + '\n{"images": 2000')  # and a torn last line
    (path / "events.jsonl").write_text("\n".join(map(json.dumps, events(budget, last_event, warnings))) + "\n")
    columns = min(12, len(next(iter(conditions.values())))) if conditions else 8
    save_sheets(path / "samples", sheets, budget, vectors, rng, columns)
    return path


def make_changer(
    path: Path,
    ages: Mapping[str, int],
    also: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    wrong_ages: bool = True,
) -> Path:
    """A run of CAAE with its evaluation and its report, made from that of a generator: `ages` are changed, and what is
    in `also` the generator is told besides."""
    make_run(path, sheets=3, lines=80, warnings=False, conditions={"age": ages, **also})
    config = yaml.safe_load((path / "config.yaml").read_text())
    config |= {"recipe": "caae", "task": "change"}
    config["settings"] |= {"network": {"latent_dim": 24}, "weights": {"image": 0.01, "latent": 0.02}}
    config["settings"] |= {"other_ages": True, "wrong_ages": wrong_ages}
    config["data"]["conditions"][0]["edges"] = [10.0, 20.0, 40.0, 60.0]
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    more = {
        **({"loss/discriminator/wrong-age": 0.3} if wrong_ages else {}),
        "loss/latent-discriminator/real": 0.69,
        "loss/latent-discriminator/fake": 0.7,
        "score/prior": 0.51,
        "score/latent": 0.49,
        "latent/saturation": 0.3,
        "loss/generator/reconstruction": 0.2,
        "loss/generator/image": 0.016,
        "loss/generator/latent": 0.008,
    }
    say_more(path, more, without="loss/generator/adversarial")
    save_grid(path / "samples" / "000200000.png", 10, len(ages) + 1)
    save_grid(path / "samples" / "reals.png", 10, len(ages))
    (path / "evaluation").mkdir()
    save_grid(path / "evaluation" / "values.png", 12, len(ages) + 1)
    evaluation = {
        "eval/follows@eye": 0.7,
        "eval/kept@eye": 0.9,
        "images": 200_000,
        "kind": "evaluate",
        "task": "change",
        "floor": {"follows@eye": 0.8},
        "baselines": {"at its own value": {"kept@eye": 0.95}, "another image": {"kept@eye": 0.6}},
        "per_value": {age: {"read as": 12.0 + place, "kept@eye": 0.9} for place, age in enumerate(ages)},
        "pictures": {"values": "evaluation/values.png"},
        "made_by": {"part": "test", "data": "builtin:portraits"},
    }
    (path / "evaluation.jsonl").write_text(json.dumps(evaluation) + "\n")
    return write_report(path).parent


def make_few(path: Path, probability: float | str = "auto", warned: bool = True) -> Path:
    """A run on few images with its report: the discriminator sees them augmented, and copies are looked for."""
    make_run(path, sheets=3, lines=80, warnings=warned)
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["settings"]["augment"] = {"differentiable": "ada", "probability": probability, "target": 0.6}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    say_more(path, {"augment/probability": 0.2, "augment/overfitting": 0.6, "health/copying": 0.25})
    said = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    for event in said:
        if event["kind"] == "warning":
            event |= {"finding": "generator-copies", "text": "The generator copies.", "advice": "Stop here."}
    text = "60 images, fewer than 2,000. Chosen for small sets: augment=ada."
    said.insert(1, {"time": said[0]["time"], "images": 0, "kind": "chosen", "text": text})
    (path / "events.jsonl").write_text("\n".join(map(json.dumps, said)) + "\n")
    save_grid(path / "samples" / "nearest.png", 4, 8)
    return write_report(path).parent


def say_more(path: Path, more: Mapping[str, float], without: str = "") -> None:
    """Add the same values to every line of stats.jsonl, and leave one out."""
    lines = [json.loads(line) for line in (path / "stats.jsonl").read_text().splitlines()[:-1]]
    kept = [{key: value for key, value in line.items() if key != without} | dict(more) for line in lines]
    (path / "stats.jsonl").write_text("\n".join(map(json.dumps, kept)) + "\n")


def save_grid(path: Path, rows: int, columns: int) -> None:
    """A sheet of faces, as large as the one that training draws of such images."""
    grid(faces(rows * columns, seed=7), rows, columns).save(path)


def level(images: int, stable: int) -> float:
    """Of networks that grow from 4 pixels to 32."""
    grown, inside = divmod(max(0, images - stable), 2 * stable)
    return min(2 + grown + min(1.0, inside / stable), 5.0)


def line(place: int, lines: int, budget: int, loss: str, rng: np.random.Generator) -> dict[str, float | None]:
    """One line of stats.jsonl: the discriminator leads early, then the game evens out."""
    time = place / lines
    images = budget * place // lines
    noise = rng.normal(0, 0.03, 8)
    values: dict[str, float | None] = {"images": images, "step": images // 64, "seconds": round(images / 411, 3)}
    if loss in ("wasserstein", "hinge"):
        gap = 6 * math.exp(-3 * time) + 0.8 + 5 * float(noise[0])
        values |= {"critic/real": gap * 0.6 - 1, "critic/fake": -gap * 0.4 - 1}
        values |= {"loss/discriminator/real": 1 - gap * 0.6, "loss/discriminator/fake": 1 - gap * 0.4}
        values |= {
            "loss/generator/adversarial": gap * 0.4 + 1,
            "loss/discriminator/between": 0.1 + abs(float(noise[1])),
        }
        values |= {"penalty/between": 0.1 + abs(float(noise[1]))}
    else:
        real = min(0.985, 0.5 + 0.42 * (1 - math.exp(-30 * time)) * math.exp(-0.9 * time) + float(noise[0]))
        fake = max(0.015, 0.5 - 0.42 * (1 - math.exp(-30 * time)) * math.exp(-0.9 * time) + float(noise[1]))
        values |= {"score/real": real, "score/fake": fake}
        values |= {
            "loss/discriminator/real": -math.log(real) * 1.15,
            "loss/discriminator/fake": -math.log(1 - fake) * 1.15,
        }
        values |= {"loss/generator/adversarial": -math.log(fake) * 1.1}
    values |= {
        "grad/discriminator": 2.2 * math.exp(float(4 * noise[2])),
        "grad/generator": 0.6 * math.exp(float(5 * noise[3])),
    }
    values |= {
        "time/images_per_second": 411 + 300 * float(noise[4]),
        "time/data_wait": 0.006 + 0.05 * abs(float(noise[5])),
    }
    if place % 10 == 0:
        values["health/diversity"] = 0.95 - 0.7 * math.exp(-8 * time) + float(noise[6])
    if place == 7:
        values["grad/generator"] = None  # a value that was not finite
    return values


def events(budget: int, last_event: str, warnings: bool) -> list[dict[str, Any]]:
    """events.jsonl, ending with `last_event`."""
    said: list[dict[str, Any]] = [{"kind": "start", "images": 0, "text": "Training dcgan on builtin:portraits."}]
    for images in range(50_000, budget + 1, 50_000):
        said.append({"kind": "checkpoint", "images": images, "text": f"Saved {images:09d}."})
    if warnings:
        said.insert(
            3,
            {
                "kind": "warning",
                "images": 96_000,
                "finding": "discriminator-winning",
                "text": "The discriminator is winning: it gives real images 0.98 and generated ones 0.02, and the "
                "generator pays 4.1. So sure a judge leaves the generator little to learn from.",
                "advice": "If the pictures have stopped improving, halve the discriminator's learning rate.",
            },
        )
    said.append(
        {"kind": last_event, "images": budget, "text": {"done": "Done: 200,000 images seen."}.get(last_event, "")}
    )
    return [{"time": f"2026-11-23T19:{2 + place:02d}:11+00:00"} | event for place, event in enumerate(said)]


def save_sheets(
    folder: Path, count: int, budget: int, vectors: bool, rng: np.random.Generator, columns: int = 8
) -> None:
    """`count` sheets from pure noise to what the data looks like, and reals.png."""
    shown = 8 * columns
    targets, noise = faces(shown, seed=5), rng.integers(0, 255, (shown, 32, 32, 3)).astype(np.float32)
    angle = rng.integers(0, 8, 600) * np.pi / 4
    ring = 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.1, (600, 2))
    for place in range(count):
        done = place / max(1, count - 1)
        if vectors:
            picture = density_picture(ring, rng.normal(0, 1.0, (600, 2)) * (1 - done) + ring * done)
        else:
            clear = done**0.4
            picture = grid((targets * clear + noise * (1 - clear)).astype(np.uint8), 8, columns)
        picture.save(folder / f"{round(budget * done):09d}.png", compress_level=1)
    (density_picture(ring, ring) if vectors else grid(faces(shown, seed=6), 8, columns)).save(folder / "reals.png")
