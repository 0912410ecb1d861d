"""Samples shared by processes: the batches of one process, each made once."""

import pytest
import torch

from zerosum.engine.processes import Processes
from zerosum.inference.shared import joined_batches, own_batches
from zerosum.models.base import BATCH


class Among(Processes):
    """One of several processes, without the others: `add` adds what they would."""

    def __init__(self, rank, size, others=0):
        self.rank, self.size, self.others = rank, size, others

    def add(self, values):
        values += self.others


@pytest.mark.parametrize(("count", "size"), [(1, 2), (BATCH, 2), (3 * BATCH + 5, 2), (1000, 3)])
def test_every_seed_is_made_once_in_the_batch_of_one_process(count, size):
    seeds = list(range(100, 100 + count))
    shares = [own_batches(Among(rank, size), seeds) for rank in range(size)]
    assert sorted(seed for share in shares for seed in share) == seeds
    whole = {tuple(seeds[start : start + BATCH]) for start in range(0, count, BATCH)}
    for share in shares:
        assert {tuple(share[start : start + BATCH]) for start in range(0, len(share), BATCH)} <= whole


def test_shares_are_joined_in_the_order_of_the_seeds():
    count = 2 * BATCH + 3
    values = torch.arange(2.0 * count).view(count, 2)
    second = own_batches(Among(1, 2), range(count))
    others = torch.zeros(count, 2)
    others[second] = values[second]
    first = own_batches(Among(0, 2), range(count))
    assert torch.equal(joined_batches(Among(0, 2, others), values[first], count), values)
