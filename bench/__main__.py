"""Benchmarks, each a module with its own --help.

python -m bench                          the steps of every recipe beside the baseline loop, then sampling
python -m bench quality dcgan            the time that each needs to be as good
python -m bench guard dcgan SET          whether it learns as well in bfloat16
python -m bench threads                  how threads wait and how many, alone and beside a busy program
python -m bench growth                   what an image costs as the work grows
python -m bench extremes                 whether settings at their extremes train, or are refused in time
python -m bench NAME --help
"""

import importlib
import pkgutil
import sys

import bench


def main() -> None:
    """Hand over to the module that is named; without a name to the two that make the table of docs/performance.md."""
    beside = {"__main__", "busy", "baseline_loops", "peak"}  # used by others
    names = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in beside]
    if len(sys.argv) > 1 and sys.argv[1] not in names:
        print(__doc__, f"\nThere are {', '.join(names)}.", file=sys.stderr)
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    chosen = sys.argv[1:2] or ["steps", "sampling"]
    for name in chosen:
        sys.argv = [f"python -m bench {name}", *sys.argv[2:]]
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
