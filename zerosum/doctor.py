"""What `zerosum doctor` finds out about the machine."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from zerosum.data.cache import cache_folder
from zerosum.engine.device import choose_device, keep_pages
from zerosum.environment import hardware, versions
from zerosum.recipes.registry import get_recipe


def examine() -> dict[str, Any]:
    """Versions, hardware, the device that `auto` takes, measured speed, disk space, and remarks in words."""
    keep_pages()
    device = choose_device("auto")
    machine = hardware()
    cache = cache_folder()
    places = [_place("runs", Path.cwd()), _place("cache", cache)]
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) if cache.exists() else 0
    return {
        "versions": versions(),
        "hardware": machine,
        "device": str(device),
        "speed": speed(device),
        "disk": places,
        "cache_mb": round(size / 1e6),
        "remarks": _remarks(places, machine),
    }


def speed(device: torch.device) -> dict[str, str]:
    """A few seconds of work: a convolution as DCGAN has it in fp32 and bf16, and whole DCGAN steps at 32 pixels."""
    found = {f"convolution {name}": f"{rate:.0f} GFLOP/s" for name, rate in convolution_rates(device).items()}
    return found | {"dcgan 32 px": f"{dcgan_rate(device):.0f} images/s"}


def convolution_rates(device: torch.device) -> dict[str, float]:
    """GFLOP/s of a 4x4 convolution of stride 2 from 128 to 256 channels at 16 pixels, batch 64, by precision."""
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        layer = torch.nn.Conv2d(128, 256, 4, 2, 1, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        images = torch.randn(64, 128, 16, 16, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            seconds = _seconds(lambda layer=layer, images=images: layer(images), device)
        rates[name] = 2 * 64 * 256 * 8 * 8 * 128 * 16 / seconds / 1e9
    return rates


def dcgan_rate(device: torch.device) -> float:
    """Images a second that a DCGAN of width 64 learns from at 32 pixels, batch 64."""
    from zerosum.data.dataset import DatasetInfo
    from zerosum.engine.randomness import seeded
    from zerosum.engine.step import training_step

    recipe = get_recipe("dcgan")
    info = DatasetInfo("doctor", 64, (32, 32, 3), "uint8", (0, 255), False, (), "")
    system = recipe.build(recipe.configure({}), info).to(device)
    image = torch.zeros(64, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        training_step(
            system.players,
            lambda player: {"image": image, "images_seen": 0, "step": 0},
            lambda player, i: seeded(device, "doctor", i),
        )

    return 64 / _seconds(step, device)


def _seconds(work: Any, device: torch.device, budget: float = 1.0) -> float:
    """The fastest of the runs that fit the budget, after one to warm up."""
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
        remarks.append(f"Other programs are busy (load {load}): speeds are lower than they could be, several times so.")
    for place in places:
        if not place["writable"]:
            remarks.append(f"{place['path']} cannot be written; change into a folder of your own.")
        elif place["free_gb"] < 2:
            remarks.append(f"Only {place['free_gb']} GB are free at {place['path']}; a run may need more.")
    if machine["memory_gb"] is not None and machine["memory_gb"] < 4:
        remarks.append(f"{machine['memory_gb']} GB of memory is little; train at 32 pixels, with generator.width=32.")
    return remarks
