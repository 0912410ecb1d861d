"""The features of a discriminator are the input of its last layer."""

from pathlib import Path

import pytest
import torch
from torch import nn

from zerosum.models.discriminator_features import DiscriminatorFeatures, discriminator_features
from zerosum.models.loading import load_generator
from zerosum.nn.networks import dcgan, mlp, pokegan, r3gan
from zerosum.runs.checkpoint import load_state
from zerosum.runs.folder import RunFolder

KEPT = Path(__file__).parents[1] / "older" / "version_0_1"
SHAPE = (3, 16, 16)
NETWORKS = {
    "dcgan": lambda: dcgan.Discriminator(SHAPE, width=4),
    "spectral": lambda: dcgan.Discriminator(SHAPE, width=4, norm="spectral"),
    "r3gan": lambda: r3gan.Discriminator(SHAPE, [16, 16, 16], 1, 16),
    "pokegan": lambda: pokegan.Critic(SHAPE, width=4),
    "mlp": lambda: mlp.Discriminator(SHAPE, [8, 4]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_makes_the_logits_of_them(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    network(torch.randn(16, *SHAPE))
    features, images = DiscriminatorFeatures(network), torch.randn(6, *SHAPE, requires_grad=True)
    found = features(images)
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    torch.testing.assert_close(last(found).squeeze(1), network(images))
    assert torch.autograd.grad(found.sum(), images)[0].abs().sum() > 0
    torch.testing.assert_close(features(images[2:3]), found[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gan", "pokegan"])
def test_its_weights_are_those_of_the_checkpoint(name):
    model, folder = load_generator(KEPT / name, "cpu"), RunFolder(KEPT / name)
    features = discriminator_features(model, folder.checkpoints)
    (checkpoint,) = folder.checkpoints.glob("[0-9]*")
    stored = load_state(checkpoint)["players"]["discriminator"]["module"]
    torch.testing.assert_close(dict(features.discriminator.state_dict()), stored)
    assert not features.discriminator.training


@pytest.mark.parametrize("name", ["progressive", "anime"])
def test_there_are_none_where_an_image_alone_has_none(name):
    """The minibatch standard deviation compares images; a conditional discriminator needs the condition."""
    assert discriminator_features(load_generator(KEPT / name, "cpu"), RunFolder(KEPT / name).checkpoints) is None


def test_there_are_none_without_a_checkpoint():
    model = load_generator(KEPT / "gan-exported", "cpu")
    assert discriminator_features(model, KEPT / "gan-exported" / "checkpoints") is None
