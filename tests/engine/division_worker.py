"""Started by torchrun in tests: the weights of games after steps by several processes, in float64, and to the bit."""

import sys
from pathlib import Path

import torch
from division_games import in_float64, weights_after

from zerosum.engine.division import Division
from zerosum.engine.processes import joined

folder, *names = sys.argv[1:]
torch.set_num_threads(1)
with joined() as processes:
    for name in names:
        with in_float64():
            exact = weights_after(name, Division(processes.size, processes))
        ordered = weights_after(name, Division(4, processes, fixed_order=True))
        torch.save({"exact": exact, "ordered": ordered}, Path(folder) / f"{name}-{processes.rank}.pt")
