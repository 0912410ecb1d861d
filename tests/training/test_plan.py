"""What `--dry-run` prints is what `train` runs: one function resolves the settings, of expected and of packed data."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

import zerosum
from tests.export.models import run_of, tiny
from tests.recipes.test_recipes import SMALLER
from tests.training.test_conditional import write_faces
from zerosum.data.pack import pair_packing
from zerosum.training.plan import plan, plan_of, request_of

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {"every": {"log": 64, "sample": 10**6, "checkpoint": 10**6}, "batch": 8}
SIZE = {"size": "8"}


@pytest.fixture(autouse=True)
def nothing_is_packed(tmp_path_factory, monkeypatch):
    """By other tests."""
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path_factory.mktemp("cache")))


def png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A folder of each kind: pictures with a table of hair and glasses, with gaps; and pairs with label maps."""
    root, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    write_faces(root / "faces", count=24)
    write_faces(root / "gaps", count=24, gaps=5)
    for n in range(4):
        numbers = rng.integers(0, 3, (24, 40), np.uint8)
        numbers[:, 8:32] = numbers[:, 8:32].clip(0, 1)
        numbers[0, 0] = 200  # at the edge, where it is cropped away
        picture = rng.integers(0, 256, (24, 40, 3), np.uint8)
        png(root / f"numbers/label/{n}.png", numbers)
        png(root / f"numbers/img/{n}.png", picture)
        png(root / f"masks/images/{n}.png", picture)
        png(root / f"masks/masks/{n}.png", 255 * (numbers > 0).astype(np.uint8))
        png(root / f"halves/{n}.png", np.concatenate([numbers.clip(0, 4), numbers.clip(0, 4)], axis=1))
    return root


PAIRED = {"pix2pixhd": SMALLER["pix2pixhd"] | {"data": {"maps": "auto"}}, "segmenter": SMALLER["segmenter"]}
CASES = {
    "all attributes": ("gan", "faces", ["conditional=true"], {"attributes": ["hair", "glasses"]}),
    "one of them": ("gan", "faces", ["conditional=true", "attributes=glasses"], {"attributes": ["glasses"]}),
    "drawn attributes": ("gan", "builtin:portraits:40", ["conditional=true"], {}),
    "classes of a table": ("classifier", "gaps", ["label=hair", "per_class=3", "epochs=2"], {"images": 18}),
    "an ordered attribute": ("caae", "builtin:portraits:40", ["attribute=age", "epochs=0.5"], {}),
    "numbered maps": ("pix2pixhd", "numbers", ["data.maps=auto"], {"labels": 2}),
    "numbered maps, whole": ("pix2pixhd", "numbers", ["data.maps=auto", "size=24x40"], {"labels": 201}),
    "as many as given": ("pix2pixhd", "numbers", ["data.maps=auto", "data.labels=210"], {"labels": 210}),
    "maps to be made": ("segmenter", "numbers", ["data.direction=BtoA", "data.maps=A"], {"labels": 2}),
    "shades": ("segmenter", "masks", [], {"labels": 2, "shades": [0, 255]}),
    "in one file": ("segmenter", "halves", ["data.halves=true", "data.maps=both"], {"labels": 2}),
    "drawn maps": ("pix2pixhd", "builtin:portraits:8", ["data.maps=A"], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_expected_data_gives_the_settings_of_packed_data(case, sets):
    """Field by field, and every field of the plan, though nothing is packed yet."""
    name, source, overrides, known = CASES[case]
    source = source if ":" in source else sets / source
    options = {"settings": QUICK | SIZE | SMALLER.get(name, {}) | PAIRED.get(name, {}), "overrides": overrides}
    planned = plan(name, source, **options)
    assert planned.data.packed is None
    trained = plan_of(request_of(name, source, **options), read_maps=False).of_packed_data(None)
    settings = planned.to_json()["settings"]
    assert settings == trained.settings.model_dump(mode="json")
    assert (planned.goal, planned.resolved.length) == (trained.goal, trained.length)
    assert (planned.resolved.chosen, planned.resolved.unreached) == (trained.chosen, trained.unreached)
    assert {key: ({**settings, **settings["data"]})[key] for key in known} == known
    again = plan(name, source, **options)
    assert again.data.packed is not None
    assert (again.settings, again.later) == (planned.settings, ())


@pytest.mark.parametrize("case", ["all attributes", "numbered maps"])
def test_config_yaml_keeps_what_the_dry_run_printed(case, sets, command, tmp_path, monkeypatch):
    """Also where a run that is named by a relative path scores the samples."""
    monkeypatch.chdir(tmp_path)
    name, source, overrides, _ = CASES[case]
    if name == "gan":
        run_of(tiny("classifier"), tmp_path / "eye")
        overrides = [*overrides, "score.features=eye", "score.images=0", "size=16"]
    small = {key: value for key, value in (QUICK | SIZE | SMALLER[name]).items() if "." not in key}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    words = ["train", name, sets / source, *overrides, "--config", "small.yaml", "--images", "8"]
    code, printed, errors = command(*words, "--dry-run", "--json")
    assert code == 0, errors
    assert command(*words, "--out", "run")[0] == 0
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    planned = json.loads(printed)
    assert planned["settings"] == config["settings"]
    assert planned["goal"] == config["budget"]
    if name == "gan":
        assert config["settings"]["score"]["features"] == str(tmp_path / "eye")


def test_images_that_turn_out_to_be_damaged_are_announced_and_then_known(tmp_path):
    """Their headers are whole, so a scan counts them; packing leaves them out, and the length in epochs follows."""
    for n in range(10):
        png(tmp_path / f"set/{n}.png", np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8))
    damaged = tmp_path / "set/3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    options = {"settings": QUICK | SIZE | SMALLER["gan"], "overrides": ["epochs=2"]}
    planned = plan("gan", tmp_path / "set", **options)
    assert planned.settings.images == 20
    (sentence,) = planned.to_json()["later"]
    assert "damaged ones will be left out" in sentence
    run = zerosum.train("gan", tmp_path / "set", out=tmp_path / "run", epochs=2, **options["settings"])
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert config["settings"]["images"] == config["budget"]["images"] == 18
    again = plan("gan", tmp_path / "set", **options)
    assert again.to_json()["settings"] == config["settings"]
    assert again.later == ()


def test_maps_are_read_for_a_dry_run_alone_and_only_where_nothing_says_how_many_classes(sets, monkeypatch):
    read = []
    monkeypatch.setattr(pair_packing, "decode_map", lambda *map_: read.append(map_) or np.zeros((24, 40), np.int32))
    options = {"settings": QUICK | PAIRED["pix2pixhd"] | {"size": "32"}}
    plan_of(request_of("pix2pixhd", sets / "numbers", **options), read_maps=False)
    plan("pix2pixhd", sets / "numbers", overrides=["data.labels=9"], **options)
    assert not read
    assert plan("pix2pixhd", sets / "numbers", **options).settings.data.labels == 1
    assert read
