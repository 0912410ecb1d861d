"""`zerosum translate`: pictures of any size, depth and name become files; what cannot be read is told."""

import json
import sys
from functools import partial

import imagecodecs
import numpy as np
import pytest
import tifffile
import typer
from PIL import Image

import zerosum
from zerosum.cli.main import app, main
from zerosum.data.decode.label_maps import decode_map
from zerosum.data.open import open_dataset
from zerosum.data.synthetic import portraits
from zerosum.inference.sampling import write_image
from zerosum.inference.translating import MOST_CELLS, OPTIONS, translate
from zerosum.models.translator import Translator
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError, ZerosumError
from zerosum.utils.pictures import HEAD

pytestmark = pytest.mark.usefixtures("untried")

PAIRS = "builtin:portraits:40"
TINY = {"size": "16", "batch": 4, "every": {"log": 64, "sample": 4096, "checkpoint": 4096}}
SMALL = {**TINY, "generator": {"width": 4, "depth": 2}, "discriminator": {"width": 4, "patch": 16}}
quiet = partial(translate, warn=lambda text: None, overwrite=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Translators by what they do: outlines to pictures, pictures to label maps, label maps to pictures in looks."""
    root = tmp_path_factory.mktemp("runs")
    zerosum.train("pix2pix", PAIRS, out=root / "faces", images=8, **SMALL)
    zerosum.train("segmenter", PAIRS, out=root / "maps", images=8, width=4, depth=2, **TINY)
    looks = {"network": {"width": 4, "downs": 1, "blocks": 1}, "features": {"enabled": True, "width": 4, "clusters": 3}}
    judge = {"discriminator": {"scales": 1, "layers": 1, "width": 4}, "matching": 0}
    maps = ["data.maps=A"]
    zerosum.train("pix2pixhd", PAIRS, out=root / "looks", images=8, overrides=maps, **TINY, **looks, **judge)
    return root


@pytest.fixture(scope="module")
def deep_run(tmp_path_factory):
    """From gray to colour with opacity, 16 bits each."""
    root = tmp_path_factory.mktemp("deep")
    rng = np.random.default_rng(0)
    for side, channels in (("A", 1), ("B", 4)):
        (root / "pairs" / side).mkdir(parents=True)
        for i in range(6):
            image = rng.integers(0, 65536, (16, 16, channels), dtype=np.uint16)
            write_image(root / "pairs" / side / str(i), image, alpha=channels == 4)
    zerosum.train("pix2pix", root / "pairs", out=root / "run", images=8, **SMALL)
    return root / "run"


@pytest.fixture
def command(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["zerosum", "translate", *map(str, arguments), "--overwrite"])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("size", [(1, 1), (5, 31), (17, 3), (33, 50)])
def test_one_picture_keeps_its_size_and_is_what_python_gives(runs, tmp_path, size):
    source = save(tmp_path / "in.png", noise(*size))
    found = quiet(runs / "faces", source, tmp_path / "out")
    assert found == {"out": str(tmp_path / "out"), "images": 1, "trained_on": 8, "skipped": []}
    made = read(tmp_path / "out" / "in.png")
    assert made.shape == (*size, 3)
    assert np.array_equal(made, zerosum.load(runs / "faces").translate(read(source)[None, ..., None])[0])


def test_a_folder_keeps_names_and_sub_folders_and_each_its_size(runs, tmp_path):
    sizes = {"a.png": (16, 20), "b/c.d.jpg": (20, 16), "b/e.tif": (20, 16), "f.bmp": (7, 9)}
    for seed, (name, size) in enumerate(sizes.items()):
        save(tmp_path / "in" / name, noise(*size, 3, seed=seed))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    found = quiet(runs / "faces", tmp_path / "in", tmp_path / "out")
    assert found["images"] == 4
    made = {name: read(tmp_path / "out" / name).shape for name in tree(tmp_path / "out")}
    assert made == {"a.png": (16, 20, 3), "b/c.d.png": (20, 16, 3), "b/e.png": (20, 16, 3), "f.png": (7, 9, 3)}


def test_what_is_there_is_not_written_over(runs, tmp_path):
    source = save(tmp_path / "in.png", noise(8, 8))
    mine = save(tmp_path / "out" / "mine.png", noise(4, 4)).read_bytes()
    for out in (tmp_path / "out", tmp_path / "out" / "mine.png"):
        with pytest.raises(ConfigError, match="--overwrite"):
            translate(runs / "faces", source, out)
    assert list(tree(tmp_path / "out").values()) == [mine]
    translate(runs / "faces", source, tmp_path / "out", overwrite=True)
    assert sorted(tree(tmp_path / "out")) == ["in.png", "mine.png"]


def test_a_name_as_long_as_a_disk_takes_does_not_end_a_folder(runs, tmp_path):
    names = ["a.png", "x" * 246 + ".png", "z.png"]
    for seed, name in enumerate(names):
        save(tmp_path / "in" / name, noise(8, 8, seed=seed))
    assert quiet(runs / "faces", tmp_path / "in", tmp_path / "out")["images"] == 3
    assert len(tree(tmp_path / "out")) == 3


def test_pieces_of_what_sees_means_are_warned_of(runs, tmp_path):
    save(tmp_path / "in" / "a.png", noise(40, 70) % 3)
    save(tmp_path / "in" / "b.png", noise(70, 40) % 3)
    said = []
    translate(runs / "looks", tmp_path / "in", tmp_path / "out", tile=32, warn=said.append)
    (words,) = [words for words in said if "is translated in tiles" in words]
    assert "a.png has 40x70 pixels" in words
    assert "--tile 70 translates it as a whole" in words
    said.clear()
    translate(runs / "looks", tmp_path / "in", tmp_path / "whole", tile=70, warn=said.append)
    assert not any("squares" in words for words in said)


def test_pictures_of_one_name_do_not_replace_one_another(runs, tmp_path):
    for seed, name in enumerate(["x.bmp", "x.png", "X.tif", "x.png.png"]):
        save(tmp_path / "in" / name, noise(8, 8, seed=seed))
    assert quiet(runs / "faces", tmp_path / "in", tmp_path / "out")["images"] == 4
    assert sorted(tree(tmp_path / "out")) == ["X.png", "x.bmp.png", "x.png.png", "x.png.png.png"]
    model = zerosum.load(runs / "faces")
    for name, made in (("X.tif", "X.png"), ("x.bmp", "x.bmp.png"), ("x.png", "x.png.png")):
        expected = model.translate(read(tmp_path / "in" / name)[None, ..., None])[0]
        assert np.abs(read(tmp_path / "out" / made).astype(int) - expected).max() <= 1  # alone or beside others


def test_a_bad_file_is_told_and_the_others_go_on(runs, tmp_path, command):
    for seed, name in enumerate(["a.png", "sub/c.png"]):
        save(tmp_path / "in" / name, noise(8, 8, seed=seed))
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    code, out, err = command(runs / "faces", tmp_path / "in", "--out", tmp_path / "out", "--json", "--device", "cpu")
    assert (code, err) == (0, "warning: b.png: not an image of a known format\n")
    skipped = [{"name": "b.png", "reason": "not an image of a known format"}]
    assert json.loads(out) == {"out": str(tmp_path / "out"), "images": 2, "trained_on": 8, "skipped": skipped}
    assert sorted(tree(tmp_path / "out")) == ["a.png", "sub/c.png"]
    code, out, _ = command(runs / "faces", tmp_path / "in", "--out", tmp_path / "out", "--device", "cpu")
    assert out == f"2 pictures in {tmp_path / 'out'}, 1 skipped, from {runs / 'faces'} after 8 images.\n"


def test_what_cannot_be_read_at_all_is_an_error(runs, tmp_path, command):
    (tmp_path / "in").mkdir()
    for arguments, words in (
        (["nowhere"], "nowhere does not exist"),
        ([tmp_path / "in"], "There are no images in"),
    ):
        code, out, err = command(runs / "faces", *arguments, "--out", tmp_path / "out")
        assert (code, out) == (3, "")
        assert words in err
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"in/a.png: not an image of a known format\."):
        quiet(runs / "faces", tmp_path / "in" / "a.png", tmp_path / "out")
    with pytest.raises(DataError, match=r"None of the 2 images .* The first is a.png"):
        quiet(runs / "faces", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_more_than_a_hundred_megapixels_are_to_be_cut(runs, tmp_path):
    Image.new("1", (10_001, 10_000)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match="100 megapixels; cut it into pieces"):
        quiet(runs / "faces", tmp_path / "large.png", tmp_path / "out")


def test_sixteen_bits_and_opacity(deep_run, tmp_path):
    model = zerosum.load(deep_run)
    gray = noise(9, 12, dtype=np.uint16)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "deep.tif", gray)
    save(tmp_path / "in" / "colour.png", noise(9, 12, 3))
    quiet(deep_run, tmp_path / "in", tmp_path / "out")
    made = imagecodecs.png_decode((tmp_path / "out" / "deep.png").read_bytes())
    assert (made.shape, made.dtype) == ((9, 12, 4), np.uint16)
    expected = model.translate(gray[None, ..., None])[0].astype(int)
    assert np.abs(made - expected).max() <= 1
    luma = np.rint(read(tmp_path / "in" / "colour.png").astype(np.float32) * 257 @ [0.299, 0.587, 0.114])
    expected = model.translate(luma.astype(np.uint16)[None, ..., None])[0].astype(int)
    made = imagecodecs.png_decode((tmp_path / "out" / "colour.png").read_bytes())
    assert np.abs(made - expected).max() <= 2
    quiet(deep_run, tmp_path / "in" / "deep.tif", tmp_path / "new" / "named.png")
    assert imagecodecs.png_decode((tmp_path / "new" / "named.png").read_bytes()).dtype == np.uint16
    for name in ("a.jpg", "a.tif", "a.PNG"):
        with pytest.raises(
            ConfigError, match=r"cannot store the output of this run, uint16 of 4 channels: name it .*a\.png"
        ):
            quiet(deep_run, tmp_path / "in" / "deep.tif", tmp_path / name)


def test_opacity_is_laid_on_the_background_of_the_run(runs, tmp_path):
    clear = np.zeros((8, 8, 4), np.uint8)
    save(tmp_path / "clear.png", clear)
    quiet(runs / "faces", tmp_path / "clear.png", tmp_path / "out")
    white = zerosum.load(runs / "faces").translate(np.full((1, 8, 8, 1), 255, np.uint8))
    assert np.array_equal(read(tmp_path / "out" / "clear.png"), white[0])


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp", "a.tiff"])
def test_a_named_file_of_each_format(runs, tmp_path, name):
    source = save(tmp_path / "in.png", noise(10, 14))
    assert quiet(runs / "faces", source, tmp_path / "deeper" / name)["out"] == str(tmp_path / "deeper" / name)
    assert list(tree(tmp_path / "deeper")) == [name]
    assert read(tmp_path / "deeper" / name).shape == (10, 14, 3)


def test_label_maps_come_as_numbers_in_colours(runs, tmp_path):
    save(tmp_path / "in.png", noise(15, 22, 3))
    quiet(runs / "maps", tmp_path / "in.png", tmp_path / "out")
    file = tmp_path / "out" / "in.png"
    expected = zerosum.load(runs / "maps").translate(read(tmp_path / "in.png")[None])[0, ..., 0]
    assert np.array_equal(decode_map(partial(open, file, "rb")), expected)
    with Image.open(file) as image:
        assert image.mode == "P"
        shown = np.asarray(image.convert("RGB"))
    assert np.array_equal(shown, pictures.coloured(expected, len(portraits.LABELS)))
    with pytest.raises(ConfigError, match=r"label maps: name it .*a\.png"):
        quiet(runs / "maps", tmp_path / "in.png", tmp_path / "a.jpg")


def test_label_maps_as_inputs_are_read_as_numbers(runs, tmp_path, command):
    numbers = noise(12, 18) % len(portraits.LABELS)
    numbers[0] = 255
    picture = Image.fromarray(numbers)
    picture.putpalette(pictures.palette(255)[::-1].tobytes())
    picture.save(tmp_path / "palette.png")
    save(tmp_path / "gray.png", numbers)
    for name in ("palette", "gray"):
        assert command(runs / "looks", tmp_path / f"{name}.png", "--out", tmp_path / "out", "--device", "cpu")[0] == 0
    made = read(tmp_path / "out" / "palette.png")
    assert np.array_equal(made, read(tmp_path / "out" / "gray.png"))
    assert np.array_equal(made, zerosum.load(runs / "looks").translate(numbers[None, ..., None])[0])
    code, _, err = command(runs / "looks", save(tmp_path / "bad.png", numbers + 40), "--out", tmp_path / "out")
    assert code == 3
    assert "in a label map" in err
    code, _, err = command(runs / "looks", save(tmp_path / "colour.png", noise(9, 9, 3)), "--out", tmp_path / "out")
    assert code == 3
    assert "where a label map is expected" in err


def test_instances_belong_to_pictures_by_their_names(runs, tmp_path):
    numbers = {name: noise(14, 14, seed=seed) % len(portraits.LABELS) for seed, name in enumerate("abc")}
    ids = {name: noise(14, 14, dtype=np.uint16, seed=seed + 9) % 5 for seed, name in enumerate("ab")}
    for name, values in numbers.items():
        save(tmp_path / "in" / f"{name}.png", values)
    for name, values in ids.items():
        save(tmp_path / "ids" / f"{name}.png", values)
    save(tmp_path / "ids" / "c.png", np.zeros((9, 14), np.uint8))
    said = []
    found = translate(runs / "looks", tmp_path / "in", tmp_path / "out", instances=tmp_path / "ids", warn=said.append)
    assert found["images"] == 2
    assert "c.png: 14x14 pixels (height x width), but its instance map has 9x14" in said
    model = zerosum.load(runs / "looks")
    for name in ids:
        given = numbers[name][None, ..., None]
        expected = model.translate(given, instances=ids[name][None, ..., None].astype(np.int32))[0].astype(int)
        assert np.abs(read(tmp_path / "out" / f"{name}.png") - expected).max() <= 1
        assert np.abs(model.translate(given)[0] - expected).max() > 1  # they make a difference
    (tmp_path / "ids" / "b.png").unlink()
    found = quiet(runs / "looks", tmp_path / "in", tmp_path / "out", instances=tmp_path / "ids")
    assert found["skipped"][0] == {"name": "b.png", "reason": "no instance map of that name"}
    one = quiet(runs / "looks", tmp_path / "in/b.png", tmp_path / "one", instances=tmp_path / "ids/a.png")
    assert one["images"] == 1


def test_a_notice_says_once_that_classes_serve_as_objects(runs, tmp_path):
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png", noise(8, 8) % 3)
    said = []
    translate(runs / "looks", tmp_path / "in", tmp_path / "looks", warn=said.append)
    assert len(said) == 1
    assert "each class counts as one instance" in said[0]
    translate(runs / "faces", tmp_path / "in", tmp_path / "out", warn=said.append)
    assert len(said) == 1


def test_looks_are_chosen_or_shown_side_by_side(runs, tmp_path):
    model = zerosum.load(runs / "looks")
    assert int(model.network.known.max()) > 1
    numbers = noise(50, 50) % len(portraits.LABELS)
    numbers[10:40, 10:40] = int(model.network.known.argmax())
    save(tmp_path / "in" / "a.png", numbers)
    save(tmp_path / "in" / "b.png", numbers[:20])
    quiet(runs / "looks", tmp_path / "in", tmp_path / "out", style=3)
    made = read(tmp_path / "out" / "a.png")
    assert np.array_equal(made, model.translate(numbers[None, ..., None], style=3)[0])
    found = quiet(runs / "looks", tmp_path / "in", tmp_path / "sheet.png", styles=4)
    assert found["images"] == 2
    sheet = read(tmp_path / "sheet.png")[HEAD:]
    assert sheet.shape == (2 * 52 + 2, 5 * 52 + 2, 3)  # 50 pixels and a gutter of 2
    assert np.array_equal(sheet[2:52, 2:52], pictures.coloured(numbers, len(portraits.LABELS)))
    assert np.array_equal(sheet[2:52, 2 + 4 * 52 : 52 + 4 * 52], made)
    assert (sheet[54 : 54 + 15, 2:52] == 255).all()  # b, of 20 rows, in the middle of a square
    assert not (sheet[54 + 15 : 54 + 35, 2:52] == 255).all()


def test_looks_where_none_were_learnt(runs, tmp_path, command):
    source = save(tmp_path / "in.png", noise(8, 8) % 3)
    for arguments, words in (
        (["faces", "--style", 0], "features.enabled=true"),
        (["faces", "--styles", 3], "has no styles"),
        (["looks", "--style", 0, "--styles", 3], "Give either --style"),
        (["looks", "--styles", 0], "styles is 0; it must be at least 1"),
        (["looks", "--styles", MOST_CELLS], f"can have {MOST_CELLS}"),
        (["looks", "--styles", 2, "--out", tmp_path / "sheet"], "no picture format"),
        (["looks", "--tile", 0], "tile is 0"),
        (["faces", "--instances", source], "without instance maps"),
    ):
        name, *options = arguments
        code, out, err = command(runs / name, source, *options, "--device", "cpu")
        assert (code, out) == (2, ""), err
        assert words in err
    assert list(tree(tmp_path)) == ["in.png"]


def test_inputs_are_never_written_over(runs, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    source = save(folder / "a.png", noise(8, 8) % 3)
    save(tmp_path / "ids" / "a.png", noise(8, 8) % 3)
    (tmp_path / "link").symlink_to(folder)
    before = tree(tmp_path)
    for given, out, words in (
        (folder, folder, "into the input folder"),
        (folder, folder / "made", "into the input folder"),
        (folder, tmp_path / "link", "into the input folder"),
        (source, source, "over an input"),
        (source, tmp_path / "link" / "a.png", "over an input"),
        (source, folder, "is the folder of"),
        (folder, tmp_path / "a.png", "is a file name"),
        (folder, tmp_path / "a.gif", "is a file name"),
        (source, tmp_path / "a.gif", "no picture format"),
    ):
        with pytest.raises(ConfigError, match=words):
            quiet(runs / "faces", given, out)
    with pytest.raises(ConfigError, match="into the input folder"):
        quiet(runs / "looks", folder, tmp_path / "ids", instances=tmp_path / "ids")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        quiet(runs / "faces", folder, tmp_path / "file")
    (tmp_path / "file").unlink()
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="into the input folder"):
        quiet(runs / "faces", ".")
    assert tree(tmp_path) == before
    quiet(runs / "faces", source, folder / "b.png")  # beside it, by a name of its own
    assert sorted(set(tree(tmp_path)) - set(before)) == ["in/b.png"]


def test_the_folder_above_the_inputs_may_take_what_lies_beside_them(runs, tmp_path):
    save(tmp_path / "a" / "x.png", noise(8, 8))
    quiet(runs / "faces", tmp_path / "a", tmp_path)
    assert sorted(tree(tmp_path)) == ["a/x.png", "x.png"]
    save(tmp_path / "a" / "a" / "x.png", noise(8, 8))
    with pytest.raises(ConfigError, match="into the input folder"):  # a/a/x.png would become a/x.png
        quiet(runs / "faces", tmp_path / "a", tmp_path)


def test_defaults_lie_beside_and_not_in_the_run(runs, tmp_path, monkeypatch, command):
    before = tree(runs / "looks")
    source = save(tmp_path / "in" / "a.png", noise(8, 8) % 3)
    monkeypatch.chdir(tmp_path)
    assert command(runs / "looks", source)[0] == 0
    assert command(runs / "looks", "in", "--styles", 2)[0] == 0
    assert sorted(tree(tmp_path)) == ["in/a.png", "looks-translated.png", "looks-translated/a.png"]
    assert tree(runs / "looks") == before


def test_large_pictures_go_through_in_squares(runs, tmp_path):
    save(tmp_path / "in.png", noise(40, 90))
    quiet(runs / "faces", tmp_path / "in.png", tmp_path / "out", tile=32)
    model = zerosum.load(runs / "faces")
    tiled = read(tmp_path / "out" / "in.png")
    assert np.array_equal(tiled, model.translate(read(tmp_path / "in.png")[None, ..., None], tile=32)[0])


def test_neighbours_of_one_size_go_through_together_but_not_without_end(runs, tmp_path, monkeypatch):
    for place, height in enumerate([8, 8, 8, 9, 8]):
        save(tmp_path / "in" / f"{place}.png", noise(height, 8))
    seen, plain = [], Translator.translate

    def spied(self, inputs, **options):
        seen.append(inputs.shape)
        return plain(self, inputs, **options)

    monkeypatch.setattr(Translator, "translate", spied)
    monkeypatch.setattr("zerosum.inference.translating.MOST_AT_ONCE", 2 * 8 * 8)
    quiet(runs / "faces", tmp_path / "in", tmp_path / "out")
    assert seen == [(2, 8, 8, 1), (1, 8, 8, 1), (1, 9, 8, 1), (1, 8, 8, 1)]
    assert len(tree(tmp_path / "out")) == 5


def test_progress_counts_what_is_done(runs, tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", noise(8 + i, 8))
    (tmp_path / "in" / "3.png").touch()
    told = []
    quiet(runs / "faces", tmp_path / "in", tmp_path / "out", progress=lambda *what: told.append(what))
    assert told[-1] == ("translating", 4, 4)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_memory_that_runs_out_names_the_picture_and_the_remedy(runs, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    save(tmp_path / "in.png", noise(8, 9))
    monkeypatch.setattr("zerosum.models.translator.translate_bands", full)
    with pytest.raises(ZerosumError, match=r"Not enough memory for in.png, 8x9 pixels: .*--tile 512"):
        quiet(runs / "faces", tmp_path / "in.png", tmp_path / "out")


def test_runs_that_translate_nothing(tmp_path, pictures_file, command):
    networks = {"generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}
    zerosum.train("gan", pictures_file, out=tmp_path / "gan", images=16, batch=16, size="8", **networks)
    source = save(tmp_path / "in.png", noise(8, 8))
    code, out, err = command(tmp_path / "gan", source, "--out", tmp_path / "out", "--device", "cpu")
    assert (code, out) == (2, "")
    assert "not a translator; give a run of pix2pix, pix2pixhd, segmenter, srgan or caae." in err
    assert command(tmp_path / "nothing", source)[0] == 2


def test_noise_is_a_function_of_the_seed(tmp_path):
    noisy = {**SMALL, "size": "32", "generator": {"width": 4, "depth": 5, "noise": True}, "optimizer": {"lr": 0.05}}
    zerosum.train("pix2pix", PAIRS, out=tmp_path / "run", images=40, ema_half_life=0, **noisy)
    save(tmp_path / "in" / "a.png", noise(32, 32))
    save(tmp_path / "in" / "b.png", noise(32, 32))
    for seed, name in ((0, "first"), (0, "again"), (1, "other")):
        quiet(tmp_path / "run", tmp_path / "in", tmp_path / name, seed=seed)
    assert tree(tmp_path / "first") == tree(tmp_path / "again")
    assert tree(tmp_path / "first")["a.png"] == tree(tmp_path / "first")["b.png"] != tree(tmp_path / "other")["a.png"]


# What changes an attribute


@pytest.fixture(scope="module")
def ages(tmp_path_factory):
    """A run that changes the age of portraits, 8 pixels a side."""
    root = tmp_path_factory.mktemp("ages")
    small = {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}}
    zerosum.train("caae", "builtin:portraits:60", out=root / "run", images=16, **small, **TINY | {"size": "8"})
    return root / "run"


AGES = ["0-10", "11-15", "16-20", "21-30", "31-40", "41-50", "51-60", "61-70", "71+"]


def at_age(run, source, age):
    """What Python makes of a picture of the run's own size."""
    return zerosum.load(run).translate(read(source)[None], asked={"age": age})[0]


def cells(path, across, side=48, every=6):
    """The pictures of a sheet of 8 pixels a side, six times enlarged, row by row."""
    pixels = np.asarray(read(path))[2 + HEAD :, 2:]
    rows, cols = (length // (side + 2) for length in pixels.shape[:2])
    assert cols == across
    step = side + 2
    return [[pixels[r * step :, c * step :][:side:every, :side:every] for c in range(cols)] for r in range(rows)]


@pytest.mark.parametrize(
    "words", [["--age", "60"], ["--age=60"], ["--AGE", "51-60"], ["--age", "55.5"], ["--set", "age=60"]]
)
@pytest.mark.parametrize("first", [False, True], ids=["behind", "in front"])
def test_one_value_by_the_name_of_the_attribute(ages, tmp_path, command, words, first):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    places = [ages, source]
    arguments = [*words, *places] if first else [*places, *words]
    code, out, err = command(*arguments, "--out", tmp_path / "older.png", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out == f"1 picture in {tmp_path / 'older.png'}, from {ages} after 16 images.\n"
    assert np.array_equal(read(tmp_path / "older.png"), at_age(ages, source, "51-60"))


def test_an_option_between_the_run_and_the_picture(ages, tmp_path, command):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    code, _, _ = command(ages, "--age", "60", source, "--out", tmp_path / "older.png", "--device", "cpu")
    assert code == 0
    assert np.array_equal(read(tmp_path / "older.png"), at_age(ages, source, "60"))


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("all", AGES),
        ("20,60", ["16-20", "51-60"]),
        ("20", ["16-20"]),
        ("20,20", ["16-20"] * 2),
        (" 5 , 71+ ", ["0-10", "71+"]),
    ],
)
def test_several_values_make_a_sheet(ages, tmp_path, command, value, values):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    out_file = tmp_path / "sheet.png"
    code, out, _ = command(ages, source, "--ages", value, "--out", out_file, "--device", "cpu", "--json")
    found = json.loads(out)
    assert (code, found["images"], found["out"]) == (0, 1, str(out_file))
    assert [wishes["age"] for wishes in found["asked"]] == (
        AGES if value == "all" else value.replace(" ", "").split(",")
    )
    (row,) = cells(out_file, 1 + len(values))
    assert np.array_equal(row[0], read(source))
    for shown, age in zip(row[1:], values, strict=True):
        assert np.array_equal(shown, at_age(ages, source, age))


def test_a_sheet_says_what_its_columns_are(ages, tmp_path, command):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    _, out, _ = command(ages, source, "--ages", "20,60", "--out", tmp_path / "sheet.png", "--device", "cpu")
    assert out.endswith(" Each row shows the input, then 20, 60.\n")


def test_a_folder_makes_a_row_for_each(ages, tmp_path):
    for seed, name in enumerate(["a.png", "b.png", "c/d.png"]):
        save(tmp_path / "in" / name, noise(8, 8, 3, seed=seed))
    found = quiet(ages, tmp_path / "in", tmp_path / "sheet.png", asked={"age": ["5", "60"]})
    assert found["images"] == 3
    assert found["asked"] == [{"age": "5"}, {"age": "60"}]
    rows = cells(tmp_path / "sheet.png", 3)
    for row, name in zip(rows, ["a.png", "b.png", "c/d.png"], strict=True):
        assert np.array_equal(row[0], read(tmp_path / "in" / name))
        expected = at_age(ages, tmp_path / "in" / name, "60")
        assert np.abs(row[2].astype(int) - expected).max() <= 1  # alone or beside others
    found = quiet(ages, tmp_path / "in", tmp_path / "out", asked={"age": "60"})
    assert (found["images"], found["asked"]) == (3, [{"age": "60"}])
    assert sorted(tree(tmp_path / "out")) == ["a.png", "b.png", "c/d.png"]


def test_a_sheet_is_called_after_the_run(ages, tmp_path, monkeypatch):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    monkeypatch.chdir(tmp_path)
    assert quiet(ages, source, asked={"ages": "all"})["out"] == "run-translated.png"
    assert quiet(ages, source, asked={"age": "60"})["out"] == "run-translated"


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (30, 10)])
def test_a_picture_of_another_size_is_cropped_and_resized_as_in_training(ages, tmp_path, size):
    source = save(tmp_path / "in" / "face.png", noise(*size, 3))
    quiet(ages, source, tmp_path / "made.png", asked={"age": "60"})
    prepared = open_dataset(tmp_path / "in", (8, 8), cache=tmp_path / "cache").images
    expected = zerosum.load(ages).translate(np.asarray(prepared), asked={"age": "60"})[0]
    assert np.array_equal(read(tmp_path / "made.png"), expected)


