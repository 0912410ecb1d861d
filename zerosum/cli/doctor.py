"""`zerosum doctor`."""

import json
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False) -> None:
    """Versions, devices, a short speed test, disk and cache: what to look at first when something is wrong or slow."""
    from zerosum.training.doctor import examine

    found = examine()
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print("Versions:  " + ", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    hardware = found["hardware"]
    gpus = ", ".join(hardware["gpu"]) or "no graphics processor"
    print(f"Hardware:  {hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gb']} GB, {gpus}")
    print(f"Device:    training runs on {found['device']}")
    print(f"Threads:   {found['threads']['why']} While they wait for one another: {found['threads']['waiting']}")
    for name, value in found["speed"].items():
        print(f"Speed:     {name}: {value}")
    for place in found["disk"]:
        state = f"{place['free_gb']} GB free" if place["writable"] else "cannot be written"
        print(f"Disk:      {place['what']} {place['path']}: {state}")
    print(f"Cache:     {found['cache_mb']} MB of packed data; delete the folder whenever you like")
    for remark in found["remarks"]:
        print(f"!          {remark}")
    if not found["remarks"]:
        print("All is well.")
