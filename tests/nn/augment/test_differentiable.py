"""DiffAugment and ADA: oracles, distributions, values that stay, and gradients of both orders."""

import math
from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import affine_grid, grid_sample

from tests.nn.augment.made_batches import smooth
from zerosum.nn.augment import differentiable
from zerosum.nn.augment.differentiable import ada_color, ada_geometry, augment_differentiably, resample, warp
from zerosum.nn.augment.settings import POLICIES
from zerosum.nn.losses.penalties import gradient_penalty, r1_from_logits

torch.set_num_threads(1)

GROUPS = [(kind, (group,)) for kind, groups in POLICIES.items() for group in groups]
POLICIES_ALL = [*GROUPS, *((kind, ()) for kind in POLICIES)]
LAYOUTS = [(1, False, 0), (3, False, 0), (4, True, 0), (2, True, 0), (5, False, 0), (6, True, 2), (4, False, 3)]
"""Channels, alpha, geometry_only."""


def seeded(seed: int, *given: object, **named: object) -> Tensor:
    torch.manual_seed(seed)
    return augment_differentiably(*given, **named)  # type: ignore[arg-type]


def numbered(count: int, height: int, width: int) -> Tensor:
    """(N, 1, H, W), each pixel another whole number above 0."""
    return (torch.arange(height * width) + 1.0).view(1, 1, height, width).repeat(count, 1, 1, 1)


def near(found: float | Tensor, wanted: float, deviation: float, count: int) -> bool:
    """Whether a mean of so many draws is within five of its standard errors."""
    return abs(float(found) - wanted) < 5 * deviation / count**0.5


def often(hits: Tensor, probability: float) -> bool:
    return near(hits.double().mean(), probability, (probability * (1 - probability)) ** 0.5, len(hits))


