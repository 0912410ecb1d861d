"""What the watch reads in every game: recorded sequences of healthy and sick runs, and each sign by itself."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from zerosum.engine.watch import COLLAPSED, Finding, Watch

RECORDED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "recorded_runs.json").read_text("utf-8"))
SICK = [name for name, run in RECORDED.items() if run["finds"]]
HEALTHY = [name for name, run in RECORDED.items() if not run["finds"]]


def kinds(findings: Iterable[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def replay(run: dict[str, Any], watch: Watch) -> list[tuple[int, str]]:
    """What the watch says of a recorded run, and after how many images."""
    watch.length, found = run["length"], []
    for images, values in run["lines"]:
        found += [(images, kind) for kind in kinds(watch.see(images, values))]
    for images, score in run["scores"]:
        found += [
            (images, kind) for kind in kinds(watch.see_score(images, "fd", score, run["floor"], run["reference"]))
        ]
    return found + [(run["lines"][-1][0], kind) for kind in kinds(watch.conclude(run["lines"][-1][0]))]


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_healthy_runs(name: str) -> None:
    assert replay(RECORDED[name], Watch()) == []


@pytest.mark.parametrize("name", SICK)
def test_sick_runs_of_ten_thousand_images_are_named(name: str) -> None:
    run = RECORDED[name]
    assert set(run["finds"]) <= {kind for _, kind in replay(run, Watch())}


def test_exploding_logits_are_named_soon_after_half_of_a_short_run() -> None:
    """They came to rest in its second quarter, and went up again."""
    found = replay(RECORDED["r3gan at 50 times its learning rate"], Watch())
    assert min(images for images, kind in found if kind == "logits-exploding") <= 6_000


def short(length: int = 10_000) -> Watch:
    watch = Watch({"slower-discriminator": "optimizer.discriminator_lr=0.0001", "constrained": "penalty.r1=1"})
    watch.length = length
    return watch


def play(watch: Watch, values: dict[str, float], start: int = 0, stop: int = 10_000) -> list[Finding]:
    return [finding for images in range(start, stop, 500) for finding in watch.see(images, values)]


def critic(separation: float, scale: float = 1.0, gap: float = 1.0) -> dict[str, float]:
    return {
        "critic/real": gap / 2,
        "critic/fake": -gap / 2,
        "logits/separation": separation,
        "logits/scale": scale,
    }


def test_a_critic_whose_scores_do_not_overlap_wins() -> None:
    (found,) = play(short(), critic(12.0))
    assert found.kind == "discriminator-winning"
    assert "12.0" in found.text
    assert "`optimizer.discriminator_lr=0.0001`" in found.advice
    assert play(short(), critic(4.0)) == []


@pytest.mark.parametrize(("real", "fake"), [(0.99, 0.5), (0.5, 0.01)])
def test_a_discriminator_that_is_sure_of_one_side_alone_has_not_won(real: float, fake: float) -> None:
    assert play(short(), {"score/real": real, "score/fake": fake}) == []


def test_probabilities_are_judged_by_themselves_and_not_by_the_separation_too() -> None:
    """Logits of 1 and -1 with little spread are far apart, and leave D(x) at 0.73."""
    probabilities = {"score/real": 0.73, "score/fake": 0.27, "logits/separation": 12.0, "logits/scale": 1.0}
    assert play(short(), probabilities) == []


@pytest.mark.parametrize(("separation", "said"), [(2.0, []), (0.1, ["discriminator-blind"])])
def test_probabilities_near_a_half_that_lie_apart_are_not_blind(separation: float, said: list[str]) -> None:
    """Small logits that tell real from generated, as of `gan` with Adam at 2e-4 after 3,500 images."""
    assert kinds(play(short(), {"score/real": 0.56, "score/fake": 0.51, "logits/separation": separation})) == said


def test_a_critic_that_never_separates_is_blind() -> None:
    assert kinds(play(short(), critic(0.02))) == ["discriminator-blind"]
    watch = short()
    assert play(watch, critic(2.0), stop=2_000) + play(watch, critic(0.0), start=2_000) == []


def test_logits_of_nine_hundred_are_named() -> None:
    (found,) = play(short(), critic(2.0, scale=900))
    assert found.kind == "logits-exploding"
    assert "900" in found.text
    assert "`penalty.r1=1`" in found.advice


def test_logits_of_twenty_are_not() -> None:
    assert play(short(), critic(2.0, scale=20)) == []


def test_a_wasserstein_critic_may_have_any_offset_but_no_gap_beyond_what_a_slope_of_one_allows() -> None:
    for gap, expected in ((100.0, []), (1_800.0, ["logits-exploding"])):
        watch = Watch(critic_limit=110.8)
        watch.length = 10_000
        assert kinds(play(watch, critic(2.0, scale=5_000, gap=gap))) == expected


def test_a_gradient_that_dies_is_named_whatever_its_unit() -> None:
    for unit in (1e-6, 1.0, 1e6):
        watch = short()
        assert play(watch, {"grad/generator": 3 * unit}, stop=4_000) == []
        assert kinds(play(watch, {"grad/generator": 1e-4 * unit}, start=4_000)) == ["gradient-vanished"]


def test_samples_more_varied_than_the_data_are_noise() -> None:
    assert kinds(play(short(), {"health/diversity": 1.5})) == ["samples-scattered"]
    assert play(short(), {"health/diversity": 1.05}) == []


def test_a_young_generator_is_no_collapse_in_a_short_run_but_one_that_falls_is() -> None:
    watch = short()
    assert play(watch, {"health/diversity": 0.25}) == []
    watch = short()
    assert play(watch, {"health/diversity": 0.8}, stop=4_000) == []
    assert kinds(play(watch, {"health/diversity": 0.1}, start=4_000)) == ["generator-collapsed"]


def test_a_gradient_that_shrinks_tenfold_has_not_vanished() -> None:
    watch = short()
    assert play(watch, {"grad/generator": 3.0}, stop=4_000) + play(watch, {"grad/generator": 0.3}, start=4_000) == []


@pytest.mark.parametrize("name", ["health/diversity", "health/diversity_within"])
def test_low_diversity_that_keeps_rising_is_no_collapse(name: str) -> None:
    """Below the line for longer than PATIENCE, in a long run."""
    rising, level = Watch(), Watch()
    for images in range(0, 27_500, 2_500):
        assert rising.see(images, {name: 0.01 * 1.35 ** (images / 2_500)}) == []
    assert [kind for images in range(0, 27_500, 2_500) for kind in kinds(level.see(images, {name: 0.1}))]


def test_a_single_class_that_keeps_rising_is_no_collapse() -> None:
    rising = Watch()
    for images in range(0, 27_500, 2_500):
        assert rising.see(images, within(0.7, cat=0.01 * 1.35 ** (images / 2_500), dog=1.0)) == []


def test_scatter_that_keeps_falling_is_a_start_and_no_noise() -> None:
    watch = Watch()
    for images in range(0, 27_500, 2_500):
        assert watch.see(images, {"health/diversity": 20 * 0.77 ** (images / 2_500)}) == []


def test_the_variety_of_an_untrained_generator_is_none_to_lose() -> None:
    watch = short()
    assert (
        play(watch, {"health/diversity": 0.24}, stop=2_000) + play(watch, {"health/diversity": 0.1}, start=2_000) == []
    )


def within(mean: float, **classes: float) -> dict[str, float]:
    name = "health/diversity_within"
    return {"health/diversity": 0.95, name: mean} | {f"{name}/{kind}": value for kind, value in classes.items()}


def test_one_image_for_each_class_is_a_collapse_although_all_classes_together_are_varied() -> None:
    assert kinds(play(short(), within(0.05, cat=0.04, dog=0.06))) == ["classes-collapsed"]
    assert play(short(), within(0.9, cat=0.8, dog=1.0)) == []


def test_a_single_class_that_collapses_is_named() -> None:
    (found,) = play(short(), within(0.7, cat=0.1, dog=1.3))
    assert found.kind == "class-collapsed"
    assert "cat" in found.text
    assert "10%" in found.text


def test_a_young_conditional_generator_is_no_collapse_within_classes_in_a_short_run() -> None:
    """Neither within classes nor over all of them is it varied yet."""
    assert play(short(), within(0.2) | {"health/diversity": 0.35}) == []


def test_classes_that_collapse_all_at_once_are_one_finding() -> None:
    assert kinds(play(short(), within(0.1, cat=0.1, dog=0.1), stop=10_500)) == ["classes-collapsed"]


EPISODES = {
    "discriminator-winning": (critic(12.0), critic(6.0), critic(2.0)),
    "logits-exploding": (critic(2.0, scale=80), critic(2.0, scale=30), critic(2.0, scale=5)),
    "gradient-vanished": tuple({"grad/generator": norm} for norm in (1e-4, 5e-3, 1.0)),
    "generator-collapsed": tuple({"health/diversity": value} for value in (0.1, 0.4, 0.9)),
    "samples-scattered": tuple({"health/diversity": value} for value in (1.5, 1.15, 0.9)),
    "classes-collapsed": tuple(within(value) for value in (0.1, 0.4, 0.9)),
    "class-collapsed": tuple(within(0.7, cat=value, dog=1.0) for value in (0.1, 0.4, 0.9)),
}


@pytest.mark.parametrize("kind", EPISODES)
def test_an_episode_ends_only_where_the_sign_is_clearly_gone(kind: str) -> None:
    sick, between, healthy = EPISODES[kind]
    for middle, times in ((between, 1), (healthy, 2)):
        watch, found = Watch(), []
        for place, values in enumerate((healthy, sick, middle, sick)):
            found += play(watch, values, start=40_000 * place, stop=40_000 * (place + 1))
        assert kinds(found) == [kind] * times
        assert play(watch, between, start=160_000, stop=200_000) == []


@pytest.mark.parametrize(("middle", "times"), [(7.0, 1), (5.0, 2)])
def test_scores_that_recover_halfway_are_no_new_episode(middle: float, times: int) -> None:
    watch = short()
    scores = (4.0, 9.0, 9.5, middle, 9.0, 9.5)
    found = [one for n, value in enumerate(scores) for one in watch.see_score(2_000 * (n + 1), "fd", value, 0.5, 20.0)]
    assert kinds(found) == ["score-worsening"] * times


def test_another_score_begins_anew() -> None:
    watch = short()
    for n, (name, value) in enumerate((("fd", 1.0), ("other", 30.0), ("other", 31.0), ("other", float("nan")))):
        assert watch.see_score(2_000 * (n + 1), name, value, 0.1, 100.0) == []


def test_a_run_that_ends_far_from_the_data_before_its_discriminator_has_learnt_is_told_to_go_on() -> None:
    """And not, beside the advice of a faster discriminator, to train slower."""
    watch = Watch({"slower": "optimizer.lr=0.05", "faster-discriminator": "optimizer.discriminator_lr=0.2"})
    watch.length = 10_000
    assert kinds(play(watch, {"score/real": 0.5, "score/fake": 0.5})) == ["discriminator-blind"]
    for images in (2_500, 10_000):
        watch.see_score(images, "fd", 22.0, 0.5, 18.0)
    (found,) = watch.conclude(10_000)
    assert "`zerosum resume RUN --images 100000`" in found.advice
    assert "`optimizer.discriminator_lr=0.2`" in found.advice
    assert "optimizer.lr=0.05" not in found.advice


def test_a_score_that_doubles_twice_over_is_worse_and_one_near_its_floor_is_not() -> None:
    watch = short()
    found = [
        watch.see_score(n, "eval/fd2k@random", v, 0.5, 20.0) for n, v in ((2_000, 4.0), (4_000, 9.0), (6_000, 9.5))
    ]
    assert [kinds(one) for one in found] == [[], [], ["score-worsening"]]
    assert "fd2k@random is 9.5, after 4" in found[-1][0].text
    near = short()
    assert not any(near.see_score(n, "fd", v, 0.5, 20.0) for n, v in ((2_000, 0.5), (4_000, 1.4), (6_000, 1.45)))


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([(10_000, 25.0)], "If they look better"),
        ([(5_000, 60.0), (10_000, 25.0)], "still improving"),
        ([(5_000, 9.0), (10_000, 8.9)], "stopped improving"),
        ([(5_000, 9.0), (10_000, 7.0)], ""),
        ([(2_000, 60.0), (5_000, 9.0), (10_000, 8.9)], "stopped improving"),
        ([(5_000, 9.0), (9_000, 7.1), (10_000, 7.0)], ""),
        ([(5_000, 1.4), (10_000, 1.4)], ""),
        ([(10_000, 15.0)], ""),
    ],
)
def test_the_last_look_says_when_samples_are_far_from_the_data(scores: list[tuple[int, float]], said: str) -> None:
    """Against a floor of 0.5, and 18 for one unvarying sample."""
    watch = short()
    for images, value in scores:
        assert watch.see_score(images, "eval/fd2k@random", value, 0.5, 18.0) == []
    found = watch.conclude(10_000)
    assert kinds(found) == (["samples-far"] if said else [])
    if said:
        assert f"fd2k@random is {scores[-1][1]:.3g}; other real images get 0.5" in found[0].text
        assert said in found[0].advice


def test_a_run_without_a_score_at_its_end_is_not_judged_by_an_old_one() -> None:
    watch = short()
    watch.see_score(5_000, "fd", 80.0, 0.5, 18.0)
    assert watch.conclude(10_000) == []


@pytest.mark.parametrize("cut", [1_000, 3_000, 5_500])
def test_a_resumed_watch_says_what_an_uninterrupted_one_says(cut: int) -> None:
    game = critic(12.0, scale=80.0) | within(0.1, cat=0.1, dog=0.1)
    whole, first, second = short(), short(), short()
    expected = play(whole, game)
    said = play(first, game, stop=cut)
    second.restore(json.loads(json.dumps(first.state())))
    assert said + play(second, game, start=cut) == expected
    assert second.state() == whole.state()
    assert len(expected) >= 3


def test_scores_near_a_high_floor_are_not_far() -> None:
    """Few images have a high floor: other real images get no better score."""
    watch = short()
    for images in (5_000, 10_000):
        watch.see_score(images, "fd", 14.0, 5.0, 18.0)
    assert watch.conclude(10_000) == []


def test_a_checkpoint_without_a_score_does_not_hide_what_follows() -> None:
    scores = (float("nan"), 4.0, 9.0, 9.5)
    watch = short()
    found = [one for n, value in enumerate(scores) for one in watch.see_score(2_000 * (n + 1), "fd", value, 0.5, 20.0)]
    assert kinds(found) == ["score-worsening"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (critic(2.0), critic(0.0), []),
        ({"grad/generator": 3.0}, {"grad/generator": 1e-4}, ["gradient-vanished"]),
        ({"health/diversity": 0.8}, {"health/diversity": 0.05}, ["generator-collapsed"]),
    ],
)
def test_a_resumed_watch_remembers_the_best_days(
    before: dict[str, float], after: dict[str, float], said: list[str]
) -> None:
    first, second = short(), Watch()
    assert play(first, before, stop=4_000) == []
    second.restore(json.loads(json.dumps(first.state())))
    assert kinds(play(second, after, start=4_000)) == said


def test_a_resumed_watch_remembers_scores() -> None:
    first, second = short(), Watch()
    first.see_score(2_000, "fd", 4.0, 0.5, 20.0)
    second.restore(json.loads(json.dumps(first.state())))
    assert second.scored_until == 2_000
    found = [second.see_score(images, "fd", 9.0, 0.5, 20.0) for images in (4_000, 6_000)]
    assert [kinds(one) for one in found] == [[], ["score-worsening"]]


def test_a_state_of_an_older_version_is_taken_up() -> None:
    watch = Watch()
    watch.restore({"images": {}, "average": {}, "signs": {}, "widest_gap": 0.0})
    assert watch.scored_until == -1
    assert COLLAPSED == 0.3


def test_a_short_run_whose_samples_are_alike_is_told_in_the_end() -> None:
    """9,600 images are less than the patience with a generator that has never varied: it may only be young."""
    watch = Watch({"slower-generator": "optimizer.lr=1e-4"})
    watch.length = 9_600
    assert play(watch, {"health/diversity": 0.08, "score/real": 0.6, "score/fake": 0.4}, stop=9_600) == []
    (found,) = watch.conclude(9_600)
    assert found.kind == "samples-alike"
    assert "diversity is 8%" in found.text
    assert "`zerosum resume RUN --images 19200`" in found.advice
    assert "`optimizer.lr=1e-4`" in found.advice
    varied = Watch()
    assert play(varied, {"health/diversity": 0.2}, stop=9_600) == []
    assert varied.conclude(9_600) == []