def test_a_gray_picture_becomes_what_the_run_takes(ages, tmp_path):
    source = save(tmp_path / "face.png", noise(8, 8))
    quiet(ages, source, tmp_path / "made.png", asked={"age": "60"})
    expected = zerosum.load(ages).translate(np.repeat(read(source)[None, ..., None], 3, axis=3), asked={"age": "60"})
    assert np.array_equal(read(tmp_path / "made.png"), expected[0])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            [],
            "Condition 'age' is missing: give --age with one of 0-10, 11-15, 16-20, 21-30, 31-40, 41-50, 51-60, "
            "61-70, 71+, or ",
        ),
        (["--hat", "red"], "hat cannot be requested: the conditions of this run are age."),
        (["--hats", "all"], "hats cannot be requested: the conditions of this run are age."),
        (["--age", "old"], "61-70, 71+, or a number, which falls into one of them."),
        (["--ages", "20,,60"], "age= cannot be requested"),
        (["--age", "60", "more.png"], "'more.png' is one argument too many: give one picture or one folder."),
        (["-x", "--age", "60"], "'-x' is one argument too many"),
        (["--age"], "--age is not an option of translate, or lacks a value"),
        (["--age", "--seed", "1"], "--age is not an option of translate, or lacks a value"),
        (["--age", "20", "--age", "60"], "--age is given twice; give it once."),
        (["--age", "20", "--ages", "60"], "age is given twice"),
        (["--age", "20", "--set", "age=60"], "age is given twice, with --set and as an option; keep one."),
        (["--set", "age"], "'age' is not a condition; write NAME=VALUE"),
        (["--ages", "20,60", "--age", "60"], "age is given twice"),
    ],
)
def test_what_cannot_be_asked_for(ages, tmp_path, command, words, text):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    code, out, err = command(ages, source, "--out", tmp_path / "out.png", *words)
    assert (code, out) == (2, "")
    assert text in err
    assert not (tmp_path / "out.png").exists()


