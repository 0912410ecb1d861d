"""The command as a user types it: results, errors, exit codes, and what is left untouched."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import zerosum
from zerosum.cli.sample import parse_grid, parse_seeds
from zerosum.runs.checkpoint import list_checkpoints, load_model
from zerosum.utils.errors import ConfigError

QUICK = ["batch=16", "size=8", "every.log=64"]


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(command):
    """The command in this process; what it gives, by name."""
    return lambda *arguments: Result(*command(*arguments))


@pytest.fixture(scope="module")
def trained(pictures_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "squares"
    zerosum.train("gan", pictures_file, out=path, images=640, overrides=QUICK)
    return path


def tree(path):
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]], ids=" ".join)
def test_help_is_quick_since_it_imports_no_heavy_library(arguments):
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'PIL'}\n"
        "atexit.register(lambda: print('imported', sorted(heavy & set(sys.modules))))\n"
        "from zerosum.cli.main import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("imported []\n")


def test_json_is_the_only_thing_on_stdout(start, pictures_file, tmp_path):
    process = start("train", "gan", pictures_file, *QUICK, "--images", 64, "--out", tmp_path / "run", "--json")
    assert process.wait(600) == 0, process.errors
    assert json.loads(process.output) == {
        "run": str(tmp_path / "run"),
        "state": "done",
        "images": 64,
        "report": str(tmp_path / "run" / "report.html"),
    }


def test_dry_run_writes_nothing_and_shows_every_setting(pictures_file, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    result = run("train", "dcgan", pictures_file, "size=16", "--dry-run", "--json")
    planned = json.loads(result.stdout)
    assert planned["size"] == [16, 16]
    assert list(planned)[:6] == ["recipe", "source", "images_found", "size", "length", "time"]
    assert planned["time"].startswith("About ")
    assert planned["settings"]["generator"]["width"] == 64
    assert planned["settings"]["optimizer"]["lr"] == 1e-3
    assert not list(tmp_path.iterdir())


def test_recipes_as_text_and_json(run):
    text = run("recipes", "dcgan").stdout
    assert "generator.width" in text
    assert "3,576,704" in text
    described = json.loads(run("recipes", "dcgan", "--json").stdout)
    assert described["networks"]["discriminator"]["parameters"] == 2_765_568
    assert {r["name"] for r in json.loads(run("recipes", "--json").stdout)} >= {"gan", "dcgan"}


def test_sample_a_grid_and_a_folder(trained, tmp_path, run):
    result = run("sample", trained, "-n", 6, "--grid", "2x3", "--out", tmp_path / "grid.png")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.mode in ("L", "RGB")
    result = run("sample", trained, "--seeds", "3-5,70", "--out", tmp_path / "folder")
    assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert names == ["seed00000003.png", "seed00000004.png", "seed00000005.png", "seed00000070.png"]
    with Image.open(tmp_path / "folder" / "seed00000070.png") as image:
        assert np.array_equal(image, zerosum.load(trained).sample(seeds=[70])[0, :, :, 0])


def test_sample_with_the_defaults_stays_out_of_the_run(trained, tmp_path, monkeypatch, run):
    before = tree(trained)
    monkeypatch.chdir(tmp_path)
    assert run("sample", trained, "-n", 2).returncode == 0
    assert run("sample", trained, "--grid", "2x2").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["squares-samples", "squares-samples.png"]
    assert len(list((tmp_path / "squares-samples").iterdir())) == 2
    result = run("sample", trained, "-n", 3, "--out", "set.v2", "--json")
    assert json.loads(result.stdout) == {
        "out": "set.v2",
        "images": 3,
        "trained_on": 640,
        "precision": "fp32",
        "asked": {},
    }
    assert len(list((tmp_path / "set.v2").iterdir())) == 3
    assert tree(trained) == before


def test_sample_names_a_damaged_checkpoint(trained, tmp_path, run):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    newest = list_checkpoints(copy / "checkpoints")[0]
    (newest / "state.pt").unlink()
    result = run("sample", copy, "-n", 1, "--out", tmp_path / "out")
    assert result.returncode == 0
    assert newest.name in result.stderr
    assert "state.pt is missing" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "dcgam", "{data}"], 2, ["dcgam", "did you mean dcgan?"]),
        (["train", "gan", "{data}", "generator.hiden=[1]"], 2, ["generator.hiden", "did you mean generator.hidden?"]),
        (["train", "gan", "{data}", "batch=many"], 2, ["batch='many'", "integer"]),
        (["train", "gan", "{data}", "--images", "0"], 2, ["images must be above 0"]),
        (["train", "gan", "{data}", "--device", "tpu"], 2, ["tpu", "auto, cpu, cuda or mps"]),
        (["train", "gan", "{data}", "--precision", "fp8"], 2, ["fp8", "auto, fp32 or bf16"]),
        (["train", "gan", "{data}", "precision=bf16"], 2, ["option of the command", "--precision"]),
        (["train", "gan", "{data}", "--config", "none.yaml"], 2, ["none.yaml", "cannot be read"]),
        (["train", "dcgan", "{data}", "size=37"], 2, ["size=37", "dcgan", "nearest"]),
        (["train", "dcgan", "builtin:ring", "--dry-run"], 2, ["builtin:ring contains vectors", "use gan"]),
        (["train", "gan", "{data}", "--out", "{full}"], 2, ["exists already", "--out"]),
        (["train", "gan", "nowhere/"], 3, ["nowhere"]),
        (["train", "gan", "{empty}"], 3, ["{empty}"]),
        (["resume", "{empty}"], 2, ["is not a run folder", "config.yaml"]),
        (["sample", "{empty}"], 2, ["is not a run folder"]),
        (["sample", "{run}", "--seeds", "5-3"], 2, ["5-3"]),
        (["sample", "{run}", "-n", "3", "--seeds", "1"], 2, ["not both"]),
        (["sample", "{run}", "--seeds", "0-99999999999"], 2, ["the maximum is 10,000,000"]),
        (["sample", "{run}", "--grid", "999x999"], 2, ["at most 10,000"]),
        (["sample", "{run}", "-n", "5", "--grid", "2x2", "--out", "a.png"], 2, ["too small for 5"]),
        (["train", "gan", "{data}", "--minutes", "nan"], 2, ["minutes must be above 0"]),
        (["sample", "{run}", "-n", "4", "--grid", "2x2", "--out", "grid.xyz"], 2, ["grid.xyz", ".png"]),
        (["frobnicate"], 2, ["frobnicate"]),
        (["train"], 2, ["Missing argument"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_bad_input_is_a_sentence_and_an_exit_code(
    arguments, code, words, pictures_file, trained, tmp_path, monkeypatch, run
):
    places = {"data": pictures_file, "empty": tmp_path / "empty", "full": tmp_path / "full", "run": trained}
    places["empty"].mkdir()
    places["full"].mkdir()
    (places["full"] / "thesis.txt").write_text("the only copy")
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = run(*(argument.format(**places) for argument in arguments))
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word.format(**places) in result.stderr
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(pictures_file, tmp_path, run):
    tmp_path.chmod(0o500)
    try:
        result = run("train", "gan", pictures_file, *QUICK, "--images", 64, "--out", tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)
    assert result.returncode == 1
    assert "Cannot write" in result.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk(pictures_file, small_disk, run):
    """The checkpoint of this run needs more than the disk has."""
    result = run("train", "gan", pictures_file, *QUICK, "--images", 64, "--out", small_disk / "run")
    assert result.returncode == 1
    assert "Not enough space for a checkpoint" in result.stderr
    assert not list((small_disk / "run" / "checkpoints").iterdir())


def test_a_disk_that_fills_while_training_costs_log_lines_and_not_the_run(pictures_file, small_disk, run):
    out = small_disk / "run"
    small = [*QUICK, "generator.hidden=[8]", "discriminator.hidden=[8]"]
    assert run("train", "gan", pictures_file, *small, "--images", 64, "--out", out).returncode == 0
    saved = tree(out / "checkpoints")
    with open(small_disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    result = run("resume", out, "--images", 128)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "pace" in result.stderr  # "No space left" or "Not enough space"
    assert tree(out / "checkpoints") == saved
    (small_disk / "ballast").unlink()
    assert run("resume", out, "--images", 128).returncode == 0
    assert zerosum.load(out).images == 128


def test_a_run_that_diverges_ends_with_4_and_keeps_its_checkpoint(pictures_file, tmp_path, run):
    out = tmp_path / "run"
    exploding = ["optimizer.name=sgd", "optimizer.lr=1e30", "loss=wasserstein"]
    result = run("train", "gan", pictures_file, *QUICK, *exploding, "--images", 6400, "--out", out)
    assert result.returncode == 4
    assert "diverged" in result.stderr
    assert (out / "report.html").exists()
    for checkpoint in list_checkpoints(out / "checkpoints"):
        assert all(tensor.isfinite().all() for tensor in load_model(checkpoint).values())


def test_training_says_which_images_were_left_out(tmp_path, run):
    (tmp_path / "photos").mkdir()
    for i in range(20):
        Image.new("L", (8, 8), 10 * i).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "notes.png").write_text("no picture")
    result = run("train", "gan", tmp_path / "photos", *QUICK, "--images", 32, "--out", tmp_path / "run")
    assert result.returncode == 0
    assert "1 of 21 images were left out (notes.png: " in result.stderr
    assert "notes.png" in (tmp_path / "run" / "events.jsonl").read_text()


def test_seeds_and_grids():
    assert parse_seeds("0-3,9") == [0, 1, 2, 3, 9]
    assert parse_grid("2x3") == (2, 3)
    for bad in ("", "a", "3-1", "-1", "1,,2"):
        with pytest.raises(ConfigError):
            parse_seeds(bad)
    for bad in ("8", "0x3", "3x", "axb"):
        with pytest.raises(ConfigError):
            parse_grid(bad)
