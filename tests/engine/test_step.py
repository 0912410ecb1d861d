"""The step: opponents stay as they are, flags are restored, turns follow Algorithm 1."""

from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from torch import nn

from zerosum.engine.players import Player, System
from zerosum.engine.step import frozen, training_step


def duel(steps=1, lr=0.1):
    """A generator that shifts, a discriminator that scores, and the order in which they moved."""
    torch.manual_seed(0)
    generator, discriminator = nn.Linear(2, 3), nn.Linear(3, 1)
    order = []

    def judge(batch):
        order.append("discriminator")
        fake = generator(batch["latent"]).detach()
        real_loss = nn.functional.softplus(-discriminator(batch["image"])).mean()
        fake_loss = nn.functional.softplus(discriminator(fake)).mean()
        return {"real": real_loss, "fake": fake_loss}, {"score/real": real_loss}

    def fool(batch):
        order.append("generator")
        return {"adversarial": nn.functional.softplus(-discriminator(generator(batch["latent"]))).mean()}, {}

    players = [
        Player("discriminator", discriminator, torch.optim.SGD(discriminator.parameters(), lr), judge, steps=steps),
        Player("generator", generator, torch.optim.SGD(generator.parameters(), lr), fool),
    ]
    return players, order


def batch_for(player):
    return {"image": torch.ones(4, 3), "latent": torch.ones(4, 2), "images_seen": 0}


def step(players, **options):
    return training_step(players, batch_for, lambda player, i: nullcontext(), **options)


@pytest.mark.parametrize("k", [1, 3])
def test_the_discriminator_takes_k_steps_and_then_the_generator_one(k):
    players, order = duel(steps=k)
    step(players)
    assert order == ["discriminator"] * k + ["generator"]


def test_each_step_of_a_turn_has_its_own_context():
    """What the engine seeds: the same number twice would give a turn's steps the same noise."""
    players, _ = duel(steps=3)
    turns = []

    def turn(player, i):
        turns.append((player.name, i))
        return nullcontext()

    training_step(players, batch_for, turn)
    assert turns == [("discriminator", 0), ("discriminator", 1), ("discriminator", 2), ("generator", 0)]


def test_a_shared_batch_carries_what_was_made_to_the_other_player():
    """pix2pix: one fake for both turns. The generator's gradient is that of a fake of its own, and none of it comes
    from the discriminator's turn; one batch is drawn."""
    plain, _ = duel()
    shared, _ = duel()
    drawn = []

    def draw(player):
        drawn.append(player.name)
        return batch_for(player)

    def forward(batch):
        return batch | {"fake": shared[1].module(batch["latent"])}

    def fool(batch):
        return {"adversarial": -shared[0].module(batch["fake"]).mean()}, {}

    shared[1].losses = fool
    plain[1].losses = lambda batch: (
        {"adversarial": -plain[0].module(plain[1].module(batch["latent"])).mean()},
        {},
    )
    step(plain)
    training_step(shared, draw, lambda player, i: nullcontext(), joint_forward=forward)
    assert drawn == ["discriminator"]
    for one, other in zip(plain, shared, strict=True):
        torch.testing.assert_close(one.module.weight, other.module.weight)


def test_a_system_takes_its_layout_to_every_network():
    players, _ = duel()
    for player in players:
        player.module = torch.nn.Conv2d(3, 4, 3)
    network = torch.nn.Conv2d(3, 4, 3)
    System(network, lambda: players).to(torch.device("cpu"), "channels_last")
    for module in (network, *(player.module for player in players)):
        assert module.weight.is_contiguous(memory_format=torch.channels_last)
        assert not module.weight.is_contiguous()


def test_who_shares_a_batch_steps_once_and_in_turn():
    with pytest.raises(ValueError, match="one step each"):
        step(duel(steps=2)[0][::-1], joint_forward=dict)
    with pytest.raises(ValueError, match="in turn"):
        step(duel()[0], joint_forward=dict, simultaneous=True)


def test_a_player_descends_on_the_sum_of_its_terms():
    players, _ = duel(lr=1.0)
    same, _ = duel(lr=1.0)
    terms, _ = same[0].losses(batch_for(same[0]))
    (terms["real"] + terms["fake"]).backward()
    expected = same[0].module.weight - same[0].module.weight.grad
    step(players[:1])
    torch.testing.assert_close(players[0].module.weight, expected)