def test_a_picture_must_be_named_beside_the_option(ages, command):
    code, _, err = command(ages, "--age", "60")
    assert (code, err) == (2, "zerosum: Name a run, and a picture or a folder of pictures.\n")


def test_no_value_is_no_sheet(ages, tmp_path):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    with pytest.raises(ConfigError, match="Condition 'age' is missing"):
        quiet(ages, source, tmp_path / "sheet.png", asked={"age": []})


def test_a_run_that_changes_nothing_is_asked_for_nothing(runs, tmp_path, command):
    source = save(tmp_path / "in.png", noise(16, 16))
    code, _, err = command(runs / "faces", source, "--out", tmp_path / "out", "--age", "60")
    assert code == 2
    assert "--age is not an option of translate, and pix2pix edits no attribute" in err
    assert "asked" not in quiet(runs / "faces", source, tmp_path / "out")


def test_a_sheet_of_values_has_room_for_so_many(ages, tmp_path):
    for place in range(MOST_CELLS // 10 + 1):
        save(tmp_path / "in" / f"{place}.png", noise(8, 8, 3, seed=place))
    with pytest.raises(ConfigError, match=r"41 inputs with 9 values each need 410\. Give fewer"):
        quiet(ages, tmp_path / "in", tmp_path / "sheet.png", asked={"ages": "all"})


# Attributes by awkward names


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    """Runs that change an attribute called like an option, and one with a space in its name."""
    root = tmp_path_factory.mktemp("awkward")
    small = {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}}
    for place in range(12):
        save(root / "parts" / f"{place}.png", noise(8, 8, 3, seed=place))
    rows = [f"{place}.png,{('plain', 'rich')[place % 2]},{place}" for place in range(12)]
    (root / "parts" / "tags.csv").write_text("\n".join(["file,style,wear level", *rows]))
    for name, bins in (("style", "plain,rich"), ("wear level", "3,7")):
        settings = {"attribute": name, "bins": bins, **small, **TINY, "size": "8"}
        zerosum.train("caae", root / "parts", out=root / name.partition(" ")[0], images=8, **settings)
    return root


