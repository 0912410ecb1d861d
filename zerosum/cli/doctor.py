"""`zerosum doctor`."""

import json
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False) -> None:
    """Show versions, devices, a short speed test, disk and cache. Run this first when something is wrong or slow."""
    from zerosum.training.doctor import examine

    checks = examine()
    if as_json:
        print(json.dumps(checks, indent=1))
        return
    print("Versions:  " + ", ".join(f"{name} {version}" for name, version in checks["versions"].items()))
    hardware = checks["hardware"]
    gpus = ", ".join(hardware["gpu"]) or "no graphics processor"
    print(f"Hardware:  {hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gb']} GB, {gpus}")
    print(f"Device:    training runs on {checks['device']}")
    print(f"Threads:   {checks['threads']['why']} Waiting: {checks['threads']['waiting']}")
    for name, value in checks["speed"].items():
        print(f"Speed:     {name}: {value}")
    for folder in checks["disk"]:
        state = f"{folder['free_gb']} GB free" if folder["writable"] else "not writable"
        print(f"Disk:      {folder['what']} {folder['path']}: {state}")
    print(f"Cache:     {checks['cache_mb']} MB of packed data; the folder can be deleted at any time")
    for warning in checks["remarks"]:
        print(f"!          {warning}")
    if not checks["remarks"]:
        print("No problems found.")