@pytest.mark.parametrize("simultaneous", [False, True])
def test_what_follows_a_step_sees_the_weights_after_it(simultaneous):
    """As WGAN's clipping must: once a step, behind the optimiser."""
    players, _ = duel(steps=1 if simultaneous else 2, lr=1.0)
    weight = players[0].module.weight
    seen = [weight.clone()]
    players[0].after_step = lambda: seen.append(weight.clone())
    step(players, simultaneous=simultaneous)
    assert len(seen) == (2 if simultaneous else 3)
    assert not any(torch.equal(a, b) for a, b in pairwise(seen))
    assert torch.equal(seen[-1], weight)


def test_a_turn_leaves_the_opponent_bit_identical_and_without_gradient():
    players, _ = duel()
    discriminator, generator = players
    before = [p.clone() for p in generator.module.parameters()]
    during = []
    fool = generator.losses

    def spy(batch):
        during.append([p.requires_grad for p in discriminator.module.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(before, generator.module.parameters(), strict=True))
        judged = [p.clone() for p in discriminator.module.parameters()]
        result = fool(batch)
        assert all(torch.equal(a, b) for a, b in zip(judged, discriminator.module.parameters(), strict=True))
        return result

    generator.losses = spy
    step(players)
    assert during == [[False, False]]
    assert all(p.grad is not None for player in players for p in player.module.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, generator.module.parameters(), strict=True))


def test_frozen_restores_the_flags_it_found_even_after_an_error():
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    network[0].requires_grad_(False)  # as transfer learning leaves it
    found = [p.requires_grad for p in network.parameters()]

    def interrupted():
        with frozen([network]):
            assert not any(p.requires_grad for p in network.parameters())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert [p.requires_grad for p in network.parameters()] == found == [False, False, True, True]


def test_simultaneous_takes_both_gradients_before_either_step():
    alternate, _ = duel(lr=1.0)
    together, _ = duel(lr=1.0)
    untouched, _ = duel(lr=1.0)
    step(alternate)
    step(together, simultaneous=True)
    # The discriminator's gradient is the same in both; the generator's differs, since only in turns has D moved.
    assert torch.equal(alternate[0].module.weight, together[0].module.weight)
    assert not torch.equal(alternate[1].module.weight, together[1].module.weight)
    terms, _ = untouched[1].losses(batch_for(untouched[1]))
    terms["adversarial"].backward()
    expected = untouched[1].module.weight - untouched[1].module.weight.grad
    torch.testing.assert_close(together[1].module.weight, expected)


def test_gradients_of_one_step_do_not_go_into_the_next():
    players, _ = duel(lr=0.0)
    norms = [step(players, gradient_norms=True)["grad/generator"] for _ in range(2)]
    torch.testing.assert_close(norms[0], norms[1])


def test_simultaneous_is_one_step_each_whatever_k_is():
    players, order = duel(steps=3)
    step(players, simultaneous=True)
    assert order == ["discriminator", "generator"]


def test_the_report_names_terms_scores_and_gradient_norms():
    players, _ = duel()
    report = step(players, gradient_norms=True)
    assert set(report) == {
        "loss/discriminator/real",
        "loss/discriminator/fake",
        "loss/generator/adversarial",
        "score/real",
        "grad/discriminator",
        "grad/generator",
    }
    norm = torch.cat([p.grad.flatten() for p in players[1].module.parameters()]).norm()
    torch.testing.assert_close(report["grad/generator"], norm)


def test_a_schedule_sets_each_group_of_parameters():
    """The second group stands still while the first learns."""
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    module = nn.ModuleList([first, second])
    optimizer = torch.optim.SGD([{"params": first.parameters()}, {"params": second.parameters()}], lr=1.0)
    player = Player(
        "classifier",
        module,
        optimizer,
        lambda batch: ({"loss": first(batch["image"]).sum() + second(batch["image"]).sum()}, {}),
        schedule=lambda images: [{"lr": 0.5}, {"lr": 0.0}],
    )
    before = [layer.weight.detach().clone() for layer in (first, second)]
    training_step([player], lambda player: {"image": torch.ones(1, 2), "images_seen": 0}, lambda p, i: nullcontext())
    torch.testing.assert_close(first.weight, before[0] - 0.5)
    assert torch.equal(second.weight, before[1])


def test_a_schedule_sets_the_optimizer_before_the_step():
    players, _ = duel(lr=1.0)
    asked = []
    players[0].schedule = lambda images: asked.append(images) or [{"lr": 0.0}]
    before = players[0].module.weight.clone()
    training_step(players, lambda player: batch_for(player) | {"images_seen": 700}, lambda player, i: nullcontext())
    assert torch.equal(players[0].module.weight, before)
    assert asked == [700]
