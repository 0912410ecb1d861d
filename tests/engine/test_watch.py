"""The watch: silent over games that go as games go, and one finding an episode over those that do not."""

import json
import math
from collections.abc import Callable, Iterable

import pytest

from zerosum.engine.watch import PATIENCE, WARM_UP, Finding, Watch

Values = dict[str, float]


def kinds(findings: Iterable[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def play(watch: Watch, values: Callable[[int], Values], start: int = 0, stop: int = 100_000) -> list[Finding]:
    """Everything the watch says when it sees a line each thousand images."""
    return [finding for images in range(start, stop, 1_000) for finding in watch.see(images, values(images))]


def scores(real: float, fake: float) -> Values:
    return {"score/real": real, "score/fake": fake}


def healthy(images: int) -> Values:
    """A discriminator that swings between a clear lead and doubt; samples that become varied."""
    lead = 0.42 * abs(math.sin(images / 7_000)) + 0.05
    varied = 1 - 0.9 * math.exp(-images / 4_000)
    return scores(0.5 + lead, 0.5 - lead) | {"health/diversity": varied, "time/data_wait": 0.01, "grad/generator": 1.0}


def test_nothing_is_said_of_a_healthy_game() -> None:
    assert play(Watch(), healthy) == []


def test_equilibrium_after_a_lead_is_not_blindness() -> None:
    assert play(Watch(), lambda images: scores(0.8, 0.2) if images < 10_000 else scores(0.5, 0.5)) == []


def test_a_discriminator_that_wins_for_long_is_named_once_with_its_numbers() -> None:
    watch = Watch()
    found = play(watch, lambda _: scores(0.99, 0.01) | {"loss/generator/adversarial": 4.6})
    assert kinds(found) == ["discriminator-winning"]
    assert "0.990" in found[0].text
    assert "0.010" in found[0].text
    assert "learning rate" in found[0].advice


def test_a_minimax_loss_that_has_saturated_gets_the_advice_of_the_paper() -> None:
    saturated = lambda _: scores(0.999, 0.001) | {"loss/generator/adversarial": math.log(0.999)}  # noqa: E731
    (found,) = play(Watch({"gradient": "loss=non-saturating"}), saturated)
    assert "loss=non-saturating" in found.advice
    (found,) = play(Watch({"r1": "penalty.r1=1"}), saturated)  # a small weight, of another loss
    assert "minimax" not in found.advice


def test_a_loss_that_still_has_a_gradient_is_not_called_saturated() -> None:
    """ln(1 - D(G(z))) of -0.2 has a fifth of its slope left; so has a least-squares loss of that size."""
    alive = lambda _: scores(0.999, 0.001) | {"loss/generator/adversarial": -0.2}  # noqa: E731
    (found,) = play(Watch({"gradient": "loss=non-saturating"}), alive)
    assert "loss=non-saturating" not in found.advice


def test_a_short_win_is_part_of_the_game() -> None:
    game = lambda images: scores(0.99, 0.01) if images % 20_000 < 6_000 else scores(0.7, 0.3)  # noqa: E731
    assert play(Watch(), game) == []


def test_a_second_episode_is_told_again() -> None:
    game = lambda images: scores(0.99, 0.01) if images // 40_000 % 2 == 0 else scores(0.7, 0.3)  # noqa: E731
    assert kinds(play(Watch(), game, stop=120_000)) == ["discriminator-winning"] * 2


def test_a_wobble_just_below_the_line_does_not_start_a_new_episode() -> None:
    game = lambda images: scores(0.99, 0.01) if images // 20_000 % 2 == 0 else scores(0.95, 0.05)  # noqa: E731
    assert kinds(play(Watch(), game, stop=200_000)) == ["discriminator-winning"]


def test_a_discriminator_that_never_learns_is_named() -> None:
    (found,) = play(Watch(), lambda _: scores(0.5, 0.49))
    assert found.kind == "discriminator-blind"
    assert "0.50" in found.text


def test_a_collapsed_generator_is_named_although_diversity_comes_seldom() -> None:
    watch, found = Watch(), []
    for images in range(0, 100_000, 10_000):
        found += watch.see(images, {"health/diversity": 0.9 if images < 40_000 else 0.08})
    assert kinds(found) == ["generator-collapsed"]
    assert "8%" in found[0].text


def test_a_generator_that_copies_is_named_once_although_copying_comes_seldom() -> None:
    """Each sample sheet measures it; it is told when it has lasted for PATIENCE, in the second look at least."""
    watch, told = Watch(), []
    for images in range(0, 100_000, 5_000):
        told += [
            (images, finding) for finding in watch.see(images, {"health/copying": 0.5 if images < 30_000 else 0.97})
        ]
    ((images, found),) = told
    assert found.kind == "generator-copies"
    assert 30_000 + PATIENCE <= images <= 30_000 + 2 * PATIENCE
    assert "0.9" in found.text
    assert "samples/nearest.png" in found.advice


def test_two_looks_at_copies_are_needed() -> None:
    watch = Watch()
    assert watch.see(20_000, {"health/copying": 1.0}) == []
    assert kinds(watch.see(20_000 + PATIENCE, {"health/copying": 1.0})) == ["generator-copies"]


@pytest.mark.parametrize(("between", "times"), [(0.85, 1), (0.7, 2)])
def test_copying_is_gone_below_eight_tenths(between: float, times: int) -> None:
    """From 0.8 to 0.9 an episode neither begins nor ends."""
    game = lambda images: {"health/copying": between if 40_000 <= images < 80_000 else 0.99}  # noqa: E731
    assert kinds(play(Watch(), game, stop=120_000)) == ["generator-copies"] * times
    assert play(Watch(), lambda _: {"health/copying": 0.85}) == []


def test_slow_data_is_named() -> None:
    found = play(Watch(), lambda _: {"time/data_wait": 0.6})
    assert kinds(found) == ["data-slow"]
    assert "60%" in found[0].text


@pytest.mark.parametrize(
    "bad",
    [
        scores(0.995, 0.005),
        scores(0.5, 0.5),
        {"health/diversity": 0.01},
        {"time/data_wait": 0.9},
        {"health/copying": 1.0},
    ],
)
def test_the_first_thousands_of_images_pass_in_silence(bad: Values) -> None:
    assert play(Watch(), lambda _: bad, stop=WARM_UP + PATIENCE) == []
    assert play(Watch(), lambda _: bad, stop=WARM_UP + PATIENCE + 1_000) != []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_told_at_once_and_by_name(value: float) -> None:
    watch = Watch()
    (found,) = watch.see(64, {"loss/generator/adversarial": value, "score/real": 0.5})
    assert found.kind == "not-finite"
    assert f"loss/generator/adversarial is {value}" in found.text
    assert watch.see(128, {"loss/generator/adversarial": value}) == []
    assert watch.see(192, {"loss/generator/adversarial": 1.0}) == []
    assert kinds(watch.see(256, {"loss/generator/adversarial": value})) == ["not-finite"]


def test_a_critic_has_no_probabilities_to_judge() -> None:
    assert play(Watch(), lambda _: {"critic/real": 40.0, "critic/fake": -40.0}) == []


@pytest.mark.parametrize("cut", [3_000, 9_000, 14_000, 16_000, 30_000])
def test_a_resumed_watch_says_what_an_uninterrupted_one_says(cut: int) -> None:
    def game(images: int) -> Values:
        return scores(0.99, 0.01) | {"health/diversity": 0.1, "time/data_wait": 0.2 + images / 400_000}

    whole, first, second = Watch(), Watch(), Watch()
    expected = play(whole, game)
    told = play(first, game, stop=cut)
    second.restore(json.loads(json.dumps(first.state())))
    assert told + play(second, game, start=cut) == expected
    assert second.state() == whole.state()


def test_a_resumed_watch_remembers_that_the_discriminator_once_led() -> None:
    first, second = Watch(), Watch()
    play(first, lambda images: scores(0.8, 0.2), stop=30_000)
    second.restore(first.state())
    assert play(second, lambda images: scores(0.5, 0.5), start=30_000) == []


def test_a_state_is_a_copy() -> None:
    watch = Watch()
    watch.see(1_000, scores(0.9, 0.1))
    state = watch.state()
    kept = json.dumps(state)
    play(watch, lambda _: scores(0.99, 0.01), start=2_000)
    assert json.dumps(state) == kept
