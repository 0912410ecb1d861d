"""The catalog says what the recipes say, and refuses what they refuse."""

import json

import pytest

from zerosum.recipes import catalog as module
from zerosum.recipes.catalog import FILE, build_catalog, catalog, check, entry_of
from zerosum.recipes.overrides import parse_overrides
from zerosum.recipes.registry import get_recipe
from zerosum.utils.errors import ConfigError


def test_the_file_is_up_to_date():
    found = json.loads(json.dumps(build_catalog()))
    assert json.loads(FILE.read_text("utf-8")) == found, "settings have changed: run `make catalog`"


@pytest.mark.parametrize(
    "words",
    [
        "batch=32 generator.width=16 size=48x80 augment=ada augment.target=0.5",
        "k=3 conditional=true attributes=hair,eyes penalty.r1=1",
        "epochs=2.5 optimizer.lr=1e-4 optimizer.discriminator_lr=2e-4",
        "data.range=0:4095 data.background=#ff0000 data.fit=pad every.log=10",
    ],
)
def test_what_a_recipe_takes_passes(words):
    values = parse_overrides(words.split())
    get_recipe("dcgan").configure(values)
    check(entry_of("dcgan"), values)


@pytest.mark.parametrize(
    "word",
    ["widht=3", "batch=0", "batch=x", "loss=hing", "kernel=3", "generator=3", "optimizer.lr=-1", "preset=x", "size=0"],
)
def test_what_a_recipe_refuses_is_refused_in_the_same_words(word):
    values = parse_overrides([word])
    with pytest.raises(ConfigError) as of_recipe:
        get_recipe("dcgan").configure(values)
    with pytest.raises(ConfigError) as of_catalog:
        check(entry_of("dcgan"), values)
    assert str(of_catalog.value) == str(of_recipe.value)


def test_a_catalog_out_of_date_is_not_asked(monkeypatch, tmp_path):
    stale = json.loads(FILE.read_text("utf-8"))
    next(entry for entry in stale["recipes"] if entry["name"] == "gan")["sources"]["recipes/gan.py"] = "other"
    stale["recipes"][0]["summary"] = "forged"
    (tmp_path / "catalog.json").write_text(json.dumps(stale))
    monkeypatch.setattr(module, "FILE", tmp_path / "catalog.json")
    assert "forged" not in [entry["summary"] for entry in catalog().values()]
