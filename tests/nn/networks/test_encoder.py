"""The encoder takes images of any size, each by itself."""

import pytest
import torch

from zerosum.nn.networks.encoder import Encoder


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (28, 28), (48, 80), (37, 21), (64, 64), (100, 7), (1, 64)])
def test_it_takes_images_of_any_size(size):
    encoder = Encoder((2, *size), 5, width=4)
    assert encoder(torch.zeros(3, 2, *size)).shape == (3, 5)


def test_its_parameters_are_counted():
    encoder = Encoder((3, 64, 64), 100)
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    norms = 2 * (64 + 128 + 256 + 512)
    assert sum(p.numel() for p in encoder.parameters()) == kernels + norms + 512 * 16 * 100 + 100 == 3_576_804


def test_an_image_does_not_depend_on_others_of_the_batch():
    torch.manual_seed(0)
    encoder = Encoder((1, 16, 16), 3, width=4)
    encoder(torch.randn(32, 1, 16, 16))
    encoder.eval()
    images = torch.randn(5, 1, 16, 16)
    torch.testing.assert_close(encoder(images)[2:3], encoder(images[2:3]))
