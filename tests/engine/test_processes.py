"""Several processes, as torchrun starts them: the weights of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.division_games import GAMES, difference, in_float64, weights_after
from zerosum.engine.division import Division, tree_sum

ROOT = Path(__file__).parents[2]
TRIED = ("gan-simultaneous", "r3gan-ada", "pix2pix", "cyclegan")


def launch(count, *command, **options):
    """A program of the tests in this number of processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([*launcher, *command], capture_output=True, text=True, env=environment, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    ended = launch(2, str(Path(__file__).with_name("division_worker.py")), str(folder), *TRIED)
    assert ended.returncode == 0, ended.stderr
    return {name: [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(2)] for name in TRIED}


@pytest.mark.parametrize("name", TRIED)
def test_two_processes_have_the_weights_of_one(trained, name):
    first, second = trained[name]
    assert difference(first["exact"], second["exact"])[0] == 0
    with in_float64():
        worst, where = difference(first["exact"], weights_after(name, Division()))
    assert worst < 1e-9, where


@pytest.mark.parametrize("name", TRIED)
def test_a_fixed_order_has_the_same_bits_on_one_process_and_on_two(trained, name):
    alone = weights_after(name, Division(4, fixed_order=True))
    for one in trained[name]:
        worst, where = difference(one["ordered"], alone)
        assert worst == 0, where


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_sums_do_not_depend_on_who_adds(processes):
    parts = list(torch.randn(8, 100, generator=torch.Generator().manual_seed(1)) * torch.logspace(-4, 4, 8)[:, None])
    shares = [tree_sum(parts[rank::processes]) for rank in range(processes)]
    assert torch.equal(tree_sum(shares), tree_sum(parts))
    assert not torch.equal(torch.stack(parts).flip(0).cumsum(0)[-1], tree_sum(parts))


def test_the_games_that_are_tried_are_there():
    assert set(TRIED) <= set(GAMES)
