"""Whether settings at their extremes train, or are refused before the data is read.

    python -m bench.extremes                      40 settings of each recipe, drawn at random
    python -m bench.extremes --only cut --all     every setting of a recipe at each of its extremes, in 2 to 9 minutes

Each case is a small network of a recipe with one setting at an extreme: it is planned as `train --dry-run` does, then
trained for one step. Reported are exceptions that are no error for users, what is refused only after the plan has been
accepted, and what takes longer than 20 seconds of one processor. Exit code 1 when there are any.
"""

import argparse
import random
import signal
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

import zerosum
from bench.same import NARROW
from zerosum.recipes.registry import Recipe, get_recipe, list_recipes
from zerosum.training.plan import plan
from zerosum.utils.errors import DivergedError, ZerosumError

EVERY = ["batch=8", "size=16", "every.sample=1000000", "every.checkpoint=1000000"]
SLOW = 20  # seconds of one processor
LATE = 600  # seconds
SAMPLED = 40
EXTREMES = {
    bool: ["true", "false"],
    int: ["0", "1", "2", "3", "7", "30", "-1"],
    float: ["0", "1e-12", "0.5", "1", "1e6", "-1", "1e300", ".nan", ".inf"],
    str: ["", "x", "auto", "none", "0"],
    tuple: ["[]", "[0]", "[1]", "[2,3,5]", "[1000]", "[-1]", "[x]"],
    type(None): ["null"],
}


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting with its type."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, kind


def extremes(kind: Any) -> list[str]:
    """Values at the border of what a type allows, and beyond, as text."""
    origin = get_origin(kind)
    if origin is Annotated:
        return extremes(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [value for part in get_args(kind) for value in extremes(part)]
    if origin is Literal:
        return [str(value) for value in get_args(kind)]
    return EXTREMES.get(origin or kind, [])


def cases(recipe: Recipe) -> list[str]:
    """One setting of a recipe at an extreme: its presets, then each of its settings."""
    found = [f"preset={name}" for name in recipe.presets]
    return found + [
        f"{key}={value}" for key, kind in leaves(recipe.settings) for value in dict.fromkeys(extremes(kind))
    ]


def problem(name: str, case: str, folder: Path) -> str:
    """What is wrong with a case, or an empty string."""
    key = case.split("=")[0]
    data = "builtin:portraits:64"
    unscored = ["score.images=0"] if "score" in get_recipe(name).settings.model_fields else []
    usual = [*EVERY, *unscored, *NARROW.get(name, [])]
    overrides = [one for one in usual if one.split("=")[0] != key] + [case]
    started, planned = time.process_time(), False
    signal.alarm(LATE)
    try:
        plan(name, data, steps=1, overrides=overrides)
        planned = True
        zerosum.train(name, data, steps=1, out=folder / "run", overrides=overrides, listeners=[], threads=1)
    except DivergedError:
        pass  # as a rate of 1e300 should
    except ZerosumError as error:
        if planned and not isinstance(error.__cause__, OSError):  # weights that could not be fetched
            return f"refused after the plan: {error}"
    except Exception as error:
        return f"{type(error).__name__} {'in training' if planned else 'in the plan'}: {error}"
    finally:
        signal.alarm(0)
    seconds = time.process_time() - started
    return f"took {seconds:.0f} seconds" if seconds > SLOW else ""


def _late(*arguments: Any) -> None:
    raise TimeoutError(f"not done after {LATE} seconds")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="recipes, with commas between them")
    parser.add_argument("--all", action="store_true", help="all cases instead of a sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    chosen = parser.parse_args()
    names = chosen.only.split(",") if chosen.only else [recipe.name for recipe in list_recipes()]
    signal.signal(signal.SIGALRM, _late)
    count = failed = 0
    for name in names:
        started, every = time.monotonic(), cases(get_recipe(name))
        drawn = every if chosen.all else random.Random(chosen.seed).sample(every, min(SAMPLED, len(every)))
        for case in drawn:
            with tempfile.TemporaryDirectory() as folder:
                wrong = problem(name, case, Path(folder))
            if wrong:
                print(f"{name} {case}: {wrong}", flush=True)
            count, failed = count + 1, failed + bool(wrong)
        print(f"{name}: {len(drawn)} cases in {time.monotonic() - started:.0f} seconds", flush=True)
    print(f"{count} cases; {failed} are wrong.")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
