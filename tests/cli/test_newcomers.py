"""What newcomers type is answered with the command as it works here, before anything slow is imported."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from zerosum.cli import completion
from zerosum.cli.words import COMMANDS, OPTIONS, sort_arguments
from zerosum.recipes.catalog import catalog
from zerosum.recipes.overrides import ALIASES, WORDS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where somebody works: pictures, pictures in a folder with a space in its name, a run."""
    for name in ("photos", "my photos"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name / "0.png")
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "config.yaml").write_text("recipe: dcgan\nsource: photos/\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ANSWERS = [
    ("train dcgan photos/ --epochs 5", "`zerosum train dcgan photos/ epochs=5`"),
    ("train dcgan --lr 0.001 photos/ --seed 3", "`zerosum train dcgan photos/ optimizer.lr=0.001 --seed 3`"),
    ("train dcgan photos/ --batch-size=32 --lr 1e-4", "`zerosum train dcgan photos/ batch=32 optimizer.lr=1e-4`"),
    ("train dcgan photos/ --generator.width 32", "`zerosum train dcgan photos/ generator.width=32`"),
    ("train dcgan photos/ --iterations 500", "`zerosum train dcgan photos/ --steps 500`"),
    ("train dcgan photos/ --gpu 0", "`zerosum train dcgan photos/ --device cuda`"),
    ("train --model dcgan --dataroot photos/ size=32", "`zerosum train dcgan photos/ size=32`"),
    ("train photos/", "`zerosum train dcgan photos/`"),
    ("train photos/ size=32", "`zerosum train dcgan photos/ size=32`"),
    ("train photos/ gan", "`zerosum train gan photos/`"),
    ("train builtin:portraits --minutes 3", "`zerosum train dcgan builtin:portraits --minutes 3`"),
    ("train dcgan photos/ size 32", "`zerosum train dcgan photos/ size=32`"),
    ("train dcgan photos/ batch_size 32 loss=hinge", "batch_size=32"),
    ("train dcgan my photos/", "`zerosum train dcgan 'my photos/'`"),
    ("prepare my photos out", "`zerosum prepare 'my photos' out`"),
    ("train dcgan photos/ batch_size=32", "did you mean batch?"),
    ("train dcgan photos/ lr=0.1", "did you mean optimizer.lr?"),
    ("train dcgan photos/ n_critic=5", "did you mean discriminator_steps?"),
    ("train dcgan photos/ loss=hing", "hinge"),
    ("train dcgan photos/ batch=many", "batch='many'"),
    ("train dcgan photos/ batch=0", "greater than 0"),
    ("train dcgan photos/ size=3y", "size must be"),
    ("train dcgan photos/ preset=papr", "did you mean paper?"),
    ("train dcgan photos/ k=3 discriminator_steps=2", "are the same setting"),
    ("train dcgan photos/ precision=bf16", "--precision"),
    ("train dcgn photos/", "did you mean dcgan?"),
    ("train WGAN photos/", "penalty.clip=0.01"),
    ("train CycleGAN photos/", "did you mean cyclegan?"),
    ("train BigGAN photos/", "SAGAN on a larger scale"),
    ("train stylegan2 photos/", "`zerosum train r3gan photos/`"),
    ("train dcgan photo/", "There is no photo/"),
    ("train gan builtin:mnist", "torchvision:MNIST"),
    ("train gan mnist", "torchvision:MNIST"),
    ("generate runs/first", "`zerosum sample runs/first`"),
    ("fit dcgan photos/", "`zerosum train dcgan photos/`"),
    ("dcgan photos/", "`zerosum train dcgan photos/`"),
    ("photos/", "`zerosum train dcgan photos/`"),
    ("studio", "report.html"),
    ("resume runs/first optimizer.lr=1e-4", "--init runs/first"),
    ("resume runs/first images=2000", "`zerosum resume runs/first --images 2000`"),
    ("sample runs/frst", "did you mean runs/first?"),
    ("compare runs/first runs/secnd", "There is no runs/secnd"),
    ("recipes dcgn", "did you mean dcgan?"),
]


@pytest.mark.parametrize(("typed", "answer"), ANSWERS, ids=[typed for typed, _ in ANSWERS])
def test_what_newcomers_type_is_answered(typed, answer, folder, command):
    code, out, said = command(*typed.split())
    assert code == (3 if "There is no photo" in answer or "mnist" in typed else 2)
    assert answer in said
    assert not out


def test_none_of_it_waits_for_torch(folder):
    lines = [typed.split() for typed, _ in ANSWERS]
    code = (
        "import sys, zerosum.cli.main as cli\n"
        f"for line in {lines!r}:\n"
        "    sys.argv = ['zerosum', *line]\n"
        "    try:\n        cli.main()\n"
        "    except SystemExit as ended:\n        assert ended.code in (2, 3), line\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=os.environ, capture_output=True)


@pytest.mark.parametrize(
    "typed",
    ["train dcgan photos/ --nonsense 3", "nonsense", "train", "train dcgan", "sample"],
)
def test_the_rest_is_left_to_the_command_line(typed, folder, command):
    assert command(*typed.split())[0] == 2


def test_k_is_the_number_of_steps_of_the_discriminator(folder, command):
    code, out, _ = command("train", "gan", "photos", "k=3", "size=8", "--images", "64", "--dry-run", "--json")
    assert code == 0
    assert '"discriminator_steps": 3' in out


def test_arguments_are_sorted():
    options = {"--out": True, "--json": False, "-n": True}
    typed = sort_arguments(["a", "--json", "--out", "b", "--lr", "1", "-n5", "c=-1", "--", "--d"], options)
    assert typed.positional == ["a", "c=-1", "--d"]
    assert typed.unknown == [("--lr", "1")]
    assert typed.rest == ["--json", "--out", "b", "-n5"]


def test_words_stand_for_one_thing_each_and_lead_to_what_there_is():
    for table in (COMMANDS, OPTIONS):
        words = [word for others in table.values() for word in others]
        assert len(words) == len(set(words))
        assert not set(words) & set(table)
    known = catalog()
    keys = {option["key"] for entry in known.values() for option in entry["options"]}
    assert {*ALIASES.values(), *WORDS} - {"augment"} <= keys


def test_completion_of_recipes_settings_and_runs(folder):
    assert [name for name, _ in completion.recipes("pix")] == ["pix2pix", "pix2pixhd"]

    context = SimpleNamespace(params={"recipe": "dcgan"})
    assert "generator.width=" in [word for word, _ in completion.settings(context, "generator.")]
    assert [word for word, _ in completion.settings(context, "loss=h")] == ["loss=hinge"]
    assert {"runs/", "runs/first", "photos/"} <= set(completion.runs(""))
    assert list(completion.runs("runs/f")) == ["runs/first"]
