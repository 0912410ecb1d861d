"""`zerosum tag`: classifiers fill tags.csv, and what they wrote is then an attribute to train on."""

import csv
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

import zerosum
from tests.data.made_sets import packed
from zerosum.data.open import open_dataset
from zerosum.data.sources.find import open_source
from zerosum.inference.tagging import tag
from zerosum.recipes.classifier import split
from zerosum.recipes.registry import get_recipe
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {"batch": 16, "size": "8", "width": 8, "every": {"log": 64, "sample": 4096, "checkpoint": 4096}}
TRUTH = {"ground": ("light", "dark"), "lines": ("across", "down")}


def draw(ground, lines, seed):
    """8 x 8 gray: a ground that is light or dark, with lines across or down."""
    image = np.random.default_rng(seed).integers(0, 30, (8, 8), dtype=np.uint8) + np.uint8(90 * (ground == "light"))
    image[(slice(0, None, 2), slice(None)) if lines == "across" else (slice(None), slice(0, None, 2))] += 120
    return Image.fromarray(image)


def write_images(folder, count, seed=0, places=("",)):
    """Images in sub-folders by turns, and the truth about each by its path."""
    truth = {}
    for i in range(count):
        name = f"{places[i % len(places)]}{i:03}.png"
        truth[name] = {"ground": TRUTH["ground"][i // 2 % 2], "lines": TRUTH["lines"][i % 2]}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw(**truth[name], seed=(seed, i)).save(folder / name)
    return truth


def write_table(file, rows):
    with open(file, "w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerows([["file", *TRUTH], *([name, *facts.values()] for name, facts in rows.items())])


def table_of(file):
    with open(file, newline="", encoding="utf-8") as text:
        return {row.pop("file"): row for row in csv.DictReader(text)}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder in which a fifth of the images have no tags, and a classifier for each attribute."""
    root = tmp_path_factory.mktemp("learnt")
    truth = write_images(root / "set", 160, places=("images/",))
    write_table(root / "set/tags.csv", dict(list(truth.items())[:128]))
    for label in TRUTH:
        zerosum.train("classifier", root / "set", out=root / label, label=label, epochs=12, **QUICK)
    return root


@pytest.fixture
def command(command):
    """`zerosum tag`."""
    return partial(command, "tag")


def test_images_without_a_tag_are_neither_trained_nor_tested_on(learnt):
    assert zerosum.load(learnt / "ground").info.classes == ("dark", "light")
    found = zerosum.evaluate(learnt / "ground", learnt / "set")
    assert found["made_by"]["part"] == "validation"
    assert 4 <= found["made_by"]["n"] <= 24  # a tenth of 128, by chance
    assert any("32 of 160 images have no ground" in warning for warning in found["warnings"])
    assert zerosum.evaluate(learnt / "ground", learnt / "set", part="train")["made_by"]["n"] == 128


def test_the_split_passes_over_labels_of_minus_one():
    settings = get_recipe("classifier").configure({"validation": 0.2})
    labels = np.repeat([0, -1, 1, -1], 50)
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    training, held = split(settings, packed(images, labels), 3)
    assert sorted([*training, *held]) == np.flatnonzero(labels >= 0).tolist()
    known = np.flatnonzero(labels >= 0)
    alone = split(settings, packed(images[known], labels[known]), 3)
    assert np.array_equal(known[alone[1]], held)


def test_more_tags_make_it_another_set(learnt, tmp_path):
    """Which has copies of images that were trained on, and that is said."""
    truth = write_images(tmp_path, 160, places=("images/",))
    write_table(tmp_path / "tags.csv", truth)
    found = zerosum.evaluate(learnt / "ground", tmp_path)
    assert found["made_by"]["part"] == "all"
    assert any("are copies of images that the run was trained on" in warning for warning in found["warnings"])


def test_what_classifiers_wrote_can_be_trained_on(learnt, tmp_path, command):
    """Sub-folders, parts of a set among them, and strays are all tagged."""
    truth = write_images(tmp_path / "new", 40, seed=1, places=("train/a/", "train/b/", "test/a/", ""))
    (tmp_path / "new/broken.png").write_bytes(b"no image")
    runs = ["--with", learnt / "ground", "--with", learnt / "lines"]
    code, out, err = command(tmp_path / "new", *runs, "--json")
    assert code == 0
    assert "1 image could not be classified" in err
    found = json.loads(out)
    assert found["file"] == str(tmp_path / "new/tags.csv")
    assert found["images"] == 40
    for column, values in TRUTH.items():
        assert found["columns"][column]["values"].keys() == set(values)
        assert sum(found["columns"][column]["values"].values()) == 40
        assert found["columns"][column]["empty"] == 0
    written = table_of(tmp_path / "new/tags.csv")
    assert list(written) == sorted(truth)
    right = [written[name][column] == truth[name][column] for name in truth for column in TRUTH]
    assert np.mean(right) > 0.9
    notes = open_source(tmp_path / "new").notes
    assert "The attributes ground, lines come from tags.csv." in notes
    assert not any("row" in note for note in notes)
    data = open_dataset(tmp_path / "new", (8, 8))
    assert [written[name]["lines"] for name in data.names] == data.attributes["lines"].tolist()
    code, out, _ = command(tmp_path / "new", *runs[:2], "--replace")
    assert code == 0
    assert "40 images, tagged in" in out


def test_what_is_in_the_file_stays(learnt, tmp_path):
    write_images(tmp_path, 4)
    file = tmp_path / "tags.csv"
    lines = ["note;FILE;ground", "first;003.png;mine", "lost;gone.png;mine", "über;000.png;mine"]
    file.write_text("\n".join(lines), encoding="utf-8-sig")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"already has a column ground\. Replace it with --replace"):
        tag(tmp_path, [learnt / "lines", learnt / "ground"])
    assert file.read_bytes() == before
    tag(tmp_path, [learnt / "lines"])
    rows = [line.split(";") for line in file.read_text("utf-8").splitlines()]
    assert [";".join(row[:3]) for row in rows] == [*lines, ";001.png;", ";002.png;"]
    assert [row[3] for row in rows] == ["lines", "down", "", "across", "down", "across"]
    tag(tmp_path, [learnt / "ground"], replace=True)
    rows = [line.split(";") for line in file.read_text("utf-8").splitlines()]
    assert [row[2] for row in rows] == ["ground", "dark", "mine", "light", "light", "dark"]


def test_a_column_of_another_table_is_told(learnt, tmp_path):
    write_images(tmp_path, 4, places=("deep/",))
    (tmp_path / "deep/tags.csv").write_text("file,lines\n000.png,mine\n")
    said = []
    tag(tmp_path, [learnt / "lines"], warn=said.append)
    assert len(said) == 1
    assert "another table with a column lines" in said[0]
    assert next(open_source(tmp_path).records()).attributes["lines"] == "mine"
    tag(tmp_path, [learnt / "lines"], replace=True, warn=said.append)
    assert len(said) == 1


def test_cells_stay_empty_where_it_is_not_sure(learnt, tmp_path):
    write_images(tmp_path, 6)
    Image.new("L", (8, 8), 127).save(tmp_path / "noise.png")
    chances = zerosum.load(learnt / "lines").logits(open_dataset(tmp_path, (8, 8)).images).softmax(dim=1).max(dim=1)
    limit = float(chances.values.median()) + 1e-7
    found = tag(tmp_path, [learnt / "lines"], sure=limit)["columns"]["lines"]
    assert found["empty"] == int((chances.values < limit).sum()) > 0
    assert [row["lines"] == "" for row in table_of(tmp_path / "tags.csv").values()] == (chances.values < limit).tolist()


def test_images_are_brought_to_the_form_of_the_classifier(learnt, tmp_path):
    truth = write_images(tmp_path / "small", 8)
    (tmp_path / "large").mkdir()
    for name in truth:
        with Image.open(tmp_path / "small" / name) as image:
            image.convert("RGB").resize((24, 24), Image.Resampling.NEAREST).save(tmp_path / "large" / name)
    tag(tmp_path / "large", [learnt / "ground"])
    written = table_of(tmp_path / "large/tags.csv")
    assert {name: row["ground"] for name, row in written.items()} == {
        name: row["ground"] for name, row in truth.items()
    }


def test_data_that_is_no_folder_needs_a_file(learnt, tmp_path, pictures_file):
    with pytest.raises(ConfigError, match=r"name a file with --out.*unpack the images into a folder"):
        tag(pictures_file, [learnt / "ground"])
    found = tag(pictures_file, [learnt / "ground"], out=tmp_path / "out.csv")
    assert found["images"] == len(table_of(tmp_path / "out.csv")) == 256


def test_bad_input_is_told_and_writes_nothing(learnt, tmp_path, pictures_file, command):
    write_images(tmp_path / "set", 4)
    (tmp_path / "empty").mkdir()
    small = {"generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}
    zerosum.train("gan", pictures_file, out=tmp_path / "gan", images=16, batch=16, size="8", **small)
    ground = ["--with", learnt / "ground"]
    for arguments, code, words in (
        (["nowhere", *ground], 3, "nowhere does not exist"),
        ([tmp_path / "empty", *ground], 3, "no images in"),
        ([tmp_path / "set", "--with", tmp_path / "gan"], 2, "not a classifier"),
        ([tmp_path / "set", *ground, *ground], 2, "both fill the column ground"),
        ([tmp_path / "set", *ground, "--sure", "80"], 2, "sure is 80; a probability"),
        ([tmp_path / "set", *ground, "--out", tmp_path / "no/where.csv"], 2, "which is not a folder"),
        (["builtin:ring:100", *ground, "--out", tmp_path / "x.csv"], 3, "holds points"),
        ([tmp_path / "set"], 2, "Missing option"),
    ):
        ended, out, err = command(*arguments)
        assert (ended, out) == (code, ""), err
        assert words in err
    assert not list(tmp_path.rglob("*.csv"))
    for content, words in ((b"a,b\n", "no column `file`"), (b"file,a\nx\n", "in line 2"), (b"\0\xff", "not text")):
        (tmp_path / "set/tags.csv").write_bytes(content)
        with pytest.raises(DataError, match=words):
            tag(tmp_path / "set", [learnt / "ground"])
        assert (tmp_path / "set/tags.csv").read_bytes() == content
