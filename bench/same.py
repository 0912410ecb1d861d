"""Whether two versions of the code train, sample, export and score the same: what a redrawing must not change.

    python -m bench.same HEAD~40                     that version against the working tree
    python -m bench.same HEAD~40 --only dcgan,caae

Each case trains twenty steps of a small network of a recipe, in float32, on one thread, by each version in turn, in a
process of its own on this machine (another processor rounds otherwise). Compared are the bits of the weights, of all
that training keeps, of what the network makes and of the weights in its ONNX file, and the numbers that `evaluate`
gives; names of tensors and keys may differ. Exit code 1 when anything does.
"""

import argparse
import hashlib
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = "builtin:portraits:64"
STEPS = 20
EVERY = ["batch=8", "size=16", "every.log=64", "every.sample=1000000", "every.checkpoint=1000000"]
NARROW: dict[str, list[str]] = {
    "anime": ["generator.blocks=1", "generator.width=8", "discriminator.width=4"],
    "caae": ["network.width=4", "network.latent_dim=8", "discriminator.width=4", "discriminator.hidden=8"],
    "classifier": ["label=hair"],
    "cut": [
        "label=glasses", "generator.width=4", "generator.blocks=1", "discriminator.width=4", "discriminator.layers=1",
        "contrast.patches=8", "contrast.width=8",
    ],
    "cyclegan": [
        "label=glasses", "generator.width=4", "generator.blocks=1", "discriminator.width=4", "discriminator.layers=1",
    ],
    "dcgan": ["generator.width=4", "discriminator.width=4"],
    "gan": ["generator.hidden=[16]", "discriminator.hidden=[16]"],
    "lsgan": ["generator.width=4", "discriminator.width=4"],
    "pix2pix": ["generator.width=4", "discriminator.width=4", "discriminator.patch=16"],
    "pix2pixhd": [
        "network.width=4", "network.downs=1", "network.blocks=1", "discriminator.width=4", "discriminator.layers=1",
        "features.width=4", "data.maps=A",
    ],
    "pokegan": ["generator.width=4", "critic.width=4"],
    "progressive": ["network.base=32", "network.latent_dim=8", "growth.stable=32", "growth.fade=32"],
    "r3gan": ["network.width=4"],
    "sagan": ["generator.width=4", "discriminator.width=4"],
    "segmenter": ["width=4"],
    "sngan": ["generator.width=4", "discriminator.width=4"],
    "srgan": [
        "generator.width=4", "generator.blocks=1", "discriminator.width=4", "discriminator.layers=1", "pretrain=0",
    ],
    "wgan-gp": ["generator.width=4", "discriminator.width=4"],
}  # fmt: skip
OPTIONS: dict[str, list[list[str]]] = {
    "dcgan": [
        ["conditional=true"],
        ["augment=ada"],
        ["loss=wasserstein", "penalty.between=10", "discriminator.norm=layer", "discriminator_steps=2"],
        ["loss=hinge", "discriminator.norm=spectral"],
        ["loss=relativistic", "penalty.r1=0.1", "penalty.r2=0.1", "penalty.every=2"],
    ],
    "gan": [["simultaneous=true"], ["loss=minimax", "discriminator_steps=3"]],
    "progressive": [["conditional=true"]],
    "r3gan": [["conditional=true", "balance=hair"], ["augment=diffaugment"]],
    "classifier": [["network=resnet20", "optimizer.name=sgd"], ["augment=lecture"]],
    "caae": [["attribute=glasses"]],
    "pix2pix": [["generator.kind=resnet", "generator.blocks=1"], ["data.direction=BtoA"]],
}


def cases(described: Iterable[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """A recipe and its settings: its default, each preset and a few options."""
    for recipe in described:
        name, keys = recipe["name"], {option["key"] for option in recipe["options"]}
        unscored = ["score.images=0"] if "score.images" in keys else []
        for more in [[], *([f"preset={preset}"] for preset in recipe["presets"]), *OPTIONS.get(name, [])]:
            yield name, [*more, *NARROW.get(name, []), *EVERY, *unscored]


def digest(parts: Iterable[bytes]) -> str:
    """Of these, in whatever order they come."""
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(part).digest() for part in parts))).hexdigest()[:16]


