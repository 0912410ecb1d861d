"""Tasks of trained networks, and registries by which each part of the package finds its own module for a task."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Generic, TypeVar

from zerosum.utils.errors import ConfigError

T = TypeVar("T")


_TASKS: "dict[str, Task]" = {}


@dataclass(frozen=True)
class Task:
    """The task of a trained network.

    name: in `config.yaml`, in exported folders and as `zerosum.load(task=)`. unit: the elements of a data set, image or
    pair. pairs: whether it learns from pairs of images. holds_out: whether images are held out of training for scores.
    every_value: whether its sheets show each image at every value of a condition. wrong_conditions: whether real images
    with a wrong condition are fakes for its discriminator. from_data: whether its conditions are properties of the
    images, such as classes, rather than a choice such as a direction."""

    name: str
    unit: str = "image"
    pairs: bool = False
    holds_out: bool = True
    every_value: bool = False
    wrong_conditions: bool = False
    from_data: bool = True

    def __post_init__(self) -> None:
        """Register the task for `task_named`."""
        _TASKS[self.name] = self

    def __str__(self) -> str:
        """Its name."""
        return self.name


GENERATION = Task("generate", holds_out=False)
CLASSIFICATION = Task("classify")
TRANSLATION = Task("translate", unit="pair", pairs=True)
UNPAIRED = Task("translate-unpaired", from_data=False)
ATTRIBUTE_EDITING = Task("change", every_value=True, wrong_conditions=True)


def task_named(name: str) -> Task:
    """The task with this name in `config.yaml`; generation for an unknown name in an edited file."""
    return _TASKS.get(name, GENERATION)


class ByTask(Generic[T]):
    """A registry by task of one package: its modules register values, and are imported on first lookup.

    A new task is then a new module in each package with such a registry, without changes elsewhere."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._of: dict[Task, T] = {}

    def add(self, task: Task, what: T) -> None:
        """Register a value for a task."""
        self._of[task] = what

    def __getitem__(self, task: Task) -> T:
        """The value for a task. Raises KeyError if no module of the package registers one."""
        if task not in self._of:
            self._import()
        return self._of[task]

    def named(self, name: str) -> T:
        """The value for the task of this name. Raises ConfigError that lists the names."""
        self._import()
        known = {task.name: what for task, what in self._of.items()}
        if name not in known:
            raise ConfigError(f"There is no task {name!r}; there are {', '.join(sorted(known))}.")
        return known[name]

    def _import(self) -> None:
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
