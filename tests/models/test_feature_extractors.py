"""Features of real images are kept: seen once, by this extractor, of these rows, of this set."""

import numpy as np
import pytest
import torch

from zerosum.data.open import open_dataset
from zerosum.models.feature_extractors import real_features


class Eye:
    """An extractor that counts the images that it sees; features are their channels' means."""

    name, hash, resize, dimension = "eye", "0123", "none", 3

    def __init__(self):
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        return images.mean(dim=(2, 3))


@pytest.fixture
def eye(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    return Eye()


def test_real_images_are_seen_once(eye):
    data, rows = open_dataset("builtin:portraits:40", (16, 16)), np.arange(0, 40, 2)
    first = real_features(eye, data, rows, "cpu")
    assert torch.equal(real_features(eye, data, rows, "cpu"), first)
    assert torch.equal(real_features(eye, open_dataset("builtin:portraits:40", (16, 16)), rows, "cpu"), first)
    assert (eye.seen, first.shape) == (20, (20, 3))


def test_other_rows_images_or_eyes_are_not_taken_for_them(eye):
    data, rows = open_dataset("builtin:portraits:40", (16, 16)), np.arange(20)
    real_features(eye, data, rows, "cpu")
    other = real_features(eye, data, rows[::-1], "cpu")
    assert torch.equal(other.flip(0), real_features(eye, data, rows, "cpu"))
    real_features(eye, open_dataset("builtin:portraits:41", (16, 16)), rows, "cpu")
    real_features(eye, open_dataset("builtin:portraits:40", (24, 24)), rows, "cpu")
    eye.hash = "4567"
    real_features(eye, data, rows, "cpu")
    assert eye.seen == 5 * 20


def test_a_damaged_file_is_made_anew(eye, tmp_path):
    data, rows = open_dataset("builtin:portraits:40", (16, 16)), np.arange(20)
    first = real_features(eye, data, rows, "cpu")
    (file,) = (tmp_path / "cache" / "features").iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert torch.equal(real_features(eye, data, rows, "cpu"), first)
    assert torch.equal(real_features(eye, data, rows, "cpu"), first)
    assert eye.seen == 40
