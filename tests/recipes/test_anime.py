"""How `anime` starts: small first steps of its generator, residual blocks that begin as the identity, older runs."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.step import training_step
from zerosum.models.loading import parse_run_config
from zerosum.nn.networks.srresnet import Generator, Residual
from zerosum.recipes.anime import AnimeSettings
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.remedies import remedies

torch.set_num_threads(1)

INFO = DatasetInfo("test", 8, (8, 8, 3), "uint8", (0, 255), False, (), "")


def configured(**values: object) -> AnimeSettings:
    settings = get_recipe("anime").configure(values)
    assert isinstance(settings, AnimeSettings)
    return settings


def rates(settings: AnimeSettings, images: int = 0) -> list[float]:
    """Learning rates of discriminator and generator."""
    system = get_recipe("anime").build(settings, INFO)
    return [player.schedule(images)[0]["lr"] for player in system.players if player.schedule is not None]


def before_tanh(network: nn.Module, latents: Tensor) -> Tensor:
    """What the generator's tanh is given."""
    seen: list[Tensor] = []
    (tanh,) = (layer for layer in network.modules() if isinstance(layer, nn.Tanh))
    hook = tanh.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0].detach().clone()))
    network(latents)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_first_step_moves_what_tanh_is_given_by_less_than_it_varies(seed: int) -> None:
    """Adam's first step moves each weight by the learning rate, all of them downhill, and an output pixel is a sum over
    64 x 81 inputs: in units of its standard deviation 1.3 to 1.8 at a rate of 5e-4, and 0.3 to 0.8 at 2e-4."""
    torch.manual_seed(seed)
    system = get_recipe("anime").build(configured(discriminator={"width": 8}), INFO)
    batch, latents = {"image": torch.rand(8, 3, 8, 8), "images_seen": 0, "step": 0}, torch.randn(8, 128)
    start = before_tanh(system.network, latents)
    training_step(
        system.players, lambda player: dict(batch), lambda player, i: nullcontext(), joint_forward=system.joint_forward
    )
    moved = before_tanh(system.network, latents) - start
    assert 0.1 < moved.abs().mean() / start.std() < 1


def test_the_default_has_two_rates_and_identities_and_the_paper_neither() -> None:
    default, paper = configured(), configured(preset="paper")
    assert rates(default) == rates(default, 10**8) == pytest.approx([5e-4, 2e-4])
    assert rates(paper) == [2e-4, 2e-4]
    assert (default.generator.zero_gain, paper.generator.zero_gain) == (True, False)


def test_residual_blocks_begin_as_the_identity_and_learn_from_the_first_step() -> None:
    torch.manual_seed(0)
    for zero_gain in (True, False):
        network = get_recipe("anime").build(configured(generator={"zero_gain": zero_gain, "blocks": 2}), INFO).network
        assert isinstance(network, Generator)
        blocks = [layer for layer in network.modules() if isinstance(layer, Residual)]
        x = torch.randn(4, 64, 8, 8)
        assert [torch.equal(block(x), x) for block in blocks] == 2 * [zero_gain]
        after = network.blocks[-2]  # a rectifier follows, which would pass no gradient at a gain of 0
        assert isinstance(after, nn.BatchNorm2d)
        assert (after.weight == 1).all()
        network(torch.randn(4, 128)).square().mean().backward()
        assert all(next(block.layers[4].parameters()).grad.any() for block in blocks)  # type: ignore[union-attr]


@pytest.mark.parametrize("lacks_rate", [True, False])
def test_a_run_of_an_older_version_goes_on_as_it_began(lacks_rate: bool) -> None:
    """Its stored settings know nothing of the gain, and those of the oldest have one rate alone."""
    stored = configured(optimizer={"lr": 5e-4, "discriminator_lr": None}).model_dump(mode="json")
    del stored["generator"]["zero_gain"]
    if lacks_rate:
        del stored["optimizer"]["discriminator_lr"]
    _, settings, _ = parse_run_config(
        {"recipe": "anime", "settings": stored, "data": INFO.to_json()}, Path("config.yaml")
    )
    assert isinstance(settings, AnimeSettings)
    assert rates(settings) == [5e-4, 5e-4]
    assert not settings.generator.zero_gain


def test_advice_on_the_discriminators_rate_starts_from_its_own() -> None:
    anime = get_recipe("anime")
    found = remedies(anime, configured())
    assert found["slower-discriminator"] == "optimizer.discriminator_lr=0.00025"
    assert found["slower"] == "optimizer.lr=0.0001 optimizer.discriminator_lr=0.00025"
    far = remedies(anime, configured(optimizer={"lr": 0.05, "discriminator_lr": 0.1}))
    assert far["slower-discriminator"] == "optimizer.discriminator_lr=0.0005"
