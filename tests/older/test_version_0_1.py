"""Runs and exported folders of version 0.1, kept as it wrote them, go on working: names inside them do not change.

Each recipe was trained for two steps on `builtin:portraits:64` and exported; options were chosen so that their keys
occur: conditions, an attribute with bins, label maps, augmentation, schedules.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import zerosum
from zerosum.export.check import failure_text, load_check
from zerosum.runs.folder import RunFolder
from zerosum.training.plan import plan
from zerosum.utils.weights import tensors_hash

KEPT = Path(__file__).parent / "version_0_1"
RECIPES = sorted(path.name for path in KEPT.iterdir() if not path.name.endswith("-exported"))
LOADED_AS = {"classifier": "classify", "caae": "change", "pix2pix": "translate", "pix2pixhd": "translate"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_is_loaded_with_the_weights_that_it_exported(name):
    run, exported = zerosum.load(KEPT / name, "cpu"), zerosum.load(KEPT / f"{name}-exported", "cpu")
    assert run.images == exported.images > 0
    assert tensors_hash(run.network.state_dict()) == tensors_hash(exported.network.state_dict())


@pytest.mark.parametrize("name", RECIPES)
def test_an_exported_folder_computes_what_it_did(name):
    folder = KEPT / f"{name}-exported"
    rows = load_check(folder)
    assert failure_text(folder, rows) is None
    assert [row.what for row in rows if row.difference is not None] == ["PyTorch"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_is_resumed(name, tmp_path):
    shutil.copytree(KEPT / name, tmp_path / name)
    before = yaml.safe_load((tmp_path / name / "config.yaml").read_text("utf-8"))
    run = zerosum.resume(tmp_path / name, steps=3, threads=1, listeners=[])
    assert run.state == "done"
    assert run.images > zerosum.load(KEPT / name, "cpu").images
    after = RunFolder.existing(run.path).config()
    assert after["settings"].keys() >= before["settings"].keys()  # settings that came later have their defaults


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_begins_another_run_with_the_same_settings(name):
    config = yaml.safe_load((KEPT / name / "config.yaml").read_text("utf-8"))
    planned = plan(name, "builtin:portraits:64", config=KEPT / name / "config.yaml", steps=2)
    settings = json.loads(planned.settings.model_dump_json())
    assert known_part(settings, config["settings"]) == config["settings"]


def known_part(settings, older):
    """The settings that an older version had; those that came later have their defaults."""
    return {
        key: known_part(settings[key], value) if isinstance(value, dict) else settings[key]
        for key, value in older.items()
    }


@pytest.mark.parametrize(("name", "task"), LOADED_AS.items())
def test_the_names_of_tasks_stay(name, task):
    assert zerosum.load(KEPT / name, "cpu", task=task).recipe.name == name
