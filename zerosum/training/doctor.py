"""The diagnosis of the machine by `zerosum doctor`."""

import os
import shutil
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.autotune.precision import Speed, choose_speed
from zerosum.engine.device import choose_device, keep_pages
from zerosum.engine.players import LAYOUTS, Batch, Player, System
from zerosum.engine.step import seeded_in, training_step
from zerosum.recipes.registry import get_recipe
from zerosum.utils.cache import cache_folder
from zerosum.utils.environment import hardware, versions
from zerosum.utils.threads import choose_threads, spinning, threads_restored


@threads_restored()
def examine() -> dict[str, Any]:
    """Versions, hardware, the device of `auto`, the threads that training would use at the moment and how they wait,
    the measured speed, disk space, and remarks."""
    keep_pages()
    threads = choose_threads()
    torch.set_num_threads(threads.count)
    device = choose_device("auto")
    machine = hardware()
    cache = cache_folder()
    places = [_place("runs", Path.cwd()), _place("cache", cache)]
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) if cache.exists() else 0
    return {
        "versions": versions(),
        "hardware": machine,
        "device": str(device),
        "threads": {"count": threads.count, "why": threads.why, "waiting": spinning()},
        "speed": speed(device),
        "disk": places,
        "cache_mb": round(size / 1e6),
        "remarks": _remarks(places, machine),
    }


def speed(device: torch.device) -> dict[str, str]:
    """A few seconds of measurements: DCGAN's convolutions at 64 pixels in each format and layout, the choice of
    training, and whole steps with that choice."""
    recipe = get_recipe("dcgan")
    settings = recipe.configure({})
    info = DatasetInfo("doctor", 64, (64, 64, 3), "uint8", (0, 255), False, (), "")
    batch: Batch = {"image": torch.zeros(64, 3, 64, 64), "images_seen": 0, "step": 0}
    build = partial(recipe.build, settings, info)
    chosen = choose_speed("auto", recipe.bf16(settings), build, lambda count: batch, device, anew=True)
    rates = [f"{way} {1000 * chosen.gflop / took:.0f}" for way, took in chosen.milliseconds.items()]
    return {
        "convolutions of dcgan, GFLOP/s": ", ".join(rates),
        "choice for dcgan": chosen.why,
        "dcgan 64 px": f"{step_rate(build(), batch, chosen, device):.0f} images/s",
    }


def step_rate(system: System, batch: Batch, chosen: Speed, device: torch.device) -> float:
    """Images per second of training steps in the chosen format and layout."""
    system.to(device, chosen.layout)
    image = batch["image"].to(device).contiguous(memory_format=LAYOUTS[chosen.layout])

    def turn(player: Player, i: int) -> AbstractContextManager[None]:
        return seeded_in(device, chosen.precision, "doctor", i)

    def step() -> None:
        training_step(system.players, lambda player: batch | {"image": image}, turn, joint_forward=system.joint_forward)

    return len(image) / _seconds(step, device)


def _seconds(work: Any, device: torch.device, budget: float = 1.0) -> float:
    """The fastest run within the budget, after one warm-up run."""
    best, until = float("inf"), None
    while until is None or time.perf_counter() < until:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if until is None:
            until = time.perf_counter() + budget
        else:
            best = min(best, time.perf_counter() - started)
    return best


def _place(what: str, path: Path) -> dict[str, Any]:
    existing = next(parent for parent in [path, *path.parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    return {"what": what, "path": str(path), "free_gb": round(free / 1e9, 1), "writable": os.access(existing, os.W_OK)}


def _remarks(places: list[dict[str, Any]], machine: dict[str, Any]) -> list[str]:
    remarks = []
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5 * machine["cores"] + 1:
        load = f"{os.getloadavg()[0]:.1f} on {machine['cores']} cores"
        remarks.append(f"Other programs are busy (load {load}): measured speeds are too low, possibly several times.")
    for place in places:
        if not place["writable"]:
            remarks.append(f"{place['path']} is not writable; change to a folder of your own.")
        elif place["free_gb"] < 2:
            remarks.append(f"Only {place['free_gb']} GB are free at {place['path']}; a run may need more.")
    if machine["memory_gb"] is not None and machine["memory_gb"] < 4:
        remarks.append(f"{machine['memory_gb']} GB of memory is low; train at 32 pixels, with generator.width=32.")
    return remarks
