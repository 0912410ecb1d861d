"""Make a release: set the version, build, check, commit and tag. Nothing is pushed or uploaded.

make release VERSION=0.2.0        the same as  python -m tools.release 0.2.0
"""

import argparse
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

VERSION_FILE, CITATION, CHANGELOG = "zerosum/__init__.py", "CITATION.cff", "CHANGELOG.md"
NEEDED = ("zerosum/export/app/page.html", "zerosum/export/app/app.js", "zerosum/recipes/catalog.json")
"""What is generated and committed: without it exports and `--help` would be broken."""


def release(root: Path, version: str) -> list[Path]:
    """Commit and tag `version` in the repository at `root`; returns the files built, in `dist/`.

    Raises SystemExit, which names the reason, before anything is changed, or with every file as it was when the build
    fails or lacks something."""
    refuse_dirty(root)
    texts = {name: (root / name).read_text("utf-8") for name in (VERSION_FILE, CITATION, CHANGELOG)}
    changed = with_version(texts, version, f"{datetime.now(UTC):%Y-%m-%d}")
    tag = f"v{version}"
    if git(root, "tag", "--list", tag):
        raise SystemExit(f"There is a tag {tag} already. Give another version, or delete the tag: git tag -d {tag}")
    with restored_on_failure(root, texts):
        for name, text in changed.items():
            (root / name).write_text(text, "utf-8")
        built = build(root, version)
        check_wheel(root, next(path for path in built if path.suffix == ".whl"), version)
        git(root, "commit", "--quiet", "--message", f"Version {version}", "--", *changed)
    git(root, "tag", "--annotate", tag, "--message", f"zerosum {version}")
    return built


def git(root: Path, *arguments: str) -> str:
    """What git prints. Raises SystemExit with its error."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {arguments[0]} failed in {root}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def refuse_dirty(root: Path) -> None:
    """Raises SystemExit unless all there is has been committed: a release is what its tag says."""
    if changes := git(root, "status", "--porcelain"):
        raise SystemExit(
            f"The working tree has changes that are not committed:\n{changes}\nCommit or remove them first."
        )


def with_version(texts: Mapping[str, str], version: str, date: str) -> dict[str, str]:
    """The texts of VERSION_FILE, CITATION and CHANGELOG for a release of that date (YYYY-MM-DD).

    Raises SystemExit for a version that is not newer, or a changelog that says nothing of it."""
    current = re.search(r'^__version__ = "(.+)"$', texts[VERSION_FILE], re.MULTILINE)
    if current is None:
        raise SystemExit(f"{VERSION_FILE} has no line __version__ = ...")
    refuse_old(version, current[1])
    citation = re.sub(r"^date-released: .*\n", "", texts[CITATION], flags=re.MULTILINE)
    return {
        VERSION_FILE: replaced(texts[VERSION_FILE], re.escape(current[0]), f'__version__ = "{version}"', VERSION_FILE),
        CITATION: replaced(citation, r"version: .+", f"version: {version}\ndate-released: {date}", CITATION),
        CHANGELOG: with_section(texts[CHANGELOG], version, date),
    }


def refuse_old(version: str, current: str) -> None:
    """Raises SystemExit for what is no version, is not written as packages write it, or is not newer."""
    try:
        new = Version(version)
    except InvalidVersion:
        raise SystemExit(f"{version!r} is not a version. Give one such as 0.2.0.") from None
    if str(new) != version or len(new.release) != 3:
        raise SystemExit(f"{version!r} is not written as major.minor.patch, such as 0.2.0.")
    if new <= Version(current):
        raise SystemExit(f"{version} is not newer than {current}, the version of {VERSION_FILE}.")


def with_section(changelog: str, version: str, date: str) -> str:
    """The changelog with what is under "Unreleased" under the version. Raises SystemExit when that is nothing."""
    if re.search(rf"^## {re.escape(version)}(?: |$)", changelog, re.MULTILINE):
        raise SystemExit(f"{CHANGELOG} has a section {version} already.")
    found = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not re.search(r"^(?:[-*]|\w)", found[1], re.MULTILINE):
        raise SystemExit(f'{CHANGELOG} has nothing under "## Unreleased". Write there what a user can notice.')
    start, end = found.span()
    return f"{changelog[:start]}## Unreleased\n\n## {version} - {date}\n{found[1]}{changelog[end:]}"


def replaced(text: str, pattern: str, line: str, name: str) -> str:
    """The text with the one line that matches replaced. Raises SystemExit when there is none, or several."""
    changed, count = re.subn(rf"^{pattern}$", line, text, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{name} has {count} lines with a version; it should have one.")
    return changed


@contextmanager
def restored_on_failure(root: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Write these texts back when the block fails or is interrupted."""
    try:
        yield
    except BaseException:
        for name, text in texts.items():
            (root / name).write_text(text, "utf-8")
        raise


def build(root: Path, version: str) -> list[Path]:
    """The source distribution and the wheel, in `dist/`. Raises SystemExit when they cannot be built."""
    done = subprocess.run([sys.executable, "-m", "build", "--outdir", "dist"], cwd=root)
    if done.returncode:
        raise SystemExit("python -m build failed (above). It needs `pip install build`, and a network for hatchling.")
    return [root / "dist" / f"zerosum-{version}{ending}" for ending in (".tar.gz", "-py3-none-any.whl")]


def check_wheel(root: Path, wheel: Path, version: str) -> None:
    """Raises SystemExit unless the wheel has that version and every committed file of the package, and among these the
    page, its program and the catalog."""
    committed = git(root, "ls-files", "-z", "zerosum").split("\0")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"zerosum-{version}.dist-info/METADATA").decode()
    if missing := sorted({*NEEDED, *filter(None, committed)} - names):
        raise SystemExit(f"{wheel.name} lacks {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}.")
    if f"Version: {version}" not in metadata.splitlines():
        raise SystemExit(f"{wheel.name} does not say that its version is {version}.")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__.partition("\n")[0])
    parser.add_argument("version", help="the new version, such as 0.2.0")
    version = parser.parse_args().version
    root = Path(git(Path.cwd(), "rev-parse", "--show-toplevel"))
    for path in release(root, version):
        print(f"Built {path.relative_to(root)}")
    print(
        f"Committed and tagged v{version}. Nothing was published: git push --follow-tags, and upload dist/, when ready."
    )


if __name__ == "__main__":
    main()
