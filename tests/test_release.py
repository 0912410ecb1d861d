"""`make release`, on a repository of a few files. Building is replaced: it takes a network, and seconds."""

import re
import subprocess
import zipfile

import pytest

from tools import release as tool

INIT = '"""A package."""\n\n__version__ = "0.1.0"\n'
CITATION = "cff-version: 1.2.0\nversion: 0.1.0\nlicense: Apache-2.0\n"
CHANGES = "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.1.0 - 2026-01-01\n\n- The first.\n"


def git(root, *arguments):
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """With one commit. No configuration of the machine counts, such as one by which commits are signed."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A maintainer")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "maintainer@example.org")
    files = {tool.VERSION_FILE: INIT, tool.CITATION: CITATION, tool.CHANGELOG: CHANGES, ".gitignore": "dist/\n"}
    for name, text in {**files, **dict.fromkeys(tool.NEEDED, "generated\n")}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    return tmp_path


@pytest.fixture
def lacking(monkeypatch):
    """What the wheel that is built lacks."""
    names = set()

    def build(root, version):
        wheel = root / "dist" / f"zerosum-{version}-py3-none-any.whl"
        wheel.parent.mkdir()
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in sorted((root / "zerosum").rglob("*")):
                if path.is_file() and (name := path.relative_to(root).as_posix()) not in names:
                    archive.write(path, name)
            archive.writestr(f"zerosum-{version}.dist-info/METADATA", f"Name: zerosum\nVersion: {version}\n")
        return [wheel]

    monkeypatch.setattr(tool, "build", build)
    return names


def untouched(root):
    return not git(root, "status", "--porcelain") and git(root, "log", "--format=%s") == "First\n" and not tags(root)


def tags(root):
    return git(root, "tag").split()


def test_a_release_is_a_commit_and_a_tag_with_the_version_and_its_section(repository, lacking):
    (wheel,) = tool.release(repository, "0.2.0")
    assert wheel.exists()
    assert tags(repository) == ["v0.2.0"]
    assert git(repository, "rev-parse", "v0.2.0^{commit}") == git(repository, "rev-parse", "HEAD")
    assert git(repository, "log", "--format=%s") == "Version 0.2.0\nFirst\n"
    assert not git(repository, "status", "--porcelain")
    assert '__version__ = "0.2.0"\n' in (repository / tool.VERSION_FILE).read_text()
    citation = (repository / tool.CITATION).read_text()
    (date,) = re.findall(r"^version: 0\.2\.0\ndate-released: (\d{4}-\d\d-\d\d)$", citation, re.MULTILINE)
    changes = (repository / tool.CHANGELOG).read_text()
    assert changes == CHANGES.replace("## Unreleased\n", f"## Unreleased\n\n## 0.2.0 - {date}\n")


def test_a_second_release_follows_the_first(repository, lacking):
    tool.release(repository, "0.2.0")
    with pytest.raises(SystemExit, match="nothing under"):
        tool.release(repository, "0.3.0")
    path = repository / tool.CHANGELOG
    path.write_text(path.read_text().replace("## Unreleased\n", "## Unreleased\n\n- Another thing.\n", 1))
    git(repository, "commit", "--all", "--quiet", "--message", "Another thing")
    (repository / "dist/zerosum-0.2.0-py3-none-any.whl").unlink()
    (repository / "dist").rmdir()
    tool.release(repository, "0.3.0")
    assert tags(repository) == ["v0.2.0", "v0.3.0"]
    assert (repository / tool.CITATION).read_text().count("date-released") == 1


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "0.2", "v0.2.0", "0.02.0", "next"])
def test_only_a_newer_version_is_taken(repository, lacking, version):
    with pytest.raises(SystemExit, match=f"{re.escape(version)}.* is not (newer|written|a version)"):
        tool.release(repository, version)
    assert untouched(repository)


@pytest.mark.parametrize("name", ["new.txt", tool.CHANGELOG])
def test_a_tree_with_changes_is_refused(repository, lacking, name):
    with open(repository / name, "a") as file:
        file.write("- more\n")
    with pytest.raises(SystemExit, match=name):
        tool.release(repository, "0.2.0")
    assert not tags(repository)


@pytest.mark.parametrize("changes", ["# Changelog\n\n## 0.1.0\n\n- x\n", CHANGES.replace("- A thing.\n", "")])
def test_a_changelog_without_entries_is_refused(repository, lacking, changes):
    texts = {tool.VERSION_FILE: INIT, tool.CITATION: CITATION, tool.CHANGELOG: changes}
    with pytest.raises(SystemExit, match="nothing under"):
        tool.with_version(texts, "0.2.0", "2026-01-02")


@pytest.mark.parametrize("name", [*tool.NEEDED, tool.VERSION_FILE])
def test_a_wheel_that_lacks_a_file_of_the_package_is_no_release(repository, lacking, name):
    lacking.add(name)
    with pytest.raises(SystemExit, match=f"lacks {name}"):
        tool.release(repository, "0.2.0")
    assert untouched(repository)


def test_a_tag_that_is_there_is_not_moved(repository, lacking):
    git(repository, "tag", "v0.2.0")
    with pytest.raises(SystemExit, match=r"tag v0\.2\.0 already"):
        tool.release(repository, "0.2.0")
    assert git(repository, "log", "--format=%s") == "First\n"


def test_what_a_build_that_fails_leaves_is_as_it_was(repository, monkeypatch):
    monkeypatch.setattr(tool.subprocess, "run", failing_build(subprocess.run))
    with pytest.raises(SystemExit, match="build failed"):
        tool.release(repository, "0.2.0")
    assert untouched(repository)


def failing_build(run):
    def replaced(command, **options):
        if "build" in command:
            return subprocess.CompletedProcess(command, 1)
        return run(command, **options)

    return replaced


def test_the_files_of_this_repository_can_be_released():
    """The lines that a release changes are there, once."""
    root = tool.Path(__file__).parent.parent
    texts = {name: (root / name).read_text("utf-8") for name in (tool.VERSION_FILE, tool.CITATION, tool.CHANGELOG)}
    if "\n- " not in texts[tool.CHANGELOG].partition("## Unreleased")[2].partition("\n## ")[0]:
        texts[tool.CHANGELOG] = CHANGES  # just released
    changed = tool.with_version(texts, "99.0.0", "2026-01-02")
    assert all("99.0.0" in text for text in changed.values())
    assert all((root / name).exists() for name in tool.NEEDED)
