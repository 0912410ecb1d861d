"""Whether samples are far from the data, said by page and report in a sentence."""

import json

import pytest

from tests.runs.report.made_run import make_run
from zerosum.runs.report.convergence import unconverged_score
from zerosum.runs.report.page import asset, gather


def scored(images, value, floor=0.7, reference=20.0):
    name = "eval/fd2k@random"
    return {
        "images": images,
        name: value,
        "floor": {name: floor, "eval/kid2k@random": 0.0},
        "reference": {name: reference},
    }


@pytest.mark.parametrize(
    ("lines", "images", "value"),
    [
        ([scored(1000, 8.9)], None, 8.9),
        ([scored(1000, 8.9), scored(2000, 3.0)], None, None),  # better than a quarter of the reference
        ([scored(1000, 8.9), scored(2000, 3.0)], 1000, 8.9),
        ([scored(1000, 2.0, reference=4.0)], None, None),  # within three times the floor
        ([{"images": 1000, "eval/fd2k@random": 9.0}, {"images": 1000, "kind": "generator", "floor": []}], None, None),
        ([], None, None),
    ],
)
def test_far_is_many_floors_and_no_small_part_of_one_unvarying_sample(lines, images, value):
    found = unconverged_score(lines, images)
    assert found == (None if value is None else {"score": "fd2k@random", "value": value, "floor": 0.7})


def test_the_report_has_the_sentence_in_both_languages_and_follows_a_run(tmp_path):
    run = make_run(tmp_path / "run", lines=10, sheets=2, last_event="resume")
    (run / "evaluation.jsonl").write_text(json.dumps(scored(200_000, 8.9)) + "\n")
    data = gather(run)
    assert (data["state"], data["far"]["value"]) == ("running", 8.9)
    words = json.loads(asset("words.json"))
    assert all("{value}" in sentence and "{floor}" in sentence for sentence in words["far"])
    assert "location.reload()" in asset("page.js")


def test_logarithms_have_one_name():
    for name in ("words.json", "page.js"):
        assert "ln " not in asset(name).replace("uPln", "")
        assert "−ln" not in asset(name)
