"""Samples as files keep the depth, the channels and the bits that the model gave them."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.inference.explore.models import HAIR, info_of, model_of
from zerosum.data.dataset import DatasetInfo
from zerosum.inference.sampling import write_folder, write_grid, write_image, write_sweep
from zerosum.utils.errors import ConfigError


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("channels", "alpha", "png"),
    [
        *[(1, False, True), (2, True, True), (3, False, True), (4, True, True)],
        *[(2, False, False), (4, False, False), (5, False, False), (5, True, False)],
    ],
)
def test_an_image_is_written_without_loss(tmp_path, dtype, channels, alpha, png):
    image = (np.random.default_rng(0).random((7, 9, channels)) * 60_000).astype(dtype)
    path = write_image(tmp_path / "seed", image, alpha)
    assert path.suffix == (".png" if png and dtype != "float32" else ".tif")
    read = imagecodecs.png_decode(path.read_bytes()) if path.suffix == ".png" else tifffile.imread(path)
    assert read.dtype == dtype
    assert np.array_equal(read.reshape(image.shape), image)
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            assert (tifffile.EXTRASAMPLE.UNASSALPHA in file.pages[0].extrasamples) == alpha


class Gray:
    """A model whose image of seed s is s everywhere."""

    def __init__(self, shape=(4, 4, 1), dtype="uint8"):
        limits = None if len(shape) == 1 else (0.0, 255.0)
        self.info = DatasetInfo("gray", 1, shape, dtype, limits, False, (), "")

    def sample(self, seeds, truncation, attributes):
        return np.stack([np.full(self.info.shape, seed, self.info.dtype) for seed in seeds])


def test_a_folder_has_one_file_a_seed(tmp_path):
    write_folder(Gray(), range(70), tmp_path / "a" / "b")
    files = sorted((tmp_path / "a" / "b").iterdir())
    assert [file.name for file in files] == [f"seed{seed:08d}.png" for seed in range(70)]
    assert imagecodecs.png_decode(files[69].read_bytes()).max() == 69


def test_conditions_are_validated_before_the_folder_is_created(tmp_path):
    class Refuses(Gray):
        def sample(self, seeds, truncation, attributes):
            raise ConfigError("There is no hair.")

    with pytest.raises(ConfigError, match="no hair"):
        write_folder(Refuses(), range(3), tmp_path / "a", conditions={"hair": "green"})
    assert not (tmp_path / "a").exists()


def test_vectors_go_to_one_file(tmp_path):
    write_folder(Gray((3,), "float32"), [5, 7], tmp_path)
    assert np.load(tmp_path / "samples.npy").tolist() == [[5, 5, 5], [7, 7, 7]]
    with pytest.raises(ConfigError, match="vectors"):
        write_grid(Gray((3,), "float32"), [5, 7], (1, 2), tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp", "a.tiff"])
def test_a_grid_in_each_format(tmp_path, name):
    write_grid(Gray(), range(6), (2, 3), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_grid_too_large_for_its_format_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="does not fit WEBP"):
        write_grid(Gray((200, 400, 1)), range(50), (1, 50), tmp_path / "a.webp")
    assert not list(Path(tmp_path).iterdir())


def test_a_sweep_keeps_what_is_transparent(tmp_path):
    model = model_of("dcgan", info_of((16, 16, 4), alpha=True, conditions=(HAIR,)))
    for name, mode in (("sweep.jpg", "RGB"), ("sweep.png", "RGBA")):
        assert write_sweep(model, [3], "hair", tmp_path / name) == 3
        with Image.open(tmp_path / name) as sheet:
            assert sheet.mode == mode
            cells = np.asarray(sheet)
    green = model.sample(seeds=[3], attributes={"hair": "green"})[0]
    assert np.array_equal(cells[8 : 8 + 128, 8 + 136 : 8 + 136 + 128][4::8, 4::8], green)
