"""Train, resume and load with odd data, edited configs, and disks and people that get in the way."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import zerosum
from zerosum.cli.main import main
from zerosum.engine import loop
from zerosum.recipes.registry import get_recipe
from zerosum.runs.checkpoint import best_checkpoint, list_checkpoints
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.training.plan import plan
from zerosum.utils.errors import ConfigError, DataError, DivergedError, ZerosumError

QUICK = {"batch": 8, "size": "8", "generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}


def array_file(folder, shape, dtype="uint8", low=0, high=255):
    path = folder / "data.npy"
    np.save(path, np.random.default_rng(0).uniform(low, high, shape).astype(dtype))
    return path


def tree(path):
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize(("count", "high"), [(1, 255), (20, 0)], ids=["one image", "all images alike"])
def test_data_without_variety_is_no_false_alarm(tmp_path, count, high):
    path = array_file(tmp_path, (count, 8, 8, 1), high=high)
    run = zerosum.train("gan", path, out=tmp_path / "run", images=16, **QUICK)
    assert run.state == "done"
    assert not [event for event in read_lines(run.path / "events.jsonl") if "finding" in event]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 4])
def test_depth_and_channels_go_through_training_and_sampling(tmp_path, dtype, channels):
    path = array_file(tmp_path, (20, 8, 8, channels), dtype)
    run = zerosum.train("gan", path, out=tmp_path / "run", images=16, **QUICK)
    images = run.model().sample(2)
    assert (images.shape, images.dtype) == ((2, 8, 8, channels), dtype)


def test_what_cannot_be_built_leaves_no_folder(tmp_path):
    path = array_file(tmp_path, (20, 3), "float32")
    with pytest.raises(ConfigError, match="use gan"):
        zerosum.train("dcgan", path, out=tmp_path / "run", images=16)
    images = array_file(tmp_path, (20, 8, 8, 1))
    with pytest.raises(ConfigError, match="batch=1"):
        zerosum.train("dcgan", images, out=tmp_path / "run", images=16, preset="paper", batch=1, size="8")
    with pytest.raises(ZerosumError, match="Not enough memory"):
        zerosum.train("gan", images, out=tmp_path / "run", images=16, generator={"hidden": [3_000_000, 3_000_000]})
    assert not (tmp_path / "run").exists()


def test_numbers_may_be_those_of_numpy(pictures_file, tmp_path):
    run = zerosum.train("gan", pictures_file, out=tmp_path / "a", images=np.int64(16), seed=np.int64(1), **QUICK)
    zerosum.train("gan", pictures_file, out=tmp_path / "b", images=16, seed=1, **QUICK)
    model = run.model()
    assert np.array_equal(model.sample(seeds=np.arange(3)), zerosum.load(tmp_path / "b").sample(seeds=range(3)))
    assert np.array_equal(model.sample(seeds=torch.arange(3)), model.sample(3))


@pytest.mark.parametrize("minutes", [float("nan"), float("inf"), 0])
def test_a_goal_is_a_number_above_zero(pictures_file, minutes):
    with pytest.raises(ConfigError, match="minutes must be above 0"):
        plan("gan", pictures_file, minutes=minutes)


def test_file_names_need_not_be_utf_8(tmp_path):
    photos = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(photos)
    for i in range(4):
        Image.new("RGB", (8, 8), (i * 60, 0, 0)).save(os.fsdecode(photos + b"/\xe9%d.png" % i))
    zerosum.train("gan", os.fsdecode(photos), out=tmp_path / "run", images=16, **QUICK)
    assert zerosum.resume(tmp_path / "run", images=32).images == 32


@pytest.fixture
def run(pictures_file, tmp_path):
    path = tmp_path / "run"
    zerosum.train("gan", pictures_file, out=path, images=32, **QUICK)
    return path


def test_resuming_a_run_that_is_done_leaves_it_as_it_was(run):
    before = tree(run)
    with pytest.raises(ConfigError, match="reached its goal"):
        zerosum.resume(run)
    assert tree(run) == before


@pytest.mark.parametrize(
    ("owner", "name"), [(RunFolder, "add_scores"), (loop, "mark_best")], ids=["in the score", "before the mark"]
)
def test_a_run_killed_in_its_last_score_is_completed(tmp_path, monkeypatch, owner, name):
    def dies(*arguments):
        raise KeyboardInterrupt

    path = array_file(tmp_path, (60, 8, 8, 1))
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dies)
        with pytest.raises(KeyboardInterrupt):
            zerosum.train("gan", path, out=tmp_path / "run", images=32, score={"images": 20}, **QUICK)
    ended = zerosum.resume(tmp_path / "run")
    assert (ended.state, ended.images) == ("done", 32)
    assert [line["images"] for line in read_lines(tmp_path / "run/evaluation.jsonl")] == [32]
    assert best_checkpoint(tmp_path / "run/checkpoints").name == "000000032"
    assert list(read_lines(tmp_path / "run/events.jsonl"))[-1]["kind"] == "done"
    with pytest.raises(ConfigError, match="reached its goal"):
        zerosum.resume(tmp_path / "run")


def test_minutes_count_from_where_the_run_is(run):
    ended = zerosum.resume(run, minutes=0.002)
    assert ended.images > 32
    seconds = [line["seconds"] for line in read_lines(run / "stats.jsonl")]
    assert seconds == sorted(seconds)
    assert yaml.safe_load((run / "config.yaml").read_text())["budget"]["seconds"] > 0.12


def edit(run, **changes):
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | changes))
    return config


def test_another_device_is_remembered(run):
    edit(run, device="mps")
    with pytest.raises(ConfigError, match="--device"):
        zerosum.resume(run, images=64)
    zerosum.resume(run, images=48, device="cpu")
    assert zerosum.resume(run, images=64).images == 64


def test_settings_that_no_longer_fit_the_checkpoint_are_named(run):
    settings = edit(run)["settings"]
    edit(run, settings=settings | {"generator": settings["generator"] | {"hidden": [4]}})
    with pytest.raises(DataError, match=r"config\.yaml"):
        zerosum.load(run)
    before = tree(run)
    with pytest.raises(DataError, match=r"does not fit .*config\.yaml"):
        zerosum.resume(run, images=64)
    assert tree(run) == before


def test_float_data_of_another_range_is_refused(tmp_path):
    path = array_file(tmp_path, (20, 8, 8, 1), "float32", 0, 50)
    zerosum.train("gan", path, out=tmp_path / "run", images=16, **QUICK)
    array_file(tmp_path, (20, 8, 8, 1), "float32", 0, 90)
    with pytest.raises(DataError, match=r"from 0\.\d+ to 8\d\.\d+ .*from 0\.\d+ to 4\d"):
        zerosum.resume(tmp_path / "run", images=32)


def test_a_damaged_checkpoint_is_named_when_a_model_is_loaded(run):
    newest = list_checkpoints(run / "checkpoints")[0]
    (newest / "model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match=newest.name):
        assert zerosum.load(run).images == 0


def test_a_report_that_cannot_be_written_hides_nothing(pictures_file, tmp_path, monkeypatch):
    def fails(path):
        raise ZerosumError("No space left")

    monkeypatch.setattr("zerosum.training.running_report.write_report", fails)
    run = zerosum.train("gan", pictures_file, out=tmp_path / "a", images=16, **QUICK)
    assert run.state == "done"
    assert list(read_lines(run.path / "events.jsonl"))[-1]["text"] == "The report could not be written: No space left"
    exploding = {"optimizer": {"name": "sgd", "lr": 1e30}, "loss": "wasserstein"}
    with pytest.raises(DivergedError):
        zerosum.train("gan", pictures_file, out=tmp_path / "b", images=6400, **QUICK, **exploding)


def test_the_report_can_be_read_while_training_goes_on(pictures_file, tmp_path):
    class Looks:
        found = False

        def scalars(self, *line):
            self.found = self.found or (tmp_path / "run" / "report.html").exists()

        def event(self, kind, text):
            pass

    looks = Looks()
    zerosum.train("gan", pictures_file, out=tmp_path / "run", images=64, every={"log": 16}, listeners=[looks], **QUICK)
    assert looks.found


def test_a_short_run_has_curves(pictures_file, tmp_path):
    run = zerosum.train("gan", pictures_file, out=tmp_path / "run", images=64, **QUICK)
    assert any("score/real" in line for line in read_lines(run.path / "stats.jsonl"))


def test_a_known_density_is_drawn_only_for_the_set_that_has_it(tmp_path, monkeypatch):
    import zerosum.models.sample_sheets as show

    drawn = []
    real = show.pictures.density_picture
    monkeypatch.setattr(show.pictures, "density_picture", lambda *a: (drawn.append(a[3]), real(*a))[1])
    monkeypatch.chdir(tmp_path)
    settings = {key: QUICK[key] for key in ("batch", "generator", "discriminator")}
    zerosum.train("gan", "builtin:ring:500", out="a", images=8, **settings)
    assert any(drawn)
    drawn.clear()
    zerosum.prepare("builtin:ring:500", Path("ring"))
    np.save("ring.npy", np.load("ring/images.npy") + 7)
    Path("ring.npy").rename("normal.npy")
    zerosum.train("gan", "normal.npy", out="b", images=8, **settings)
    assert not any(drawn)


def test_the_published_learning_rate_falls_without_overflow():
    recipe = get_recipe("gan")
    from zerosum.recipes.gan import schedule

    paper = schedule(recipe.configure({"preset": "paper"}))
    assert paper(0) == [{"lr": pytest.approx(0.1), "momentum": 0.5}]
    assert paper(100)[0]["lr"] == pytest.approx(0.1 / 1.000004)
    assert paper(10**12)[0]["lr"] == 1e-6
    assert paper(250 * 50_000)[0]["momentum"] == pytest.approx(0.7)
    sgd = {"name": "sgd", "lr": 1e-8, "lr_divisor": 4.0}
    steep = schedule(recipe.configure({"optimizer": sgd}))
    assert steep(0)[0]["lr"] == steep(10**7)[0]["lr"] == 1e-8


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shape", [10**9, 10**9, 3]),
        ("shape", [8]),
        ("shape", [8, 8, 0]),
        ("shape", "wide"),
        ("dtype", "object"),
        ("value_range", [255, 0]),
        ("value_range", None),
    ],
)
def test_a_config_that_speaks_of_impossible_data_is_refused(pictures_file, tmp_path, key, value):
    run = zerosum.train("gan", pictures_file, out=tmp_path / "run", images=32, batch=16, size="8")
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    config["data"][key] = value
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"config\.yaml is damaged"):
        zerosum.load(run.path)


def test_data_that_was_moved_is_asked_for_and_found_again(pictures_file, tmp_path):
    here, there = tmp_path / "here.npy", tmp_path / "there.npy"
    here.write_bytes(pictures_file.read_bytes())
    run = zerosum.train("gan", here, out=tmp_path / "run", images=32, batch=16, size="8")
    here.rename(there)
    with pytest.raises(DataError, match=r"trained on .*here\.npy, which cannot be read now.*--data"):
        zerosum.resume(run.path, images=64)
    assert zerosum.resume(run.path, images=64, data=there).images == 64
    there.rename(here)
    with pytest.raises(DataError, match=r"there\.npy"):
        zerosum.resume(run.path, images=96)


def test_data_that_cannot_stand_in_is_told_from_that_of_the_run(pictures_file, tmp_path):
    first = tmp_path / "first.npy"
    first.write_bytes(pictures_file.read_bytes())
    run = zerosum.train("gan", first, out=tmp_path / "run", images=16, **QUICK)
    (tmp_path / "gaps").mkdir()
    words = r"^\S+/gaps cannot replace \S+/first\.npy, on which this run was trained\. .*gaps"
    with pytest.raises(DataError, match=words):
        zerosum.resume(run.path, images=32, data=tmp_path / "gaps")
    assert zerosum.resume(run.path, images=32).images == 32


def test_a_plan_looks_at_the_run_that_it_would_begin_with(run, pictures_file, tmp_path):
    assert plan("gan", pictures_file, init=run).to_json()["init"] == str(run)
    assert plan("gan", pictures_file).to_json()["init"] is None
    with pytest.raises(ConfigError, match="nowhere"):
        plan("gan", pictures_file, init=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is a run of gan; dcgan can start only from a run of the same recipe"):
        plan("dcgan", pictures_file, init=run)


def test_a_plan_refuses_an_attribute_that_the_data_does_not_have(pictures_file):
    with pytest.raises(DataError, match="has no attribute 'kind'"):
        plan("caae", pictures_file, settings={"attribute": "wear", "also": ["kind"]})
    assert plan("gan", pictures_file).to_json()["later"] == []


def test_images_too_small_to_be_scored_are_trained_on_and_keep_checkpoints(tmp_path):
    """The usual extractor needs 8 pixels each way."""
    data = array_file(tmp_path, (40, 6, 6, 1))
    settings = {**QUICK, "size": "auto", "every": {"checkpoint": 16}}
    run = zerosum.train("gan", data, out=tmp_path / "run", images=48, **settings).path
    assert [int(path.name) for path in list_checkpoints(run / "checkpoints")] == [48, 32]
    assert zerosum.load(run).sample(2).shape == (2, 6, 6, 1)
    told = [event["text"] for event in read_lines(run / "events.jsonl") if event["kind"] == "warning"]
    assert any("Checkpoints are not scored" in text and "6x6 pixels" in text for text in told)


EDITS = [
    ("layout", "nonsense"), ("layout", 5), ("precision", 7), ("seed", "x"), ("seed", "7"), ("seed", 7.0),
    ("products", [1]), ("products", {"weight": "many"}), ("threads", -3), ("threads", "2"), ("device", "abc"),
    ("budget", {"images": -1}), ("budget", {"images": "64"}), ("budget", {"seconds": 0}), ("budget", {"steps": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), EDITS, ids=str)
def test_a_config_edited_by_hand_is_damaged_for_every_command(run, tmp_path, monkeypatch, capsys, key, value):
    edit(run, **{key: value})
    before = tree(run)
    for command in (["resume", run], ["sample", run], ["evaluate", run, "x"], ["export", run, tmp_path / "out"]):
        monkeypatch.setattr(sys, "argv", ["zerosum", *map(str, command)])
        with pytest.raises(SystemExit) as ended:
            main()
        errors = capsys.readouterr().err
        assert ended.value.code == 2, (command, errors)
        assert f"config.yaml is damaged: {key}" in errors
    with pytest.raises(ConfigError, match=f"is damaged: {key}"):
        zerosum.load(run)
    assert not (tmp_path / "out").exists()
    assert tree(run) == before
