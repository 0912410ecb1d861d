"""`zerosum explore RUN walk | arithmetic | project | directions`, as a user types them."""

import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import zerosum
from zerosum.cli.main import main
from zerosum.inference.explore import directions

QUICK = {"batch": 16, "size": "8", "every": {"log": 64, "sample": 4096, "checkpoint": 4096}, "score": {"images": 0}}
EYE = {"batch": 16, "size": "8", "width": 8, "every": QUICK["every"]}


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["zerosum", "explore", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(ended.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Conditional portraits, a classifier of what they wear, and a run that learnt points."""
    root = tmp_path_factory.mktemp("runs")
    few = "builtin:portraits:128"
    small = {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}}
    zerosum.train("dcgan", few, out=root / "faces", images=64, conditional=True, attributes="hair", **small, **QUICK)
    zerosum.train("classifier", few, out=root / "eye", images=256, label="hair", **EYE)
    zerosum.train("gan", "builtin:ring", out=root / "points", images=64, every=QUICK["every"], batch=16)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "photo.jpg")
    return root


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("walk.mp4", ["walk", "--seeds", "1,5,9", "--frames", "12", "--set", "hair=brown", "--loop"]),
        ("walk.gif", ["walk", "--seeds", "1-3", "--frames", "6", "--fps", "10", "--truncation", "0.7", "--scale", "2"]),
        ("sheet.png", ["arithmetic", "--plus", "3,14,15", "--minus", "2,7,8", "--plus", "21,22,23"]),
        ("projected", ["project", "photo.jpg", "--starts", "2", "--steps", "4", "--features", "eye"]),
        ("directions.png", ["directions", "--count", "3", "--seeds", "0-1"]),
    ],
)
def test_each_command_writes_what_it_says(name, words, runs, run, tmp_path, monkeypatch):
    monkeypatch.chdir(runs)
    result = run("faces", *words, "--out", tmp_path / name, "--json", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["out"] == str(tmp_path / name)
    assert found["trained_on"] == 64
    assert (tmp_path / name).exists()


def test_the_words_say_where_it_is(runs, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(runs / "faces", "walk", "--seeds", "1,2", "--frames", "4")
    assert result.stdout == f"4 frames through 2 seeds in faces-walk.mp4, from {runs / 'faces'} after 64 images.\n"
    assert run(runs / "faces", "arithmetic", "--plus", "4").stdout.startswith("The sum of 1 group in faces-arithmetic")
    told = run(runs / "faces", "project", runs / "photo.jpg", "--starts", "1", "--steps", "1").stdout
    assert "photo.jpg projected to " in told
    assert {path.name for path in tmp_path.iterdir()} == {"faces-walk.mp4", "faces-arithmetic.png", "faces-projected"}


def test_rows_come_as_the_paper_has_them(runs, run, tmp_path):
    words = ["--plus", "1", "--plus", "2,3", "--minus", "4", "--minus", "5", "--json", "--out", tmp_path / "s.png"]
    found = json.loads(run(runs / "faces", "arithmetic", *words).stdout)
    assert (found["plus"], found["minus"]) == ([[1], [2, 3]], [[4], [5]])
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.height == 7 * 156 + 8  # four groups and three rows of the result


def test_directions_lie_beside_their_picture(runs, run, tmp_path, monkeypatch):
    def seen(model, eye, latents, condition):  # so few images teach a generator one colour alone
        return (9 * latents[:, : len(eye.info.classes)]).softmax(dim=1)

    monkeypatch.setattr(directions, "_class_probabilities", seen)
    words = ["--attribute", "hair", "--with", runs / "eye", "--out", tmp_path / "hair.png", "--json"]
    found = json.loads(run(runs / "faces", "directions", *words).stdout)
    written = directions.read_directions(tmp_path / "hair.safetensors")
    colours = zerosum.load(runs / "eye").info.classes
    assert found["vectors"] == str(tmp_path / "hair.safetensors")
    assert tuple(found["directions"]) == written.names == tuple(f"hair: {colour}" for colour in colours)
    assert written.vectors.argmax(dim=1).tolist() == list(range(len(colours)))
    with Image.open(tmp_path / "hair.png") as sheet:
        assert sheet.height == len(colours) * 156 + 8


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["faces", "walk", "--seeds", "one,two"], "seeds is 'one,two'; write numbers"),
        (["faces", "walk", "--seeds", "1"], "needs at least two seeds"),
        (["faces", "walk", "--seeds", "1,2", "--out", "walk.avi"], "a video (.mp4, .gif or .webp"),
        (["faces", "walk", "--seeds", "1,2", "--set", "hair=blue"], "hair=blue cannot be requested"),
        (["faces", "arithmetic"], "nothing to add"),
        (["faces", "arithmetic", "--plus", ""], "write numbers"),
        (["faces", "project", "none.jpg"], "Picture none.jpg does not exist"),
        (["faces", "directions", "--attribute", "glasses"], "--with RUN"),
        (["faces", "directions", "--count", "2", "--with", "eye"], "either --count"),
        (["faces", "directions", "--attribute", "glasses", "--with", "eye"], "give --attribute hair"),
        (["faces", "directions", "--count", "9"], "from 1 to 8"),
        (["eye", "walk", "--seeds", "1,2"], "not a generator"),
        (["points", "walk", "--seeds", "1,2"], "holds points"),
        (["points", "directions"], "holds points"),
        (["nowhere", "walk", "--seeds", "1,2"], "nowhere"),
    ],
)
def test_what_cannot_be_is_told_with_a_remedy(words, says, runs, run, monkeypatch):
    monkeypatch.chdir(runs)
    before = set(runs.iterdir())
    result = run(*words)
    assert result.returncode in (1, 2, 3)
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert set(runs.iterdir()) == before
