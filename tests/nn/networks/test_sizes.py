"""Sizes that doublings reach, and what is offered where they do not."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.nn.networks.sizes import doublings, nearest_size, nearest_sizes

sides = st.integers(1, 400)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), (4, 4, 4)),
        ((32, 32), (4, 4, 3)),
        ((28, 28), (7, 7, 2)),
        ((48, 80), (3, 5, 4)),
        ((8, 8), (4, 4, 1)),
        ((256, 256), (4, 4, 6)),
        ((24, 24), (3, 3, 3)),  # 6x6 and n = 2 is further from 4
        ((48, 48), (3, 3, 4)),
        ((96, 64), (6, 4, 4)),
        ((8, 28), (2, 7, 2)),
    ],
)
def test_known_sizes(size: tuple[int, int], expected: tuple[int, int, int]) -> None:
    assert doublings(*size) == expected


def plan(height: int, width: int) -> tuple[int, int, int] | str:
    try:
        return doublings(height, width)
    except ValueError as error:
        return str(error)


@given(sides, sides)
def test_either_a_plan_or_an_offer_that_works(height: int, width: int) -> None:
    found = plan(height, width)
    if isinstance(found, str):
        assert f"{height}x{width}" in found
        for near in nearest_sizes(height, width):
            assert f"{near[0]}x{near[1]}" in found
            assert isinstance(plan(*near), tuple)
    else:
        base_height, base_width, n = found
        assert (base_height << n, base_width << n) == (height, width)
        assert {base_height, base_width} <= set(range(2, 8))
        assert nearest_sizes(height, width) == [(height, width)]


@given(st.integers(8, 256))
def test_squares_are_offered_squares_not_far_away(side: int) -> None:
    near = nearest_size(side, side)
    assert near[0] == near[1]
    assert abs(near[0] - side) <= side / 7 + 2


def test_the_nearest_sizes_fit_and_cover() -> None:
    assert nearest_sizes(100, 100) == [(96, 96), (112, 112)]
    assert nearest_sizes(50, 80) == [(48, 80), (64, 80)]
    assert nearest_sizes(1000, 1000) == [(256, 256)]
    assert nearest_sizes(1, 1) == [(8, 8)]


@pytest.mark.parametrize("size", [(4, 4), (512, 512), (30, 30), (64, 4), (16, 256), (8, 32), (16, 14)])
def test_sizes_that_cannot_be(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"take \d+x\d+"):
        doublings(*size)


def test_no_torch_is_needed() -> None:
    code = "import sys, zerosum.nn.networks.sizes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
