"""`zerosum prepare --preview`: a picture of what augmentation does, and plain errors."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.made_images import folder_of, some_pngs
from zerosum.cli.main import main
from zerosum.data.open import open_dataset
from zerosum.data.settings import PackSettings
from zerosum.nn.augment.settings import AugmentSettings
from zerosum.training.preview import HEADING, augmentation_picture, summary

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process: exit code, stdout, stderr."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["zerosum", "prepare", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures of 24 x 20."""
    return folder_of(tmp_path_factory.mktemp("source") / "photos", some_pngs(9))


def test_the_picture_shows_originals_and_seven_draws(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "new/look.png"
    code, text, _ = run(photos, "--preview", "augment=flip", "--out", out)
    assert (code, text.count("\n")) == (0, 1)
    assert text.startswith(f"{out} shows")
    assert list(tmp_path.rglob("*")) == [out.parent, out]
    picture = np.asarray(Image.open(out))
    step_y, step_x = 4 * 24 + 2, 4 * 20 + 2  # four times as large, which passes 96 pixels
    assert picture.shape == (6 * step_y + 2 + HEADING, 8 * step_x + 2, 3)
    tiles = [
        [picture[HEADING + 2 + y * step_y :][:96:4, 2 + x * step_x :][:, :80:4] for x in range(8)] for y in range(6)
    ]
    stored = open_dataset(photos).images[[0, 2, 3, 5, 6, 8]]
    mirrored = 0
    for (first, *rest), image in zip(tiles, stored, strict=True):
        np.testing.assert_array_equal(first, image)
        for tile in rest:
            same, other = (tile == image).all(), (tile == image[:, ::-1]).all()
            assert same != other
            mirrored += int(other)
    assert 10 < mirrored < 32  # of 42
    assert (picture[:HEADING] < 128).any()  # words


def test_json_says_what_was_shown(run: Run, photos: Path, tmp_path: Path) -> None:
    words = ("--preview", "augment.rotation=20", "--preview", "augment.fill=reflect")
    code, text, _ = run(photos, *words, "--out", tmp_path / "look.webp", "--json", "--size", "16")
    assert code == 0
    assert json.loads(text) == {
        "out": str(tmp_path / "look.webp"),
        "settings": AugmentSettings(rotation=20, fill="reflect").model_dump(),
    }


def test_the_name_is_preview_png_if_none_is_given(run: Run, photos: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(photos, "--preview", "augment=lecture")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]


def test_errors_are_sentences(run: Run, photos: Path, tmp_path: Path) -> None:
    look = ("--out", tmp_path / "look.png")
    for words, sentence in (
        ((photos,), "Missing argument OUT: name the folder to create after SOURCE, or try --preview first."),
        ((photos, "--out", tmp_path / "a"), "is for --preview"),
        ((photos, tmp_path / "a", "--preview", "augment=flip"), f"drop {tmp_path / 'a'}"),
        ((photos, "--strict", "--preview", "augment=flip"), "drop --strict"),
        ((photos, "--preview", "lecture", *look), "augment.KEY=VALUE, not 'lecture'"),
        ((photos, "--preview", "augment=lectur", *look), "(did you mean lecture?)"),
        ((photos, "--preview", "augment.rotaton=3", *look), "(did you mean augment.rotation?)"),
        ((photos, "--preview", "rotation=3", *look), "(did you mean augment.rotation?)"),
        ((photos, "--preview", "augment.shift=2", *look), "augment.shift=2: input should be less than or equal to 1"),
        ((photos, "--preview", "augment.hue=0.1", "--channels", "gray", *look), "augment.hue needs RGB images"),
        ((photos, "--preview", "augment=flip", "--out", tmp_path / "look.txt"), "has no picture format"),
        (("builtin:ring:50", "--preview", "augment=flip", *look), "contains vectors"),
    ):
        code, text, error = run(*words)
        assert (code, text) == (2, ""), error
        assert sentence in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("channels", "alpha", "dtype"),
    [(1, False, "uint8"), (4, True, "uint8"), (3, False, "uint16"), (6, False, "float32")],
)
def test_images_of_every_kind_can_be_shown(tmp_path: Path, channels: int, alpha: bool, dtype: str) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (3, 130, 9, channels))
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    np.save(tmp_path / "set.npy", (values * top).astype(dtype))
    data = open_dataset(tmp_path / "set.npy", settings=PackSettings(channels="rgba" if alpha else "auto"))
    assert data.info.alpha == alpha
    picture = augmentation_picture(data, AugmentSettings.model_validate("lecture"))
    assert (picture.mode, picture.size) == ("RGB", (8 * 11 + 2, 3 * 132 + 2 + HEADING))


def test_the_summary_names_the_preset_or_the_values() -> None:
    assert summary(AugmentSettings.model_validate("lecture")) == "augment=lecture"
    assert summary(AugmentSettings()) == "augment=none"
    assert summary(AugmentSettings(hue=0.1, fill="reflect")) == "hue=0.1 fill=reflect"
