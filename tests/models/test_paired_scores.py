"""Scores of a translator on pairs."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.made_sets import packed
from zerosum.data.tensors import to_float
from zerosum.engine.players import System, TranslatorSpec
from zerosum.engine.randomness import seeded
from zerosum.metrics.scores import as_stored
from zerosum.models.paired_scores import paired_scores


class Noise(nn.Module):
    """Images of noise, whatever the input."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return torch.rand(inputs.shape[0], 3, *inputs.shape[2:]) * 2 - 1


def test_a_network_with_noise_is_scored_with_that_of_seed_0():
    draw = np.random.default_rng(0)
    data = packed(
        *(draw.integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)[:1]), inputs=np.zeros((4, 16, 16, 1), np.uint8)
    )
    system = System(Noise(), list, translator=TranslatorSpec(lambda network, batch: network(batch["input"])))
    found = paired_scores(system, system.network, data, np.arange(4)).by_image["l1"]
    with seeded(torch.device("cpu"), "noise", 0):
        (fakes,) = as_stored([torch.rand(4, 3, 16, 16) * 2 - 1], data.info)
    known = (fakes - to_float(data.images, data.info)).abs().mean(dim=(1, 2, 3))
    assert found.tolist() == pytest.approx(known.tolist(), rel=1e-6)
