"""Portraits: the same for every seed, different for every index, true to their traits and annotations."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from zerosum.data.synthetic.portraits import DISTRIBUTIONS, LABELS, PARTS, Traits, arrays, colours, draw, draw_traits
from zerosum.data.synthetic.portraits.traits import Bell, Choice, Uniform
from zerosum.utils.errors import ConfigError

MANY = 4000


@pytest.fixture(scope="module")
def crowd() -> list[Traits]:
    return [draw_traits(index) for index in range(MANY)]


def test_same_index_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib; from zerosum.data.synthetic.portraits import arrays;"
        "print(hashlib.sha256(arrays(5, 15)[0].tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(arrays(5, 15)[0].tobytes()).hexdigest()


def test_no_two_alike() -> None:
    images, _ = arrays(0, 2000, (32, 32))
    assert len({image.tobytes() for image in images}) == 2000


def test_another_seed_is_another_set() -> None:
    assert not np.array_equal(draw(0).image, draw(0, seed=1).image)


def test_bulk_is_one_by_one() -> None:
    images, attributes = arrays(7, 11, (24, 40), seed=3)
    assert images.shape == (4, 24, 40, 3)
    assert images.dtype == np.uint8
    for position in range(4):
        alone = draw(7 + position, (24, 40), seed=3)
        np.testing.assert_array_equal(images[position], alone.image)
        assert {name: column[position] for name, column in attributes.items()} == alone.attributes
    empty, none = arrays(3, 3)
    assert empty.shape == (0, 64, 64, 3)
    assert set(none) == set(attributes)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (48, 80), (100, 37), (256, 256)])
def test_any_size(size: tuple[int, int]) -> None:
    portrait = draw(1, size)
    assert portrait.image.shape == (*size, 3)
    assert portrait.outline.shape == portrait.labels.shape == portrait.instances.shape == size
    assert portrait.image.dtype == portrait.outline.dtype == portrait.labels.dtype == np.uint8
    assert portrait.instances.dtype == np.uint16


def test_one_picture_at_every_size() -> None:
    """Averaged down, a large picture is the small one, up to what anti-aliasing rounds."""
    for index in range(8):
        large = draw(index, (256, 256)).image.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        assert np.abs(large - draw(index, (64, 64)).image).mean() < 3


def test_attributes_are_plain_and_complete(crowd: list[Traits]) -> None:
    facts = crowd[0].attributes()
    assert json.loads(json.dumps(facts)) == facts
    assert set(DISTRIBUTIONS) == {field.name for field in dataclasses.fields(Traits)}
    assert {"hair", "eyes", "glasses", "smile", "smiling", "age", "skin", "beard", "hair_style"} <= set(facts)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_traits_follow_their_distributions(name: str, crowd: list[Traits]) -> None:
    """The largest gap between the shares seen and promised; beyond 1.95 / sqrt(n) once in a thousand sets."""
    kind = DISTRIBUTIONS[name]
    values = [getattr(traits, name) for traits in crowd]
    assert all(kind.allows(value) for value in values)
    if isinstance(kind, Choice):
        seen = np.cumsum([np.mean([value == known for value in values]) for known in kind.values])
        np.testing.assert_allclose(seen, kind.limits, atol=1.95 / MANY**0.5)
    elif not isinstance(kind, Bell):
        seen = np.quantile(values, [0.1, 0.5, 0.9])
        np.testing.assert_allclose((seen - kind.low) / (kind.high - kind.low), [0.1, 0.5, 0.9], atol=0.031)
    else:
        reach = (kind.high - kind.low) / 2
        deviations = (np.array(values) - (kind.low + kind.high) / 2) / reach
        np.testing.assert_allclose([deviations.mean(), deviations.std()], [0, 0.4], atol=0.02)


def test_choices_and_limits() -> None:
    for kind in DISTRIBUTIONS.values():
        assert not isinstance(kind, Choice) or kind.limits[-1] == pytest.approx(1)
    assert Bell(2, 4).at(0.5) == 3
    assert Bell(2, 4).at(1e-12) == 2
    assert Uniform(2, 4).at(0.25) == 2.5


def test_promised_truths(crowd: list[Traits]) -> None:
    """The figures that scores are held against; three standard errors of 4,000 draws are 0.024 at most."""
    assert np.mean([traits.glasses for traits in crowd]) == pytest.approx(0.25, abs=0.021)
    assert np.mean([traits.smile > 0 for traits in crowd]) == pytest.approx(0.5, abs=0.024)
    assert np.mean([traits.age for traits in crowd]) == pytest.approx(45, abs=1.1)
    assert np.mean([traits.hair == "grey" for traits in crowd]) == pytest.approx(30 / 80, abs=0.023)
    assert np.mean([traits.beard != "none" for traits in crowd]) == pytest.approx(0.28 * 67 / 80, abs=0.021)


def test_traits_are_independent(crowd: list[Traits]) -> None:
    columns = [[float(kind.values.index(getattr(t, name))) if isinstance(kind, Choice) else getattr(t, name)
                for t in crowd] for name, kind in DISTRIBUTIONS.items()]  # fmt: skip
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / MANY**0.5


def test_what_age_brings(crowd: list[Traits]) -> None:
    for traits in crowd:
        assert traits.grey == 0 or traits.age > 30
        assert traits.hair == ("grey" if traits.grey >= 0.5 else traits.natural_hair)
        assert traits.beard == "none" or traits.age >= 18
    young, old = (draw_traits(3, change={"age": age}) for age in (20, 85))
    assert (young.grey, old.grey) == (0, 1)
    assert dataclasses.replace(old, age=20) == young


def test_age_is_seen_all_the_way() -> None:
    """Every ten years change the face of everyone, and more years change it more."""
    plain = {"hair_style": "long", "facial_hair": "none", "natural_hair": "brown", "glasses": False}
    for index in range(5):
        faces = [draw(index, change=plain | {"age": age}).image.astype(float) for age in range(5, 86, 10)]
        steps = [np.abs(one - other).mean() for one, other in pairwise(faces)]
        assert min(steps) > 0.15
        assert np.abs(faces[0] - faces[-1]).mean() > max(steps)


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("hair", "teal", "no trait 'hair' to change; they have age"),
        ("natural_hair", "teal", "natural_hair of a portrait cannot be 'teal'; it is one of black, brown"),
        ("age", 120, "age of a portrait cannot be 120; it is a number from 5 to 85"),
        ("age", "old", "cannot be 'old'"),
        ("age", True, "cannot be True"),
        ("glasses", 1, "cannot be 1; it is one of True, False"),
    ],
)
def test_changes_that_cannot_be(trait: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        draw_traits(0, change={trait: value})


def test_labels_are_the_classes_of_the_instances() -> None:
    for index in range(20):
        portrait = draw(index, (96, 96))
        classes = np.array([LABELS.index(label) for label in PARTS.values()])
        np.testing.assert_array_equal(classes[portrait.instances], portrait.labels)
        numbers = {part: number for number, part in enumerate(PARTS)}
        left, right = ((portrait.instances == numbers[f"{side} eye"]).nonzero()[1] for side in ("left", "right"))
        assert left.max() < right.min()


@pytest.mark.parametrize("side", [32, 64, 128])
def test_what_is_there_has_a_label_and_what_is_not_has_none(side: int) -> None:
    for index in range(60):
        portrait = draw(index, (side, side))
        present = {LABELS[number] for number in np.unique(portrait.labels)}
        facts = portrait.attributes
        always = {"background", "clothes", "skin", "hair", "brows", "eyes", "nose", "mouth"}
        expected = always | ({"glasses"} if facts["glasses"] else set())
        assert present == expected | ({"beard"} if facts["beard"] != "none" else set()), (index, facts)


def test_labels_agree_with_the_picture() -> None:
    """The median colour within a label is near the one that the attribute names."""
    for index in range(60):
        portrait = draw(index, (128, 128))
        facts = portrait.attributes
        grown = colours.mix(colours.HAIR[facts["natural_hair"]], colours.HAIR["grey"], facts["grey"])
        for label, colour, limit in (
            ("hair", grown, 30),
            ("clothes", colours.CLOTHES[facts["clothes_colour"]], 30),
            ("skin", colours.SKIN[facts["skin"]], 30),
            ("background", colours.BACKGROUND[facts["background"]], 22),
        ):
            if label == "hair" and facts["receding"] > 0.5:
                continue  # little is left, most of it edge
            seen = np.median(portrait.image[portrait.labels == LABELS.index(label)], axis=0)
            assert np.abs(seen - colour).max() < limit, (index, label, seen, colour)


def test_eye_colour_is_seen_at_64_pixels() -> None:
    """The most colourful pixels of the eyes, on average, tell each eye colour from the others."""
    means = {}
    for eyes in colours.EYES:
        irises = []
        for index in range(30):
            portrait = draw(index, change={"eyes": eyes, "glasses": False})
            pixels = portrait.image[portrait.labels == LABELS.index("eyes")].astype(float)
            irises.append(pixels[pixels.max(axis=1) - pixels.min(axis=1) > 35].mean(axis=0))
        means[eyes] = np.nanmean(irises, axis=0)
    for one in means:
        for other in means:
            assert one == other or np.abs(means[one] - means[other]).max() > 25, (one, other, means)


def test_a_change_changes_only_what_it_names() -> None:
    """Glasses: nothing outside the upper half of the face. Eyes: only the eyes."""
    for index in range(10):
        plain, framed = (draw(index, (64, 64), change={"glasses": glasses}) for glasses in (False, True))
        rows = (plain.image != framed.image).any(axis=(1, 2)).nonzero()[0]
        assert 16 < rows.min() <= rows.max() < 48
        brown, blue = (draw(index, change={"eyes": eyes, "glasses": False}) for eyes in ("brown", "blue"))
        changed = (brown.image != blue.image).any(axis=2)
        assert changed.any()
        assert (brown.labels == blue.labels).all()
        near = np.isin(brown.labels, [LABELS.index("eyes"), LABELS.index("skin"), LABELS.index("brows")])
        assert near[changed].all()


@pytest.mark.parametrize("frames", ["round", "square"])
def test_glasses_go_around_both_eyes(frames: str) -> None:
    for index in range(10):
        instances = draw(index, change={"glasses": True, "frames": frames}).instances
        rows, columns = (instances == list(PARTS).index("glasses")).nonzero()
        for side in ("left", "right"):
            down, across = (instances == list(PARTS).index(f"{side} eye")).nonzero()
            turns = np.arctan2(rows - down.mean(), columns - across.mean())
            near = np.hypot(rows - down.mean(), columns - across.mean()) < 9
            eighths = (turns[near] // (np.pi / 4)).astype(int) % 8
            assert set(eighths.tolist()) == set(range(8))


def test_a_tilt_turns_the_head_and_not_the_body() -> None:
    tilts = [draw(2, (128, 128), change={"tilt": tilt, "hair_style": "crop"}).instances for tilt in (-7.0, 7.0)]
    lower = []
    for instances in tilts:
        left, right = ((instances == list(PARTS).index(f"{side} eye")).nonzero()[0] for side in ("left", "right"))
        lower.append(right.mean() - left.mean())
    assert lower[0] < -2
    assert lower[1] > 2
    np.testing.assert_array_equal(tilts[0][-8:], tilts[1][-8:])


def test_a_smile_lifts_the_corners_of_the_mouth() -> None:
    for index in range(10):
        tops = []
        for smile in (-1.0, 1.0):
            labels = draw(index, (256, 256), change={"smile": smile, "tilt": 0.0}).labels
            rows, columns = (labels == LABELS.index("mouth")).nonzero()
            corner = rows[columns == columns.min()].mean()
            middle = rows[columns == np.median(columns).round()].mean()
            tops.append(corner - middle)
        assert tops[0] > -2
        assert tops[1] < -8


def test_outline_is_a_drawing_on_white() -> None:
    for index in range(10):
        outline = draw(index, (128, 128)).outline
        assert np.median(outline) == 255
        assert outline.min() < 80
        assert 0.02 < (outline < 160).mean() < 0.2


def test_lines_of_the_outline_lie_on_borders_of_the_labels() -> None:
    """Every border between classes that has an edge is drawn, within 3 of 256 pixels."""
    for index in range(10):
        portrait = draw(index, (256, 256))
        labels, ink = portrait.labels, portrait.outline < 200
        edged = ~np.isin(labels, [LABELS.index("nose"), LABELS.index("glasses")])  # one is soft, one a thin line
        border = (labels[1:] != labels[:-1]) & edged[1:] & edged[:-1]
        near = np.zeros_like(ink)
        for down in range(-3, 4):
            near |= np.roll(ink, down, axis=0)
        assert near[1:][border].mean() > 0.98


def test_poses_move_the_head_little() -> None:
    """Aligned, as faces in face data sets are: the middle between the eyes stays within a tenth of the picture."""
    for index in range(100):
        instances = draw(index, (64, 64)).instances
        rows, columns = np.isin(instances, [list(PARTS).index(f"{side} eye") for side in ("left", "right")]).nonzero()
        assert abs(columns.mean() / 64 - 0.5) < 0.1
        assert abs(rows.mean() / 64 - 0.5) < 0.1
