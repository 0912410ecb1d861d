"""Random numbers by rows: those of a micro-batch are its rows of the whole batch."""

import pytest
import torch
from torch import Tensor, nn

from zerosum.nn.layers.dropout import Dropout
from zerosum.nn.losses.penalties import dragan_points, wgan_gp_points
from zerosum.utils.microbatch import WHOLE, MicroBatch, computing, current, draw_like, draw_rows


def by_parts(draw, count, *values):
    """draw(values) of `count` micro-batches, each seeded as the whole batch is."""
    found = []
    for index in range(count):
        torch.manual_seed(3)
        with computing(MicroBatch(index, count)):
            found.append(draw(*(value.chunk(count)[index] for value in values)))
    assert current() is WHOLE
    return torch.cat(found)


def whole(draw, *values):
    torch.manual_seed(3)
    return draw(*values)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_micro_batch_has_its_rows_of_the_batch(count, layout):
    values = torch.randn(8, 3, 5, 4).contiguous(memory_format=layout)
    others = torch.randn(8, 3, 5, 4)
    draws = (
        lambda x: draw_rows(lambda n: torch.randn(n, 7), len(x)),
        lambda x: draw_rows(lambda n: torch.rand(2, n), len(x), dim=1).T,
        lambda x: draw_like(x, Tensor.uniform_),
        Dropout(0.5).train(),
        lambda x: wgan_gp_points(x, x + 1),
    )
    for draw in draws:
        assert torch.equal(by_parts(draw, count, values), whole(draw, values))
    assert not torch.equal(whole(Dropout(0.5).train(), values), values)
    noise = by_parts(lambda x: dragan_points(torch.cat([x, -x])[: len(x)]) - x, count, others)  # of its own deviation
    assert not torch.allclose(noise[:2], noise[-2:])


def test_alone_the_numbers_are_those_of_torch():
    values = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole(lambda x: draw_like(x, Tensor.uniform_), values), whole(torch.rand_like, values))
    plain, ours = nn.Dropout(0.3).train(), Dropout(0.3).train()
    assert torch.equal(whole(ours, values), whole(plain, values))
    assert torch.equal(Dropout(0.3).eval()(values), values)
    assert not torch.equal(Dropout(0.3, noise=True).eval()(values), values)
