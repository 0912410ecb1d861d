"""What all tests share: little parallelism, a cache of their own, small real data."""

import os
import sys
from collections import Counter
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.warm import Server
from zerosum.cli.main import main
from zerosum.engine.autotune import precision as choice
from zerosum.export import onnx_file
from zerosum.training import plan as planning
from zerosum.training import trial

torch.set_num_threads(1)

# No example fails for being slow, since other programs may have the machine; CI tries the same examples each time.
settings.register_profile(
    "zerosum",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("zerosum")


def pytest_collection_modifyitems(items):
    """Of several processes none is left alone with a slow file at the end: those come first that take long by the
    number of their tests, of which a slow one counts as many."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    work = Counter()
    for item in items:
        work[item.path] += 20 if item.get_closest_marker("slow") else 3 if item.get_closest_marker("browser") else 1
    items.sort(key=lambda item: -work[item.path])


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory):
    """Packed data goes to a temporary folder, in this process and in those that tests start."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("ZEROSUM_CACHE")
    os.environ["ZEROSUM_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["ZEROSUM_CACHE"]
    else:
        os.environ["ZEROSUM_CACHE"] = before


@pytest.fixture(autouse=True, scope="session")
def shapes_are_tried_once():
    """A step on shapes alone depends on the recipe, its settings and the form of the data; what worked once is not
    tried again, which would be a third of the time of short trainings. test_trial.py calls the step itself."""
    tried, counted = set(), {}
    trial_step, convolutions = planning.trial_step, choice.convolutions

    def work(build, settings, info):
        late = settings.goal(info.count, len(info.classes)) if hasattr(settings, "growth") else 0
        values = settings.model_dump_json(exclude=set(trial.ELSEWHERE))
        return build, values, late, trial.form(info)

    def try_once(recipe, settings, info):
        key = work(recipe.build, settings, info)
        if key not in tried:
            trial_step(recipe, settings, info)
            tried.add(key)

    def count_once(build, draw):
        if not (isinstance(build, partial) and isinstance(draw, partial)):
            return convolutions(build, draw)
        key = work(build.func, *build.args)
        if key not in counted:
            counted[key] = convolutions(build, draw)
        return counted[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(planning, "trial_step", try_once)
        patched.setattr(choice, "convolutions", count_once)
        yield


@pytest.fixture(autouse=True, scope="session")
def operators_are_listed_once():
    """Each conversion to ONNX lists all operators of torch and onnxscript anew, which takes longer than the conversion
    of a small network; here they are listed once a process. Another version of torch may do without."""
    convert = onnx_file._converted

    @cache
    def lists():
        export_utils = import_module("torch._export.utils")
        registry = import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
        name = "_collect_all_valid_cia_ops_for_namespace"
        return [
            (export_utils, name, cache(getattr(export_utils, name))),
            (registry, "from_torchlib", staticmethod(cache(registry.from_torchlib))),
        ]

    def convert_with_lists(graph):
        with pytest.MonkeyPatch.context() as patched:
            with suppress(ImportError, AttributeError):
                for patch in lists():
                    patched.setattr(*patch)
            return convert(graph)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnx_file, "_converted", convert_with_lists)
        yield


@pytest.fixture
def untried(monkeypatch):
    """Nothing is tried on shapes before training: for files in which training itself would find what does not fit, or
    plans are about something else. tests/recipes/test_recipes.py tries every recipe."""
    monkeypatch.setattr(planning, "trial_step", lambda *asked: None)
    monkeypatch.setattr(choice, "convolutions", lambda *asked: Counter())


@pytest.fixture
def command(capsys, monkeypatch):
    """The command `zerosum` in this process, which saves the seconds that importing torch takes: a function of its
    arguments that returns the exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["zerosum", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def warm():
    """What starts processes that need not import torch (tests/warm.py)."""
    with Server() as server:
        yield server


@pytest.fixture
def start(warm):
    """Starts the command in a process of its own, as `tests.warm.Process` says; a function of its arguments."""
    started = []

    def start(*arguments, **options):
        started.append(warm.start(*arguments, **options))
        return started[-1]

    yield start
    for process in started:
        process.close()  # one that is late must not train on beside the tests that follow


@pytest.fixture(scope="session")
def pictures_file(tmp_path_factory) -> Path:
    """256 gray pictures of 8 x 8 pixels (a bright square somewhere), as an .npy file."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (256, 8, 8, 1), dtype=np.uint8)
    for image, (y, x) in zip(images, rng.integers(0, 5, (256, 2)), strict=True):
        image[y : y + 3, x : x + 3] = 230
    path = tmp_path_factory.mktemp("data") / "squares.npy"
    np.save(path, images)
    return path