def test_every_option_is_known_as_one():
    options = typer.main.get_command(app).commands["translate"]
    names = {name for option in options.params for name in (*option.opts, *option.secondary_opts)}
    assert {"help"} | {name[2:] for name in names if name.startswith("--")} == OPTIONS


def test_an_attribute_called_like_an_option(awkward, tmp_path, command):
    source = save(tmp_path / "part.png", noise(8, 8, 3))
    places = [awkward / "style", source, "--device", "cpu"]
    assert command(*places, "--out", tmp_path / "rich.png", "--set", "style=rich")[0] == 0
    model = zerosum.load(awkward / "style")
    assert np.array_equal(read(tmp_path / "rich.png"), model.translate(read(source)[None], asked={"style": "rich"})[0])
    code, out, _ = command(*places, "--out", tmp_path / "all.png", "--set", "style=all")
    assert (code, out.endswith(" Each row shows the input, then plain, rich.\n")) == (0, True)
    assert len(cells(tmp_path / "all.png", 3)) == 1
    code, _, err = command(*places, "--out", tmp_path / "none.png")
    assert code == 2
    assert (
        "Condition 'style' is missing: give --set style=VALUE (since --style has another meaning) with one of plain"
        in err
    )
    assert "or --set style=all for a sheet." in err
    code, _, err = command(*places, "--styles", "2")
    assert (code, "set the attribute with --set style=VALUE" in err) == (2, True)


