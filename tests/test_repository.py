"""The files at the root that other programs read: citation, pre-commit hooks, issue forms."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import zerosum
from tools import oldest

ROOT = Path(zerosum.__file__).parent.parent


def parsed(name):
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_citation_agrees_with_the_package():
    """The keys that version 1.2.0 of the format requires, and nothing that the package says otherwise."""
    citation = parsed("CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["authors"]
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    assert (citation["title"], citation["version"]) == ("zerosum", zerosum.__version__)
    assert (citation["license"], citation["keywords"]) == (project["license"], project["keywords"])
    assert citation["abstract"] == project["description"]


def test_hooks_run_what_make_lint_runs_and_fetch_nothing():
    repos = parsed(".pre-commit-config.yaml")["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    (lint,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert [hook["entry"].replace(" --force-exclude", " .") for hook in hooks] == [
        line.strip().replace("$(BIN)", ".venv/bin") for line in lint.splitlines()
    ]


def test_the_oldest_versions_are_those_that_pyproject_allows():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert (ROOT / "constraints-oldest.txt").read_text("utf-8") == oldest.constraints(text)
    with pytest.raises(SystemExit, match=r"'numpy' has no lowest version; write it as numpy>=VERSION"):
        oldest.constraints('[project]\nname = "x"\ndependencies = ["numpy"]')


def test_development_has_one_version_of_each_tool():
    """What `make coverage` and the others install is named in constraints.txt."""
    named = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()[1:]}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    tools = {one.lower() for one in extras["dev"] if not one.startswith("zerosum")}
    assert tools <= named
    assert {"coverage", "pytest-cov"} <= named


FORMS = sorted(path.name for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


@pytest.mark.parametrize("name", FORMS)
def test_an_issue_form_is_one_that_can_be_shown(name):
    """What the site requires of a form: else it shows an empty issue in its place."""
    form = parsed(f".github/ISSUE_TEMPLATE/{name}")
    assert {"name", "description", "body"} <= set(form)
    assert {field["type"] for field in form["body"]} <= {"textarea", "input", "dropdown", "checkboxes", "markdown"}
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names)
    assert all(field["attributes"]["label"] for field in form["body"])
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_a_bug_comes_with_what_it_takes_to_repeat_it():
    fields = {field["id"]: field for field in parsed(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    required = {name for name, field in fields.items() if field.get("validations", {}).get("required")}
    assert {"typed", "happened", "doctor"} <= required
    assert "zerosum doctor --json" in fields["doctor"]["attributes"]["label"]
    assert FORMS == ["bug.yml", "feature.yml"]
