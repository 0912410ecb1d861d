"""The run folder: what a hand or a crash may have done to its files."""

import os

import pytest
import yaml

from zerosum.runs.folder import RunFolder, read_lines
from zerosum.utils.errors import ConfigError

CONFIG = {
    "schema": 1,
    "recipe": "gan",
    "source": "photos",
    "seed": 0,
    "device": "cpu",
    "precision": "fp32",
    "budget": {"images": 10, "steps": None, "seconds": None},
    "settings": {},
    "data": {},
}


@pytest.fixture
def run(tmp_path):
    made = RunFolder.create(tmp_path / "run", CONFIG, {})
    yield made
    made.unlock()


def test_a_config_comes_back(run):
    assert run.config() == CONFIG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1\n", "contains no settings"),
        ("a: [", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        (yaml.safe_dump({**CONFIG, "schema": 2}), "newer version"),
        (yaml.safe_dump({**CONFIG, "seed": "x"}), "seed: input should be a valid integer"),
        (yaml.safe_dump({**CONFIG, "recipe": [1]}), "recipe: "),
        (yaml.safe_dump({**CONFIG, "device": "tpu"}), "device: "),
        (yaml.safe_dump({**CONFIG, "budget": {"images": "many"}}), "budget.images: "),
        (yaml.safe_dump({k: v for k, v in CONFIG.items() if k != "source"}), "source: field required"),
    ],
    ids=range(9),
)
def test_a_damaged_config_is_named(run, text, words):
    run.config_file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml") as error:
        run.config()
    assert words in str(error.value)


def test_a_line_after_a_torn_one_is_not_lost(run):
    run.add_event("start", "first", 0)
    with open(run.path / "events.jsonl", "a") as file:
        file.write('{"time": "20')
    run.add_event("resume", "second", 5)
    assert [line["text"] for line in read_lines(run.path / "events.jsonl")] == ["first", "second"]


def test_stats_after_a_checkpoint_are_forgotten_and_what_is_not_finite_is_null(run):
    for images in (10, 20, 30):
        run.add_stats({"images": images, "loss": float("nan")})
    run.forget_after(20)
    assert list(read_lines(run.path / "stats.jsonl")) == [{"images": i, "loss": None} for i in (10, 20)]


def test_file_names_need_not_be_utf_8(run):
    name = os.fsdecode(b"caf\xe9")
    run.add_event("start", name, 0)
    assert next(read_lines(run.path / "events.jsonl"))["text"] == name
    run.write_config({**CONFIG, "source": name})
    assert run.config()["source"] == name


def test_only_a_run_with_a_name_like_it_is_suggested(tmp_path):
    (tmp_path / "runs" / "py").mkdir(parents=True)
    (tmp_path / "runs" / "py" / "config.yaml").write_text("recipe: gan\n")
    with pytest.raises(ConfigError, match=r"nope\. Pass the folder"):
        RunFolder.existing(tmp_path / "runs" / "nope")
    with pytest.raises(ConfigError, match=r"did you mean .*py\?"):
        RunFolder.existing(tmp_path / "runs" / "pyy")