@pytest.mark.parametrize("option", ["--wear-level", "--wear_level", "--Wear-Level", "--wear level"])
def test_a_space_in_a_name(awkward, tmp_path, command, option):
    source = save(tmp_path / "part.png", noise(8, 8, 3))
    places = [awkward / "wear", source, "--device", "cpu", "--out", tmp_path / "out.png"]
    assert command(*places, option, "2")[0] == 0
    made = zerosum.load(awkward / "wear").translate(read(source)[None], asked={"wear level": 2})[0]
    assert np.array_equal(read(tmp_path / "out.png"), made)
    assert command(*places, f"{option}s", "2,5")[0] == 0
    assert len(cells(tmp_path / "out.png", 3)) == 1
    assert "--wear-level with one of 0-3, 4-7, 8+, or --wear-levels all" in command(*places)[2]


@pytest.mark.parametrize("value", [60, 60.0, np.int64(60), np.float32(60), np.array(["60"])[0]])
def test_numbers_in_python(ages, tmp_path, value):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    found = quiet(ages, source, tmp_path / "older.png", asked={"age": value})
    assert found["asked"] == [{"age": "60"}]
    assert np.array_equal(read(tmp_path / "older.png"), at_age(ages, source, "60"))
    assert np.array_equal(at_age(ages, source, value), at_age(ages, source, "60"))