def record(names: list[str] | None, file: Path) -> None:
    """Train and write what came of each case, by the zerosum that this process imports."""
    import zerosum

    every = names or [one["name"] for one in json.loads(_command("recipes", "--json"))]
    described = [json.loads(_command("recipes", name, "--json")) for name in every]
    found: dict[str, Any] = {}
    for name, settings in cases(described):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            try:
                zerosum.train(
                    name, DATA, out=run, steps=STEPS, overrides=settings, precision="fp32", threads=1, listeners=[]
                )
                found[f"{name} {' '.join(settings)}"] = _results(run, Path(folder))
            except Exception as error:  # which is then to be the same
                found[f"{name} {' '.join(settings)}"] = {"refused": str(error)}
        file.write_text(json.dumps(found, indent=1))


def _results(run: Path, folder: Path) -> dict[str, Any]:
    import onnx
    import torch
    from safetensors.torch import load_file

    import zerosum

    checkpoint = max(path for path in (run / "checkpoints").iterdir() if path.name.isdigit())
    state = torch.load(checkpoint / "state.pt", weights_only=True)
    model: Any = zerosum.load(run)
    if hasattr(type(model), "sample"):
        made = model.sample(4, seed=0)
    else:
        height, width, channels = model.info.shape if not hasattr(model, "input") else (16, 16, model.input.channels)
        blank = torch.arange(2 * height * width * channels).remainder(7).to(torch.uint8)
        pictures = blank.view(2, height, width, channels).numpy()
        if hasattr(type(model), "classify"):
            made = model.classify(pictures)
        else:
            asked = {condition.name: condition.values[0] for condition in model.conditions}
            made = model.translate(pictures, asked=asked)
    _command("export", str(run), str(folder / "out"), "--format", "onnx")
    count = ["-n", "32"] if hasattr(type(model), "sample") else []
    graph = onnx.load(folder / "out" / "model.onnx").graph
    return {
        "weights": digest(_bytes(load_file(checkpoint / "model.safetensors"))),
        "state": digest(_bytes(state["players"])),
        "made": repr(made)[:60] if not hasattr(made, "tobytes") else digest([made.tobytes()]),
        "onnx weights": digest(one.raw_data for one in graph.initializer),
        "onnx operators": digest(node.op_type.encode() for node in graph.node),
        "scores": _numbers(json.loads(_command("evaluate", str(run), DATA, *count, "--json"))),
    }


def _bytes(value: Any) -> Iterator[bytes]:
    """The tensors in a nested value."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
    elif isinstance(value, dict):
        for one in value.values():
            yield from _bytes(one)


def _numbers(value: Any) -> list[float]:
    """The numbers in a nested value, in ascending order."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return sorted(number for part in parts for number in _numbers(part))
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _command(*arguments: str) -> str:
    """What the command prints, in this process: to import torch again takes longer than most of them."""
    before, sys.argv = sys.argv, ["zerosum", *arguments]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            runpy.run_module("zerosum", run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"zerosum {' '.join(arguments)} ended with {ended.code}") from ended
    finally:
        sys.argv = before
    return printed.getvalue()


def recorded(tree: Path, names: str | None, folder: Path) -> dict[str, Any]:
    """What the version of the code in a folder gives."""
    file = folder / "found.json"
    environment = os.environ | {
        "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "ZEROSUM_CACHE": str(folder / "cache"),
    }  # fmt: skip
    command = [sys.executable, "-P", __file__, "--record", str(file), *(["--only", names] if names else [])]
    subprocess.run(command, env=environment, cwd=folder, check=True)
    return dict(json.loads(file.read_text()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", help="a commit")
    parser.add_argument("--only", help="recipes, with commas between them")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.record:
        record(chosen.only.split(",") if chosen.only else None, chosen.record)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("tree", "before", "now"):
            (folder / part).mkdir()
        archive = subprocess.run(["git", "archive", chosen.version], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder / "tree"], input=archive, check=True)
        before = recorded(folder / "tree", chosen.only, folder / "before")
        now = recorded(ROOT, chosen.only, folder / "now")
    differing = 0
    for case in sorted(before.keys() | now.keys()):
        old, new = before.get(case, {}), now.get(case, {})
        parts = [part for part in sorted(old.keys() | new.keys()) if old.get(part) != new.get(part)]
        differing += bool(parts)
        same = f"refused: {new['refused']}" if "refused" in new else "the same"
        print(f"{case}: {'differs in ' + ', '.join(parts) if parts else same}")
    print(f"{len(before)} cases before, {len(now)} now; {differing} differ.")
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    main()
