"""Paths in pages that may be shared: files and folders elsewhere are shown by name, without their location."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

_WHERE = re.compile(r"""(?<![\w/\\.:~+-])(?:/|[A-Za-z]:[\\/])(?:[^\s/\\'"`<>|;,()]+[/\\])+[^\s/\\'"`<>|;,()]*""")


def name_of_path(text: str) -> str:
    """An absolute path relative to the working folder, or its last part if it is elsewhere; other text unchanged."""
    if re.match(r"[A-Za-z]:[\\/]", text):
        return PureWindowsPath(text).name or text
    path, here = Path(text), Path.cwd()
    if not path.is_absolute() or path == Path(path.anchor):
        return text
    return path.relative_to(here).as_posix() if path.is_relative_to(here) and path != here else path.name


def strip_paths(value: Any, said: Callable[[str], str] | None = None) -> Any:
    """The same JSON value with its texts mapped by `said`, by default without paths of this machine."""
    said = said or without_places
    if isinstance(value, dict):
        return {key: strip_paths(part, said) for key, part in value.items()}
    if isinstance(value, list):
        return [strip_paths(part, said) for part in value]
    return said(value) if isinstance(value, str) else value


def without_places(text: str) -> str:
    """A text with absolute paths replaced as by `name_of_path`."""
    if Path(text).is_absolute() and (not re.search(r"\s", text) or os.path.exists(text)):  # not a sentence
        return name_of_path(text)
    for place in (str(Path.cwd()), str(Path.home())):  # their names may contain spaces
        if len(place) > 1:
            text = text.replace(f"{place}/", "" if place == str(Path.cwd()) else "~/")
    return _WHERE.sub(lambda match: _ended(match[0]), text)


def command_words(words: Iterable[Any], named: Callable[[str], str] = name_of_path) -> list[str]:
    """A command as it would be typed here, including values after an equals sign. named: how paths are replaced."""
    found = []
    for word in map(str, words):
        name, equals, value = word.partition("=")
        found.append(f"{name}={named(value)}" if equals else named(word))
    return found


def _ended(found: str) -> str:
    """The name of a path in a sentence, with the full stop that follows it."""
    path = found.rstrip(".:/\\")
    return name_of_path(path) + found[len(path) :].lstrip("/\\")
