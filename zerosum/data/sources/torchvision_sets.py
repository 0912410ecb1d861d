"""`torchvision:NAME`: data sets that torchvision can download."""

import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any

from PIL import Image

from zerosum.data.records import NoTestPart, Record, Source, printable
from zerosum.data.settings import Part
from zerosum.utils.cache import cache_folder
from zerosum.utils.errors import DataError

_VALIDATED = ("Imagenette", "Places365")  # the held-out part with labels has this name


def torchvision_source(text: str, part: Part = "train") -> Source:
    """A part of a torchvision data set, downloaded into the cache if it is not there yet."""
    dataset = _load(text, text.removeprefix("torchvision:"), part)
    first = dataset[0] if len(dataset) else None
    if not isinstance(first, tuple) or not isinstance(first[0], Image.Image):
        raise DataError(f"{text} does not consist of single images, so it cannot be packed.")
    classes = _classes(dataset)

    def records() -> Iterator[Record]:
        for index in range(len(dataset)):
            image, target = dataset[index]  # not in worker threads: not every torchvision data set is thread-safe
            yield Record(str(index), classes[int(target)] if classes else None, partial(_itself, image))

    import torchvision

    return Source(text, f"{text} {torchvision.__version__} {len(dataset)}", len(dataset), records, classes)


def _load(text: str, name: str, part: Part) -> Any:
    from torchvision import datasets  # importing it takes half a second, and imports torch

    usable = {
        known: {"root": str(cache_folder() / "torchvision"), "download": True}
        for known in datasets.__all__
        if {"root", "download"} <= set(inspect.signature(getattr(datasets, known)).parameters)
    } | {"FakeData": {}}
    if name not in usable:
        lower = {known.lower(): known for known in usable}
        near = get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
        hint = f" Did you mean torchvision:{lower[near[0]]}?" if near else ""
        raise DataError(f"torchvision has no downloadable data set {name!r}.{hint}")
    kind = getattr(datasets, name)
    chosen = {} if part == "train" else _test_argument(text, name, kind)
    try:
        return kind(**usable[name], **chosen)
    except TypeError as error:
        raise DataError(f"{text} needs further arguments: {error}. Save it as a folder of images instead.") from error
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        files = "its four files, train-images-idx3-ubyte.gz and so on," if "MNIST" in name else "the set"
        raise DataError(
            f"{text} could not be downloaded ({reason}). Without a network, copy {files} into a folder "
            f"and pass that as DATA, or use builtin:portraits. torchvision's folder is {usable[name].get('root')}."
        ) from error


def _test_argument(text: str, name: str, kind: Any) -> dict[str, Any]:
    """The argument that selects the test part of a set. Raises NoTestPart before anything is downloaded."""
    known = inspect.signature(kind).parameters
    if "train" in known:
        return {"train": False}
    # If the default is the whole set (LFWPeople) and not a training part, the run was trained on all of it.
    if "split" in known and str(known["split"].default).startswith("train"):
        return {"split": "val" if name in _VALIDATED else "test"}
    raise NoTestPart(f"{text} has no test part: torchvision offers neither train=False nor split='test' for it.")


def _classes(dataset: Any) -> tuple[str, ...]:
    """The class names; numbers if it has no names; empty if the targets are not classes."""
    if not isinstance(dataset[0][1], int):
        return ()
    names = getattr(dataset, "classes", None)
    if names is None:
        count = getattr(dataset, "num_classes", None)
        known = getattr(dataset, "targets", getattr(dataset, "labels", ()))
        names = range(count if count is not None else 1 + max(map(int, known), default=-1))
    return tuple(printable(str(name)) for name in names)


def _itself(image: Image.Image) -> Image.Image:
    return image
