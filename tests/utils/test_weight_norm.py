"""Normalised weights folded into plain ones, and the names of their singular vectors."""

import copy

import torch
from torch import nn

from zerosum.nn.networks.sngan import Generator
from zerosum.utils.weight_norm import fold_weights, is_singular_vector

torch.set_num_threads(1)


def test_folded_weights_give_the_same_outputs_and_are_all_there_is() -> None:
    torch.manual_seed(0)
    network = Generator((3, 16, 16), 5, (8, 6, 4), spectral=True, attention=8)
    nn.init.ones_(network.attention.gain)
    latent = torch.randn(2, 5)
    network(latent)
    expected = network.eval()(latent)
    folded = fold_weights(copy.deepcopy(network))
    torch.testing.assert_close(folded(latent), expected, rtol=0, atol=1e-6)
    assert folded.state_dict().keys() == Generator((3, 16, 16), 5, (8, 6, 4)).state_dict().keys() | {
        "attention.gain",
        *(f"attention.{name}.weight" for name in ("query", "key", "value", "output")),
    }
    assert {type(layer) for layer in folded.modules()} >= {nn.Conv2d, nn.Linear}
    assert any("parametrizations" in name for name in network.state_dict())
    torch.testing.assert_close(network(latent), expected)  # the copy's classes are those of the network


def test_singular_vectors_are_told_by_their_names() -> None:
    network = Generator((3, 16, 16), 5, (8, 6, 4), spectral=True)
    vectors = {name for name in network.state_dict() if is_singular_vector(name)}
    assert vectors == {name for name, buffer in network.named_buffers() if buffer.ndim == 1 and "norm" not in name}
    assert len(vectors) == 2 * (2 + 2 * 3)
