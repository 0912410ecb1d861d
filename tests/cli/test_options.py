"""What is given twice, beyond what there is, or would write over something: said, with the remedy."""

import numpy as np
import pytest
import typer
from PIL import Image

from zerosum.cli.main import app
from zerosum.cli.sample import parse_seeds
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import atomic_file, atomic_folder, refuse_to_replace, write_atomic


def commands(group, before=()):
    """Every command by the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", list(COMMANDS), ids=" ".join)
def test_an_option_of_one_value_is_given_once(words, command, tmp_path, monkeypatch):
    """Of two labels the first was dropped without a word."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUN", "dcgan"):
        (tmp_path / name).mkdir()
    for option in COMMANDS[words].params:
        if option.param_type_name != "option" or option.is_flag or option.multiple:
            continue
        name = max(option.opts, key=len)
        run = [words[0], "RUN", *words[1:]] if len(words) > 1 else words
        code, _, error = command(*run, "dcgan", name, "1", name, "2")
        assert (code, f"{name} is given twice; give it once" in error) == (2, True), (words, name, error)
        break  # the rule is that of the class; one option shows that the command has it


def test_options_of_several_values_and_flags_may_be_repeated(command, tmp_path):
    _, _, error = command("explore", tmp_path, "arithmetic", "--plus", "1", "--plus", "2", "--json", "--json")
    assert "is not a run folder" in error


@pytest.mark.parametrize("text", ["1,1,1", "0-3,2"])
def test_seeds_that_stand_twice_are_named(text, command, tmp_path):
    code, _, error = command("sample", tmp_path, "--seeds", text)
    assert (code, f"seeds is '{text}'" in error, "name it once" in error) == (2, True, True)
    assert len(parse_seeds(text)) > len(set(parse_seeds(text)))  # a walk may come back to where it was


WRITERS = {
    "sample": ["sample", "NOWHERE"],
    "a walk": ["explore", "NOWHERE", "walk", "--seeds", "1,2"],
    "arithmetic": ["explore", "NOWHERE", "arithmetic", "--plus", "1"],
    "project": ["explore", "NOWHERE", "project", "picture.png"],
    "directions": ["explore", "NOWHERE", "directions"],
    "compare": ["compare", "NOWHERE"],
}


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_what_is_there_is_not_written_over(words, command, tmp_path, monkeypatch):
    """A folder of photographs was filled with samples, and a picture replaced."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "NOWHERE"):  # a folder, and no run
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "photos" / "mine.png")
    before = (tmp_path / "photos" / "mine.png").read_bytes()
    for out in (tmp_path / "photos", tmp_path / "photos" / "mine.png"):
        code, _, error = command(*words, "--out", out)
        assert (code, "--overwrite" in error, str(out) in error) == (2, True, True)
        code, _, error = command(*words, "--out", out, "--overwrite")
        assert "already" not in error  # and goes on to what else is wrong
    assert (tmp_path / "photos" / "mine.png").read_bytes() == before


def test_an_empty_folder_and_what_is_hidden_are_in_nobodys_way(tmp_path):
    (tmp_path / ".DS_Store").write_text("")
    refuse_to_replace(tmp_path)
    refuse_to_replace(tmp_path / "new")
    (tmp_path / "a").write_text("")
    with pytest.raises(ConfigError, match="holds 1 file or folder already"):
        refuse_to_replace(tmp_path)


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".png"])
def test_names_as_long_as_a_disk_takes_are_written(name, tmp_path):
    """The temporary file beside one of 246 characters had a name that no disk takes."""
    write_atomic(tmp_path / name, "1")
    assert (tmp_path / name).read_text() == "1"
    with atomic_file(tmp_path / name) as temporary:
        temporary.write_text("2")
    assert (tmp_path / name).read_text() == "2"
    with atomic_folder(tmp_path / name.replace(".png", ".zs1")) as folder:
        (folder / "a").write_text("")
    assert len(list(tmp_path.iterdir())) == 2