@pytest.fixture(params=["host", "device"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """On the CPU images that draw nothing are left out; elsewhere all go through, lest the program wait."""
    if request.param == "device":
        monkeypatch.setattr(differentiable, "_sync_is_free", lambda tensor: False)
    return str(request.param)


# Resampling


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_resampling_is_that_of_torch_forward_and_back(mode: str, padding: str, last: bool) -> None:
    images = (
        smooth(3, 2, 7, 6)
        .contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        .requires_grad_()
    )
    grid = (torch.rand(3, 5, 4, 2, generator=torch.Generator().manual_seed(1)) * 3 - 1.5).requires_grad_()
    ours = resample(images, grid, mode, padding)
    theirs = grid_sample(images, grid, mode, padding, align_corners=False)
    assert torch.equal(ours, theirs)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (wanted,) = torch.autograd.grad((theirs * weights).sum(), images)
    (ours * weights).sum().backward()
    assert torch.equal(images.grad, wanted)
    assert grid.grad is None


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_resampling_has_both_derivatives(mode: str, padding: str) -> None:
    images = smooth(2, 2, 4, 3).double().requires_grad_()
    grid = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double() * 3 - 1.5
    assert gradcheck(lambda x: resample(x, grid, mode, padding), images)
    assert gradgradcheck(lambda x: resample(x, grid, mode, padding).pow(3), images)


def test_resampling_under_autocast() -> None:
    images, grid = smooth(2, 2, 8, 8).requires_grad_(), torch.rand(2, 8, 8, 2) * 2 - 1
    plain = resample(images, grid)
    with torch.autocast("cpu", torch.bfloat16):
        result = resample(images, grid)
        (slope,) = torch.autograd.grad(result.square().sum(), images, create_graph=True)
        slope.square().sum().backward()
    assert torch.equal(result, plain)
    assert images.grad is not None


# What stays


@pytest.mark.parametrize(("channels", "alpha", "beside"), LAYOUTS)
@pytest.mark.parametrize("kind", POLICIES)
def test_without_probability_every_bit_stays(kind: str, channels: int, alpha: bool, beside: int, where: str) -> None:
    images = smooth(5, channels, 12, 10) * 1.5  # nor are they clamped
    for probability in (0.0, torch.tensor(0.0)):
        result = augment_differentiably(images, kind, (), probability, alpha, beside)
        assert torch.equal(result.contiguous().view(torch.int32), images.contiguous().view(torch.int32))


@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_images_that_draw_nothing_keep_their_bits(kind: str, policy: tuple[str, ...], where: str) -> None:
    images = smooth(1, 3, 10, 12).repeat(300, 1, 1, 1)
    same = (seeded(3, images, kind, policy, 0.1) == images).flatten(1).all(1)
    operations = {"color": 3 if kind == "diffaugment" else 5, "blit": 3, "geometric": 4}  # the two turns count as one
    least = 0.9 ** sum(operations.get(group, 1) for group in policy or POLICIES[kind])
    assert same.double().mean() > least - 5 * (0.25 / 300) ** 0.5
    assert not same.all()


@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_skipping_changes_nothing(kind: str, policy: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    images = smooth(40, 4, 16, 16)
    skipping = seeded(4, images, kind, policy, 0.2, True)
    monkeypatch.setattr(differentiable, "_sync_is_free", lambda tensor: False)
    torch.testing.assert_close(seeded(4, images, kind, policy, 0.2, True), skipping, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_draws_do_not_depend_on_the_probability(kind: str, policy: tuple[str, ...]) -> None:
    """An image that is varied at 0.3 is varied at 0.6 too; afterwards the stream is at the same place."""
    images, hit, states = smooth(1, 3, 8, 8).repeat(200, 1, 1, 1), [], []
    for probability in (0.0, 0.3, 0.6, 1.0):
        hit.append((seeded(5, images, kind, policy, probability) != images).flatten(1).any(1))
        states.append(torch.get_rng_state())
    assert all((more | ~less).all() for less, more in pairwise(hit))
    assert all(torch.equal(state, states[0]) for state in states)
    assert hit[1].sum() < hit[2].sum()


@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_each_image_draws_for_itself_from_the_stream_of_torch(kind: str, policy: tuple[str, ...]) -> None:
    images = smooth(1, 3, 32, 32).repeat(8, 1, 1, 1)
    one, again, other = (seeded(seed, images, kind, policy, 1.0) for seed in (6, 6, 7))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert len({tuple(image.flatten().tolist()) for image in one}) > 4


@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_layout_and_type_stay(kind: str, policy: tuple[str, ...]) -> None:
    images = smooth(6, 3, 8, 8)
    for form in (torch.channels_last, torch.contiguous_format):
        result = seeded(8, images.contiguous(memory_format=form), kind, policy, 0.7)
        assert result.is_contiguous(memory_format=form)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        wide = seeded(8, images.to(dtype).float(), kind, policy, 0.7)
        result = seeded(8, images.to(dtype), kind, policy, 0.7)
        assert result.dtype == dtype
        if dtype.itemsize == 2:
            assert torch.equal(result, wide.to(dtype))
        else:
            torch.testing.assert_close(result.float(), wide, atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        inside = seeded(8, images, kind, policy, 0.7)
    assert torch.equal(inside, seeded(8, images, kind, policy, 0.7))


@pytest.mark.parametrize("kind", POLICIES)
def test_colour_is_of_colours_and_geometry_of_all(kind: str) -> None:
    base = smooth(9, 3, 16, 16)
    images = torch.cat((base, base[:, :1], base[:, 1:]), dim=1)  # RGB, alpha, and two channels beside
    coloured = seeded(9, images, kind, ("color",), 1.0, True, 2)
    assert torch.equal(coloured[:, 3:], images[:, 3:])
    assert (coloured[:, :3] != images[:, :3]).flatten(1).any(1).all()
    assert torch.equal(coloured[:, :3], seeded(9, base, kind, ("color",), 1.0))
    places = tuple(group for group in POLICIES[kind] if group not in ("color", "cutout"))
    shifted = seeded(9, images, kind, places, 1.0, True, 2)
    assert torch.equal(shifted[:, 0], shifted[:, 3])
    assert torch.equal(shifted[:, 1:3], shifted[:, 4:])
    assert not torch.equal(shifted, images)


def test_a_colour_alone_has_no_chroma() -> None:
    """Of one channel saturation is nothing, and neither is there a hue; contrast and brightness do the same as in RGB
    images that are gray, unless luma turns over."""
    gray = smooth(200, 1, 6, 6) * 0.5
    for kind in POLICIES:
        result = seeded(10, gray, kind, ("color",), 1.0)
        slope = (result - result.mean((2, 3), keepdim=True)).flatten(1).norm(dim=1)
        slope = slope / (gray - gray.mean((2, 3), keepdim=True)).flatten(1).norm(dim=1)
        assert (slope > 0).all()
        shape = (result - result.mean((2, 3), keepdim=True)) / slope[:, None, None, None]
        torch.testing.assert_close(shape, gray - gray.mean((2, 3), keepdim=True), atol=1e-5, rtol=1e-4)


# DiffAugment


def test_diffaugment_colours() -> None:
    """Three levels of an image, each scaled by itself: its mean, the gray of a pixel about that, colour about the gray.

    x + b moves the first, contrast k scales the second, and saturation times contrast the third."""
    count = 4000
    images = smooth(1, 3, 4, 4).repeat(count, 1, 1, 1).double()

    def levels(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, gray = x.mean((1, 2, 3), keepdim=True), x.mean(1, keepdim=True)
        return mean, gray - mean, x - gray

    for probability in (1.0, 0.3):
        result = seeded(11, images, "diffaugment", ("color",), probability)
        before, after = levels(images), levels(result)
        b = (after[0] - before[0]).flatten()
        k, ks = (
            (y * x).flatten(1).sum(1) / x.flatten(1).square().sum(1) for x, y in zip(before[1:], after[1:], strict=True)
        )
        s = ks / k
        again = sum(
            amount[:, None, None, None] * level for amount, level in zip((1 + 0 * k, k, ks), before, strict=True)
        )
        torch.testing.assert_close(again + b[:, None, None, None], result, atol=1e-6, rtol=0)
        for amount, neutral, low, high in ((b, 0, -0.5, 0.5), (s, 1, 0, 2), (k, 1, 0.5, 1.5)):
            drawn = amount[(amount - neutral).abs() > 1e-6]
            assert drawn.min() >= low - 1e-6
            assert drawn.max() <= high + 1e-6
            assert near(drawn.mean(), (low + high) / 2, (high - low) / 12**0.5, len(drawn))
            assert near(drawn.std(), (high - low) / 12**0.5, 0.2 * (high - low), len(drawn))
            assert probability == 1 or often((amount - neutral).abs() > 1e-6, probability)
        if probability == 1:  # three draws, not one
            assert torch.corrcoef(torch.stack((b, s, k))).triu(1).abs().max() < 5 / count**0.5


@pytest.mark.parametrize(("height", "width", "down", "across"), [(32, 32, 4, 4), (64, 20, 8, 3), (13, 10, 2, 1)])
def test_translation_copies_pixels_and_fills_with_zeros(height: int, width: int, down: int, across: int) -> None:
    """Up to round(side / 8): 4 of 32, 8 of 64; 2.5 of 20 are 3, as in the authors' int(x + 0.5)."""
    count = 700
    images = numbered(count, height, width)
    counts: dict[tuple[int, int], int] = {}
    for image in seeded(12, images, "diffaugment", ("translation",), 1.0)[:, 0]:
        y, x = (int(v) for v in (image == images[0, 0, height // 2, width // 2]).nonzero()[0])
        dy, dx = y - height // 2, x - width // 2
        wanted = torch.zeros(height + 2 * abs(dy), width + 2 * abs(dx))
        wanted[abs(dy) + dy :, abs(dx) + dx :][:height, :width] = images[0, 0]
        assert torch.equal(image, wanted[abs(dy) :, abs(dx) :][:height, :width])
        counts[dy, dx] = counts.get((dy, dx), 0) + 1
    for axis, most in ((0, down), (1, across)):
        assert {place[axis] for place in counts} == set(range(-most, most + 1))
        for shift in range(-most, most + 1):
            share, chance = sum(n for place, n in counts.items() if place[axis] == shift) / count, 1 / (2 * most + 1)
            assert near(share, chance, (chance * (1 - chance)) ** 0.5, count)
    hits = (seeded(13, images, "diffaugment", ("translation",), 0.4) != images).flatten(1).any(1)
    assert often(hits, 0.4 * (1 - 1 / ((2 * down + 1) * (2 * across + 1))))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (10, 7), (64, 20)])
def test_cutout_hides_half_of_each_side_about_any_centre(height: int, width: int) -> None:
    """16 of 32 pixels; at the edges less, down to half of that, as the square hangs over."""
    count = 900
    images = numbered(count, height, width)
    gone = seeded(14, images, "diffaugment", ("cutout",), 1.0)[:, 0] == 0
    assert torch.equal(gone, gone.any(2)[:, :, None] & gone.any(1)[:, None])  # a rectangle
    for line, side in ((gone.any(2), height), (gone.any(1), width)):
        size = int(side * 0.5 + 0.5)
        first, length = line.int().argmax(1), line.sum(1)
        assert all(row[f : f + n].all() for row, f, n in zip(line, first.tolist(), length.tolist(), strict=True))
        assert int(length.max()) == size
        assert int(length.min()) == size - size // 2
        ends = torch.where(first > 0, first, length - size)  # of the whole square, which may begin outside
        places = side + 1 - size % 2
        assert set(ends.tolist()) == {centre - size // 2 for centre in range(places)}
        assert near(ends.double().mean(), (places - 1) / 2 - size // 2, places / 12**0.5, count)
    left = seeded(14, images, "diffaugment", ("cutout",), 1.0)[:, 0][~gone]
    assert torch.equal(left, images[:, 0][~gone])
    assert often((seeded(15, images, "diffaugment", ("cutout",), 0.3) == 0).flatten(1).any(1), 0.3)


def test_cutout_takes_opacity_with_it_and_leaves_what_lies_beside() -> None:
    images = torch.ones(20, 6, 8, 8)
    result = seeded(16, images, "diffaugment", ("cutout",), 1.0, True, 2)
    assert torch.equal(result[:, :4] == 0, (result[:, :1] == 0).expand(-1, 4, -1, -1))
    assert (result[:, :4] == 0).flatten(1).any(1).all()
    assert torch.equal(result[:, 4:], images[:, 4:])


# ADA: geometry


def test_places_are_pixels_from_the_centre() -> None:
    images = numbered(1, 8, 8)
    one, nothing = torch.eye(2)[None], torch.zeros(1, 2)
    quarter = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]]])  # the source of what stands right of the centre is above it
    mirror = torch.tensor([[[-1.0, 0.0], [0.0, 1.0]]])
    for mode in ("nearest", "bicubic"):
        assert torch.equal(warp(images, quarter, nothing, mode, "reflection"), images.rot90(-1, (2, 3)))
        assert torch.equal(warp(images, mirror, nothing, mode, "reflection"), images.flip(3))
        right = warp(images, one, torch.tensor([[-2.0, 1.0]]), mode, "reflection")
        assert torch.equal(right[:, :, :-1, 2:], images[:, :, 1:, :-2])
        assert torch.equal(right[:, :, :-1, :2], images[:, :, 1:, :2].flip(3))  # mirrored at the edge
        assert torch.equal(right[:, :, -1], right[:, :, -2])
    assert warp(images, one, nothing, "bicubic", "reflection") is images


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
def test_geometry_is_one_bicubic_sample_at_the_composed_places(height: int, width: int) -> None:
    images = smooth(12, 2, height, width)
    result = seeded(17, images, "ada", ("geometric", "blit"), 1.0)
    torch.manual_seed(17)
    matrix, offset = ada_geometry(images, ("blit", "geometric"), 1.0)
    sides = torch.tensor([width, height])
    theta = torch.cat((matrix * sides / sides[:, None], (2 * offset / sides)[:, :, None]), dim=2)  # ±1 at the edges
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    wanted = grid_sample(images, grid, "bicubic", "reflection", align_corners=False)
    torch.testing.assert_close(result, wanted, atol=1e-4, rtol=0)


def test_the_blit_comes_before_the_geometry() -> None:
    """So a place has its source in the turned image, and that has its own in the image itself."""
    images = torch.zeros(50, 1, 16, 16)
    torch.manual_seed(27)
    whole, whole_offset = ada_geometry(images, ("blit", "geometric"), 0.8)
    torch.manual_seed(27)
    (blit, blit_offset), (turn, turn_offset) = (ada_geometry(images, (group,), 0.8) for group in ("blit", "geometric"))
    torch.testing.assert_close(whole, blit @ turn)
    torch.testing.assert_close(whole_offset, (blit @ turn_offset[:, :, None])[:, :, 0] + blit_offset)


@pytest.mark.parametrize("side", [32, 17])
def test_blits_copy_pixels(side: int) -> None:
    """Alone exactly; within a geometry that drew nothing else, but for rounding."""
    images = numbered(60, side, side) / side**2
    result = seeded(18, images, "ada", ("blit",), 1.0)
    turned = [part.rot90(turn, (1, 2)) for part in (images[0], images[0].flip(2)) for turn in range(4)]
    most = round(side * 0.125)
    padded = [torch.cat((part.flip(2), part, part.flip(2)), 2) for part in turned]
    padded = [torch.cat((part.flip(1), part, part.flip(1)), 1)[0] for part in padded]  # mirrored all around
    shifts = list(product(range(-most, most + 1), repeat=2))
    for image in result[:, 0]:
        found = [
            (dy, dx) for t in padded for dy, dx in shifts
            if torch.equal(t[side - dy : 2 * side - dy, side - dx : 2 * side - dx], image)
        ]  # fmt: skip
        assert len(found) == 1
    torch.manual_seed(18)
    places = ada_geometry(images, ("blit",), 1.0)
    torch.testing.assert_close(warp(images, *places, "bicubic", "reflection"), result, atol=1e-5, rtol=0)


def blits(count: int, probability: float, height: int = 16, width: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrored (N,), quarter turns (N,), and shift (N, 2) of what `blit` draws."""
    torch.manual_seed(19)
    matrix, offset = ada_geometry(torch.zeros(count, 1, height, width), ("blit",), probability)
    mirrored = torch.linalg.det(matrix) < 0
    turn = torch.where(mirrored[:, None, None], torch.tensor([[-1.0, 0.0], [0.0, 1.0]]) @ matrix, matrix)
    turns = (torch.atan2(turn[:, 0, 1], turn[:, 0, 0]) / (math.pi / 2)).round().long() % 4
    return mirrored, turns, -(torch.linalg.inv(matrix) @ offset[:, :, None])[:, :, 0]


@pytest.mark.parametrize("probability", [0.5, 0.8, 1.0])
def test_quarter_turns_do_not_leak_below_probability_one(probability: float) -> None:
    """Of images drawn upright with 0.7 and on their side with 0.3, what the discriminator sees tells these apart again,
    since an image is upright still with 1 - 3p/4. Not at p=1, where all four are as likely whatever the data were
    (Karras et al. 2020, section 2 and appendix C)."""
    count = 40_000
    _, turns, _ = blits(count, probability)
    chances = torch.bincount(turns, minlength=4).double() / count
    wanted = torch.tensor([1 - 0.75 * probability, *[probability / 4] * 3], dtype=torch.double)
    assert (chances - wanted).abs().max() < 5 * 0.5 / count**0.5
    circulant = torch.stack([chances.roll(k) for k in range(4)], dim=1)
    slowest = torch.linalg.svdvals(circulant)[-1]
    assert near(slowest, 1 - probability, 1.5, count)
    if probability < 1:
        assert chances.argmax() == 0
        data = (torch.rand(count, generator=torch.Generator().manual_seed(1)) < 0.3).long()
        seen = torch.bincount((data + turns) % 4, minlength=4).double() / count
        found = torch.linalg.solve(circulant, seen)
        assert (found - torch.tensor([0.7, 0.3, 0, 0])).abs().max() < 5 / (1 - probability) / count**0.5


def test_blits_are_as_likely_as_in_the_paper() -> None:
    count = 20_000
    mirrored, turns, shift = blits(count, 0.6)
    assert often(mirrored, 0.3)  # half of those that draw it
    assert often(turns != 0, 0.45)
    assert often((shift != 0).any(1), 0.6 * (1 - 0.25**2))  # 2 u of 16 pixels round to 0 where |u| < 1/4
    assert torch.equal(shift, shift.round())
    assert shift.abs().amax(0).tolist() == [2, 2]
    _, turns, shift = blits(count, 1.0, height=16, width=40)
    assert set(turns.tolist()) == {0, 2}
    assert often(turns == 2, 0.5)
    assert shift.abs().amax(0).tolist() == [5, 2]  # x, y
    drawn = blits(count, 1.0, height=16, width=400)[2][:, 0]
    assert near(drawn.mean(), 0, 50 / 3**0.5, count)
    assert near(drawn.std(), 50 / 3**0.5, 25, count)


def test_scales_turns_and_shifts_are_those_of_the_paper() -> None:
    """The determinant of the map to the source is scale^-2; singular values are apart by stretch^2."""
    count, images = 20_000, torch.zeros(1, 1, 16, 40).expand(20_000, 1, 16, 40)
    torch.manual_seed(20)
    matrix, offset = ada_geometry(images, ("geometric",), 1.0)
    scale = -torch.linalg.det(matrix).log2() / 2
    assert near(scale.mean(), 0, 0.2, count)
    assert near(scale.std(), 0.2, 0.15, count)
    widest, narrowest = torch.linalg.svdvals(matrix).log2().unbind(1)
    stretch = (widest - narrowest) / 2
    assert near(stretch.square().mean(), 0.04, 0.06, count)
    assert abs(torch.corrcoef(torch.stack((scale, stretch)))[0, 1]) < 5 / count**0.5
    shift = -(torch.linalg.inv(matrix) @ offset[:, :, None])[:, :, 0]
    for amount, side in zip(shift.unbind(1), (40, 16), strict=True):
        assert near(amount.mean() / side, 0, 0.125, count)
        assert near(amount.std() / side, 0.125, 0.1, count)
    angle = torch.atan2(matrix[:, 0, 1] - matrix[:, 1, 0], matrix[:, 0, 0] + matrix[:, 1, 1])  # of the two turns
    for wave in (1, 2):
        assert near((wave * angle).cos().mean(), 0, 0.5**0.5, count)
        assert near((wave * angle).sin().mean(), 0, 0.5**0.5, count)


@pytest.mark.parametrize("probability", [0.3, 0.8])
def test_geometry_is_as_likely_as_asked(probability: float) -> None:
    images = torch.zeros(1, 1, 16, 16).expand(20_000, 1, 16, 16)
    for given in (probability, torch.tensor(probability)):
        torch.manual_seed(21)
        matrix, offset = ada_geometry(images, ("geometric",), given)
        assert often((offset != 0).any(1), probability)
        assert often((torch.linalg.det(matrix.double()) - 1).abs() > 1e-6, probability)  # scaled
        singular = torch.linalg.svdvals(matrix.double())
        assert often(singular[:, 0] / singular[:, 1] > 1 + 1e-6, probability)  # stretched
        turned = matrix[:, 0, 1].abs() + matrix[:, 1, 0].abs() > 1e-6
        assert often(turned, probability)  # by one turn or two: 1 - √(1 - p) each
        still = (matrix == torch.eye(2)).flatten(1).all(1) & (offset == 0).all(1)
        assert often(still, (1 - probability) ** 4)


def test_waves_of_four_pixels_keep_their_height() -> None:
    """Under bilinear sampling 0.8 of it is left. Measured against the wave itself, at places turned and shifted."""
    side = 32
    places = torch.arange(side) - (side - 1) / 2
    phases = torch.arange(40)[:, None, None] * 2.4

    def wave(x: Tensor) -> Tensor:
        return torch.cos(math.pi / 2 * x + phases)[:, None]

    images = wave(places.expand(40, side, side))
    turn, shift = torch.linspace(-0.4, 0.4, 40), torch.linspace(-0.5, 0.5, 40)
    matrix = torch.stack((turn.cos(), -turn.sin(), turn.sin(), turn.cos()), 1).view(40, 2, 2)
    offset = torch.stack((shift, shift.flip(0)), 1)
    source = matrix[:, 0, :1, None] * places + matrix[:, 0, 1:, None] * places[:, None] + offset[:, :1, None]
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    truth = wave(source)[inside]
    height = {
        mode: float((warp(images, matrix, offset, mode, "reflection")[inside] * truth).sum() / truth.square().sum())
        for mode in ("bicubic", "bilinear")
    }
    assert abs(height["bicubic"] - 1) < 0.03
    assert abs(height["bilinear"] - 0.81) < 0.03


# ADA: colours


def colours_drawn(count: int, probability: float) -> dict[str, Tensor]:
    """Brightness, and what else ada_color drew for RGB, read from its matrix and offset."""
    torch.manual_seed(22)
    matrix, offset = (part.double() for part in ada_color(torch.zeros(count, 3, 1, 1), probability, 3))
    axis = torch.ones(3).double() / 3**0.5
    luma = axis @ matrix @ axis
    torch.testing.assert_close(matrix @ axis, luma[:, None] * axis, atol=1e-5, rtol=0)  # grays stay gray
    torch.testing.assert_close(offset, offset[:, :1].expand(count, 3), atol=0, rtol=0)
    red = torch.tensor([2.0, -1, -1]).double() / 6**0.5  # in the plane across
    turned = torch.linalg.cross(axis, red)
    real, imaginary = red @ (matrix @ red).mT, turned @ (matrix @ red).mT
    torch.testing.assert_close(red @ (matrix @ turned).mT, -imaginary, atol=1e-5, rtol=1e-5)  # a turn, no mirror
    contrast, chroma = luma.abs(), torch.hypot(real, imaginary)
    return {
        "brightness": offset[:, 0] / luma, "contrast": contrast.log2(), "luma": (luma < 0).double(),
        "hue": torch.atan2(imaginary, real), "saturation": (chroma / contrast).log2(),
    }  # fmt: skip


def test_colours_are_those_of_the_paper() -> None:
    count, drawn = 20_000, colours_drawn(20_000, 1.0)
    for key, deviation in {"brightness": 0.2, "contrast": 0.5, "saturation": 1.0, "hue": math.pi / 3**0.5}.items():
        assert near(drawn[key].mean(), 0, deviation, count), key
        assert near(drawn[key].std(), deviation, 0.75 * deviation, count), key
    assert often(drawn["luma"], 0.5)
    amounts = torch.corrcoef(torch.stack(list(drawn.values())))
    assert (amounts - torch.eye(5)).abs().max() < 5 / count**0.5


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_colours_are_as_likely_as_asked(probability: float) -> None:
    for key, amounts in colours_drawn(20_000, probability).items():
        assert often(amounts.abs() > 1e-5, probability / (2 if key == "luma" else 1)), key


def test_colours_are_worked_out_pixel_by_pixel() -> None:
    images = smooth(7, 3, 6, 5)
    result = seeded(23, images, "ada", ("color",), 1.0)
    torch.manual_seed(23)
    matrix, offset = ada_color(images, 1.0, 3)
    for image, after, a, b in zip(images, result, matrix, offset, strict=True):
        torch.testing.assert_close(after, torch.tensordot(a, image, 1) + b[:, None, None], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("colours", [1, 2, 5])
def test_colours_other_than_rgb_have_contrast_and_brightness(colours: int) -> None:
    count = 20_000
    torch.manual_seed(24)
    matrix, offset = ada_color(torch.zeros(count, colours, 1, 1), 0.5, colours)
    contrast = matrix[:, 0, 0]
    assert torch.equal(matrix, contrast[:, None, None] * torch.eye(colours))
    assert torch.equal(offset, offset[:, :1].expand(count, colours))
    assert (contrast > 0).all()
    assert often(contrast != 1, 0.5)
    assert near((offset[:, 0] / contrast).square().mean(), 0.02, 0.05, count)


# Gradients


@pytest.mark.parametrize("probability", [1.0, 0.5])
@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_gradients_of_both_orders(kind: str, policy: tuple[str, ...], probability: float, where: str) -> None:
    images = smooth(2, 5, 4, 4).double().requires_grad_()

    def varied(x: Tensor) -> Tensor:
        return seeded(25, x, kind, policy, probability, True, 1)

    assert gradcheck(varied, images, fast_mode=True)
    assert gradgradcheck(lambda x: varied(x).pow(3), images, fast_mode=True)


class Watcher(nn.Module):
    """A small discriminator behind augmentation, with draws that are the same each time."""

    def __init__(self, through: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.through = through
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 4 * 4, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(self.through(images))[:, 0]
        return logits


@pytest.mark.parametrize(("kind", "policy"), POLICIES_ALL)
def test_penalties_on_the_slope_go_through(kind: str, policy: tuple[str, ...]) -> None:
    """R1 on the forward pass of the loss, and WGAN-GP's by torch.func, whose slopes are the same."""
    watcher = Watcher(lambda images: seeded(26, images, kind, policy, 0.6))
    images = smooth(6, 3, 8, 8)
    real = images.clone().requires_grad_()
    r1_from_logits(watcher(real), real).backward()
    gradients = [parameter.grad.clone() for parameter in watcher.parameters() if parameter.grad is not None]
    assert len(gradients) == 3  # the last bias has none
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)
    first = watcher.net[0].weight
    original, step = first.data.clone(), 1e-2
    direction = torch.randn(first.shape, generator=torch.Generator().manual_seed(3))
    values = []
    for sign in (1, -1):
        first.data.copy_(original + sign * step * direction)
        real = images.clone().requires_grad_()
        values.append(r1_from_logits(watcher(real), real).item())
    wanted = (values[0] - values[1]) / (2 * step)
    first.data.copy_(original)
    assert (gradients[0] * direction).sum().item() == pytest.approx(wanted, rel=0.02, abs=1e-4)
    plainly = gradient_penalty(lambda images: watcher(images), images)
    torch.testing.assert_close(gradient_penalty(watcher, images), plainly)


# Errors


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("mixup",), "diffaugment and ada, and no 'mixup'"),
        (("ada", ("blit", "noise")), "ada has blit, geometric, color, cutout, and no noise"),
        (("ada", (), 1.01), r"in \[0, 1\], not 1.01"),
        (("ada", (), float("nan")), "not nan"),
        (("ada", (), 0.5, True, 2), r"3 channels, 2 of them moved only, leave no colour \(alpha=True\)"),
    ],
)
def test_wrong_input_is_named(given: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        augment_differentiably(smooth(), *given)  # type: ignore[arg-type]


# The pipe of R3GAN


def test_cutout_of_ada_hides_a_square_of_half_the_side_anywhere() -> None:
    """A centre evenly in [0, 1] leaves 0.4375 of a side hidden on average, so 0.4375² of the image."""
    torch.manual_seed(0)
    hidden = augment_differentiably(torch.ones(4000, 3, 32, 32), "ada", ("cutout",)) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    rows, columns = (hidden[:, 0].any(dim=axis).sum(dim=1) for axis in (2, 1))
    assert rows.max() == columns.max() == 16
    assert torch.equal(hidden[:, 0].sum(dim=(1, 2)), rows * columns)
    assert hidden.float().mean().item() == pytest.approx(0.4375**2, abs=0.004)
    assert (augment_differentiably(torch.ones(4, 3, 32, 32), "ada") != 0).all()  # not unless it is named


@pytest.mark.parametrize("multiplier", [0.0, 0.5, 1.0])
def test_the_color_multiplier_scales_the_probability_of_color_alone(multiplier: float) -> None:
    torch.manual_seed(0)
    images = torch.full((4000, 1, 4, 4), 0.5)
    same = (
        (augment_differentiably(images, "ada", ("color",), 0.8, color_multiplier=multiplier) == images)
        .flatten(1)
        .all(dim=1)
    )
    assert same.float().mean().item() == pytest.approx((1 - 0.8 * multiplier) ** 2, abs=0.03)  # brightness, contrast
    hidden = (
        (augment_differentiably(images, "ada", ("cutout",), 0.8, color_multiplier=multiplier) == 0)
        .flatten(1)
        .any(dim=1)
    )
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.03)
