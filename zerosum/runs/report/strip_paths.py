"""What a page that travels says of places: of files and folders elsewhere their name, and not where they lie."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

_WHERE = re.compile(r"""(?<![\w/\\.:~+-])(?:/|[A-Za-z]:[\\/])(?:[^\s/\\'"`<>|;,()]+[/\\])+[^\s/\\'"`<>|;,()]*""")


def name_of_path(text: str) -> str:
    """An absolute path as commands name it from here, or by its last part where it lies elsewhere; other text as it
    is."""
    if re.match(r"[A-Za-z]:[\\/]", text):
        return PureWindowsPath(text).name or text
    path, here = Path(text), Path.cwd()
    if not path.is_absolute() or path == Path(path.anchor):
        return text
    return path.relative_to(here).as_posix() if path.is_relative_to(here) and path != here else path.name


def strip_paths(value: Any, said: Callable[[str], str] | None = None) -> Any:
    """The same JSON value, its texts as `said` has them, by default without the places of this machine."""
    said = said or without_places
    if isinstance(value, dict):
        return {key: strip_paths(part, said) for key, part in value.items()}
    if isinstance(value, list):
        return [strip_paths(part, said) for part in value]
    return said(value) if isinstance(value, str) else value


def without_places(text: str) -> str:
    """A text whose absolute paths are named as `name_of_path` does."""
    if Path(text).is_absolute() and (not re.search(r"\s", text) or os.path.exists(text)):  # no sentence
        return name_of_path(text)
    for place in (str(Path.cwd()), str(Path.home())):  # their names may have spaces
        if len(place) > 1:
            text = text.replace(f"{place}/", "" if place == str(Path.cwd()) else "~/")
    return _WHERE.sub(lambda match: _ended(match[0]), text)


def command_words(words: Iterable[Any], named: Callable[[str], str] = name_of_path) -> list[str]:
    """A command as it would be typed here, also values behind an equals sign. named: what paths are called."""
    found = []
    for word in map(str, words):
        name, equals, value = word.partition("=")
        found.append(f"{name}={named(value)}" if equals else named(word))
    return found


def _ended(found: str) -> str:
    """The name of a path in a sentence, with the point behind it."""
    path = found.rstrip(".:/\\")
    return name_of_path(path) + found[len(path) :].lstrip("/\\")