@pytest.mark.parametrize("values", [[20, 60], (20.0, "60"), np.array([20, 60]), range(20, 61, 40)])
def test_several_numbers_in_python(ages, tmp_path, values):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    for name in ("age", "ages"):
        found = quiet(ages, source, tmp_path / "sheet.png", asked={name: values})
        assert found["asked"] == [{"age": "20"}, {"age": "60"}]


@pytest.mark.parametrize("value", [None, {"a": 1}, [[60]], float("nan")])
def test_what_is_no_value_in_python(ages, tmp_path, value):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    with pytest.raises(ConfigError, match="cannot be requested"):
        quiet(ages, source, tmp_path / "out.png", asked={"age": value})
    with pytest.raises(ConfigError, match="cannot be requested"):
        zerosum.load(ages).translate(read(source)[None], asked={"age": value})


def test_columns_of_a_sheet_stand_under_their_names(ages, tmp_path, monkeypatch):
    written = []

    def text(self, place, text, *rest):
        written.append((place[0], text))

    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", text)
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    quiet(ages, source, tmp_path / "sheet.png", asked={"ages": "20,60"})
    assert written == [(2, "input"), (52, "20"), (102, "60")]
    written.clear()
    quiet(ages, source, tmp_path / "sheet.png", asked={"age": ["0-10", "00000060.000000000"]})
    assert [name[-1] for _, name in written] == ["t", "0", "…"]


def test_names_above_a_sheet_are_seen(ages, tmp_path):
    source = save(tmp_path / "face.png", noise(8, 8, 3))
    quiet(ages, source, tmp_path / "sheet.png", asked={"ages": "20,60"})
    pixels = np.asarray(read(tmp_path / "sheet.png"))
    for column in range(3):
        assert pixels[:HEAD, 2 + 50 * column :][:, :48].min() < 128
