"""The report: what it gathers from a run folder, what it refuses to run, and what a reader can do with it."""

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.runs.report.made_run import make_changer, make_few, make_run, say_more
from zerosum.models import sample_sheets as show
from zerosum.runs.report import page
from zerosum.runs.report.page import (
    MOST_COLUMNS,
    MOST_FRAMES,
    MOST_ROWS,
    Row,
    asset,
    evenly,
    gather,
    inert,
    thinned,
    with_derived,
    write_report,
)
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.utils.errors import ConfigError

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 240_000  # milliseconds that the browser may take for anything, on a machine that has other work
LN2 = 0.693147
FRAMES_UNTIL_IT_FITS = """async width => {
  for (let frame = 0; frame < 600 && document.documentElement.scrollWidth > width; frame++)
    await new Promise(requestAnimationFrame);
  return document.documentElement.scrollWidth;
}"""
AGES = {"0-10": 38, "11-20": 69, "21-40": 134, "41-60": 135, "61+": 224}
HAIR = {"auburn": 250, "black": 480, "rose": 140}
TAGS = {f"a long name of hair, {n}": 100 + n for n in range(34)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "portraits")


@pytest.fixture(scope="module")
def report(run: Path) -> str:
    return write_report(run).read_text("utf-8")


def data_of(report: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', report, re.S)[1])


def test_the_page_holds_what_the_run_folder_says(report: str) -> None:
    data = data_of(report)
    assert (data["recipe"], data["source"], data["state"]) == ("dcgan", "builtin:portraits", "done")
    assert data["images"] == 200_000
    assert data["seconds"] == pytest.approx(200_000 / 411, abs=0.01)
    assert [frame["images"] for frame in data["frames"]][:2] == [0, 18182]
    assert data["reals"]["width"] == 8 * (64 + 2) + 2
    assert [finding["finding"] for finding in data["findings"]] == ["discriminator-winning"]
    assert data["checkpoints"] == {"names": ["000100000", "000200000"], "latest": "000200000"}
    assert data["environment"]["versions"]["torch"] == "2.14.1"
    assert data["environment"]["command"] == "zerosum train dcgan builtin:portraits --out runs/portraits"
    assert "schema" not in data["config"]
    assert data["config"]["settings"]["optimizer"]["lr"] == 2e-4


def test_the_torn_last_line_is_ignored_and_null_is_a_gap(report: str) -> None:
    stats = data_of(report)["stats"]
    assert {len(column) for column in stats.values()} == {200}
    assert stats["images"][-1] == 200_000
    assert stats["grad/generator"][6] is None
    assert stats["grad/generator"][7] > 0
    assert sum(value is not None for value in stats["health/diversity"]) == 20


def test_surprise_and_value_are_those_of_the_paper_also_where_the_code_halves_the_loss() -> None:
    row = {
        "images": 64,
        "loss/discriminator/real": LN2,
        "loss/discriminator/fake": LN2,
        "loss/generator/adversarial": 1.0,
    }
    (whole,) = with_derived([dict(row)], {"loss": "minimax"})
    assert whole["value"] == pytest.approx(-1.386294, abs=1e-5)
    assert whole["surprise/fake"] == pytest.approx(LN2)
    assert "loss/discriminator/real" not in whole
    halved = row | {"loss/discriminator/real": LN2 / 2, "loss/discriminator/fake": LN2 / 2}
    assert with_derived([halved], {"loss": "minimax", "half_discriminator_loss": True}) == [pytest.approx(whole)]
    assert with_derived([row], {"loss": "hinge"}) == [row]
    assert with_derived([halved], {"loss": "minimax", "discriminator_weight": 0.5}) == [pytest.approx(whole)]
    thrice = {"loss": "minimax", "discriminator_weight": 0.5, "discriminator": {"scales": 3}}
    summed = row | {"loss/discriminator/real": 1.5 * LN2, "loss/discriminator/fake": 1.5 * LN2}
    assert with_derived([summed], thrice) == [pytest.approx(whole)]


def test_the_judge_of_a_changer_is_surprised_at_wrong_values_too_and_its_game_has_no_value() -> None:
    judged = {"loss/discriminator/real": LN2, "loss/discriminator/fake": LN2 / 2}
    row: Row = {"images": 64, **judged, "loss/discriminator/wrong-age": 0.3, "loss/latent-discriminator/real": 0.7}
    surprises = {"surprise/real": LN2, "surprise/fake": LN2, "surprise/wrong-age": 0.6}  # the fakes' halves made whole
    kept = {"images": 64, "loss/latent-discriminator/real": 0.7}
    settings = {"loss": "non-saturating", "wrong_ages": True}
    assert with_derived([row], settings, ATTRIBUTE_EDITING) == [pytest.approx(kept | surprises)]
    plain = {key: value for key, value in row.items() if not key.endswith("wrong-age")}
    (whole,) = with_derived([plain], settings | {"wrong_ages": False}, ATTRIBUTE_EDITING)
    assert whole == pytest.approx(kept | {"surprise/real": LN2, "surprise/fake": LN2 / 2})
    assert with_derived([row], settings | {"loss": "hinge"}, ATTRIBUTE_EDITING) == [row]


def test_long_records_become_means_that_end_at_the_last_row() -> None:
    rows = [{"images": 64 * n, "a": float(n), "b": None if n % 2 else 1.0} for n in range(1, 5001)]
    short = thinned(rows, MOST_ROWS)
    assert len(short) <= MOST_ROWS
    assert short[-1]["images"] == 64 * 5000
    assert short[0]["a"] == pytest.approx(4.0)  # of rows 1 to 7
    assert short[0]["b"] == 1.0
    assert thinned(rows[:5], MOST_ROWS) == rows[:5]


def test_at_most_forty_sheets_with_the_first_and_the_last(tmp_path: Path) -> None:
    files = [tmp_path / f"{n:09d}.png" for n in range(137)]
    chosen = evenly(files, MOST_FRAMES)
    assert len(set(chosen)) == MOST_FRAMES
    assert (chosen[0], chosen[-1]) == (files[0], files[-1])
    assert chosen == sorted(chosen)
    gaps = {int(later.stem) - int(sooner.stem) for sooner, later in pairwise(chosen)}
    assert gaps <= {3, 4}


def test_pictures_stay_within_their_budget_whatever_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PICTURES_BUDGET", 300_000)
    run = make_run(tmp_path / "run", sheets=1)
    noise = Image.frombytes("RGB", (700, 700), np.random.default_rng(0).bytes(700 * 700 * 3))  # no codec can pack it
    for n in range(1, 6):
        noise.save(run / "samples" / f"{n:09d}.png", compress_level=0)
    noise.save(run / "samples" / "nearest.png", compress_level=0)
    found = page.pictures(run / "samples", vectors=False, levels={})
    contents = [
        picture_of(src) for src in (*(frame["src"] for frame in found["frames"]), found["reals"], found["nearest"])
    ]
    assert sum(map(len, contents)) <= 300_000
    assert all(200 <= Image.open(io.BytesIO(content)).width <= 700 for content in contents)
    assert found["frames"][-1]["src"]["width"] == 700  # shown at its own size, if coarser


def test_each_sheet_comes_with_the_level_of_its_moment_however_much_is_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 20)  # means over ten lines and more
    data = gather(make_run(tmp_path / "run", stable=40_000, sheets=11))
    assert {frame["images"]: frame["level"] for frame in data["frames"]} == {
        0: 2, 20_000: 2, 40_000: 2, 60_000: 2.5, 80_000: 3, 100_000: 3, 120_000: 3,
        140_000: 3.5, 160_000: 4, 180_000: 4, 200_000: 4,
    }  # fmt: skip
    assert data["stats"]["growth/level"][-1] == 4
    plain = gather(make_run(tmp_path / "plain", sheets=2))
    assert [frame["level"] for frame in plain["frames"]] == [None, None]
    assert "growth/level" not in plain["stats"]


def test_columns_are_the_first_values_of_the_first_condition(tmp_path: Path) -> None:
    data = gather(make_run(tmp_path / "run", conditions={"hair": HAIR, "glasses": {"0": 7, "1": 3}}, sheets=1))
    assert data["columns"]["values"] == ["auburn", "black", "rose"]
    assert [(asked["name"], asked["usual"]) for asked in data["conditions"]] == [("hair", "black"), ("glasses", "0")]
    many = gather(make_run(tmp_path / "many", conditions={"tag": TAGS}, sheets=1))
    assert (many["columns"]["values"], many["columns"]["count"]) == (list(TAGS)[:12], 34)
    assert len(many["conditions"][0]["values"]) == 34
    points = gather(make_run(tmp_path / "points", conditions={"class": {"0": 9, "1": 9}}, vectors=True, sheets=1))
    assert points["columns"] is None
    assert points["conditions"][0]["name"] == "class"
    plain = gather(make_run(tmp_path / "plain", sheets=1))
    assert (plain["columns"], plain["conditions"]) == (None, [])


def test_a_changer_shows_every_value_however_many(tmp_path: Path) -> None:
    data = gather(make_changer(tmp_path / "run", AGES | {f"{age}+": 9 for age in range(70, 90)}))
    assert len(data["columns"]["values"]) == len(AGES) + 20
    assert data["columns"]["name"] == "age"


def test_few_images_bring_the_nearest_ones_and_what_was_chosen(tmp_path: Path) -> None:
    data = gather(make_few(tmp_path / "run"))
    assert data["chosen"] == ["60 images, fewer than 2,000. Chosen for small sets: augment=ada."]
    assert [finding["kind"] for finding in data["findings"]] == ["warning"]
    assert (data["nearest"]["width"], data["nearest"]["height"]) == (8 * 66 + 2, 4 * 66 + 2)
    (tmp_path / "run" / "samples" / "nearest.png").write_bytes(b"half a picture")
    assert gather(tmp_path / "run")["nearest"] is None
    assert gather(make_run(tmp_path / "many", sheets=1))["nearest"] is None


def test_the_page_and_training_agree_on_the_columns_of_a_sheet() -> None:
    assert MOST_COLUMNS == show.MOST_COLUMNS


def picture_of(src: dict[str, Any]) -> bytes:
    return base64.b64decode(src["uri"].partition(",")[2])


@pytest.mark.parametrize(
    ("last_event", "state"),
    [
        ("start", "running"),
        ("resume", "running"),
        ("stopped", "stopped"),
        ("signal", "stopped"),
        ("diverged", "diverged"),
    ],
)
def test_the_state_is_what_the_last_event_says(tmp_path: Path, last_event: str, state: str) -> None:
    assert gather(make_run(tmp_path / "run", last_event=last_event, sheets=1, lines=3))["state"] == state


def test_a_run_that_has_only_just_begun_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("recipe: dcgan\nsource: photos\n")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "000000000.png").write_bytes(b"half a picture")
    data = data_of(write_report(tmp_path).read_text("utf-8"))
    assert (data["state"], data["images"], data["frames"], data["stats"]) == ("running", 0, [], {})


def test_a_folder_without_a_readable_configuration_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        write_report(tmp_path)
    (tmp_path / "config.yaml").write_text("- a list")
    with pytest.raises(ConfigError, match=r"config\.yaml is damaged"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_words_from_outside_cannot_become_markup(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>"
    report = write_report(make_run(tmp_path / "run", source=hostile, classes=(hostile,), sheets=1)).read_text("utf-8")
    assert "<script>alert" not in report
    assert "<img src=x" not in report
    assert "<!--<" not in report
    assert data_of(report)["data"]["classes"] == [hostile]


def test_the_policy_names_exactly_the_scripts_and_the_style_of_the_page(report: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', report)[1].replace("&#x27;", "'")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    inline = re.findall(r"<(script|style)>(.*?)</\1>", report, re.S)
    assert [kind for kind, _ in inline] == ["style", "script", "script"]
    for kind, code in inline:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert re.search(rf"{kind}-src [^;]*'sha256-{re.escape(digest)}'", policy)


def test_the_page_loads_nothing_from_elsewhere(report: str) -> None:
    assert not re.search(r"""(?:src|href)=["']?(?!data:)\w+:?//""", report)
    assert "<link" not in report


def test_json_inside_a_script_element_says_what_it_said() -> None:
    value = {"a": "</script>\u2028<!--", "b": [1.5, None, "é"]}
    text = inert(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_every_word_has_both_languages_and_the_same_places_to_fill() -> None:
    words = json.loads(asset("words.json"))
    for key, (english, french) in words.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", french)), key
        assert bool(english) == bool(french), key
    script = asset("page.js")
    used = set(re.findall(r'(?:say|fold|suited)\("([a-z-]+[a-z])"', script))
    used |= {f"{kind}-{chart}" for chart in re.findall(r'\badd\("([a-z-]+)"', script) for kind in ("chart", "read")}
    parts = set(re.findall(r'"([a-z]+-\d)"', script))
    assert {"read-4", "change-3"} <= parts
    assert used | parts | {f"{part}-title" for part in parts} <= words.keys()
    for key in words:  # those of one kind of run stand beside the general ones
        if key.endswith("-change") and key not in ("ask-change", "read-generator-change"):
            assert key.removesuffix("-change") in words


def test_the_run_is_named_as_commands_name_it_and_no_home_folder_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(run.parent.parent)
    assert gather(run)["run"] == f"{run.parent.name}/portraits"
    monkeypatch.chdir(tmp_path)
    assert gather(run)["run"] == "portraits"


def test_a_long_path_to_the_data_is_titled_by_its_last_part(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", source="/home/somebody/pictures/tulips.zip", sheets=1)
    assert gather(run)["source"] == "tulips.zip"
    assert "<title>dcgan on tulips.zip" in write_report(run).read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: install chromium to test the report")
        pytest.skip(f"{CHROMIUM} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, run: Path, report: str) -> Iterator[Any]:
    yield from opened_page(browser, run)


def opened_page(browser: Any, run: Path, **context: Any) -> Iterator[Any]:
    """The report in a fresh window; any complaint of the browser fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, **({"locale": "en-GB"} | context))
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complaints.append("a dialog: " + dialog.message))
    page.goto((run / "report.html").as_uri())
    yield page
    page.close()
    assert complaints == []


def at_widths(browser: Any, run: Path, *widths: int) -> Iterator[tuple[Any, int]]:
    """The report in a window of each width, and laid out anew for it."""
    for window in opened_page(browser, run):
        for width in widths:
            window.set_viewport_size({"width": width, "height": 800})
            window.reload()
            yield window, width


@pytest.mark.browser
def test_the_slider_shows_another_sheet_and_says_when(opened: Any) -> None:
    before = opened.get_attribute("#sheet", "src")
    assert opened.inner_text("#when") == "after 200,000 images"
    opened.fill("#slider", "3")
    assert opened.get_attribute("#sheet", "src") != before
    assert opened.inner_text("#when") == "after 54,545 images"
    assert opened.get_attribute("#sheet", "alt") == "Sheet of generated images after 54,545 images"
    assert (
        opened.evaluate(
            "document.getElementById('sheet').decode().then(() => document.getElementById('sheet').naturalWidth)"
        )
        > 0
    )
    opened.press("body", "ArrowRight")
    assert opened.inner_text("#when") == "after 72,727 images"
    opened.focus("#slider")
    opened.keyboard.press("ArrowLeft")
    assert opened.inner_text("#when") == "after 54,545 images"


@pytest.mark.browser
def test_the_gauge_follows_the_slider(opened: Any) -> None:
    opened.fill("#slider", "2")
    early = opened.inner_text("#says")
    opened.fill("#slider", "11")
    assert opened.inner_text("#says") != early
    real, fake = (
        opened.evaluate(f"parseFloat(document.getElementById('needle-{side}').style.left)") for side in ("real", "fake")
    )
    assert 50 < real < 100
    assert 0 < fake < 50


@pytest.mark.browser
def test_play_runs_to_the_end_and_stops(opened: Any, run: Path) -> None:
    opened.clock.install(time=0)  # the page's own time: how fast this machine is makes no difference
    opened.goto((run / "report.html").as_uri())
    opened.fill("#slider", "9")
    opened.clock.pause_at(3600)
    opened.click("#play")
    assert opened.get_attribute("#play", "aria-label") == "Pause"
    opened.clock.run_for(499)
    assert opened.inner_text("#when") == "after 163,636 images"
    opened.clock.run_for(1)
    assert opened.inner_text("#when") == "after 181,818 images"
    opened.clock.run_for(1_000)
    assert opened.get_attribute("#play", "aria-label") == "Play"
    assert opened.inner_text("#when") == "after 200,000 images"


@pytest.mark.browser
def test_french_is_one_click_away_and_keeps_the_place(opened: Any) -> None:
    opened.fill("#slider", "3")
    opened.click("#language")
    assert opened.get_attribute("html", "lang") == "fr"
    assert "Échantillons" in opened.inner_text("main")
    assert opened.inner_text("#when").replace("\u202f", " ") == "après 54 545 images"
    assert opened.evaluate("document.activeElement.id") == "language"


@pytest.mark.browser
def test_a_click_on_a_curve_shows_the_sheets_of_that_moment(opened: Any) -> None:
    over = opened.locator("#chart-scores .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    opened.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    opened.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 50)
    assert opened.inner_text("#when") in ("after 90,909 images", "after 109,091 images")


@pytest.mark.browser
@pytest.mark.parametrize("loss", ["non-saturating", "wasserstein"])
def test_probabilities_and_critics_are_explained_differently(browser: Any, tmp_path: Path, loss: str) -> None:
    run = make_run(tmp_path / "run", loss=loss, sheets=2)
    say_more(run, {"eval/fd500@random": 3.0, "eval/kid500@random": 0.1})
    write_report(run)
    for window in opened_page(browser, run):
        ids = [chart.get_attribute("id") for chart in window.query_selector_all(".chart")]
        shown = set(ids)
        assert len(shown) == len(ids)
        assert {"chart-eval", "chart-eval-2"} <= shown  # of two scores
        text = window.inner_text("#reading")
        if loss == "wasserstein":
            assert {"chart-critic", "chart-gap", "chart-losses", "chart-penalties"} <= shown
            assert not {"chart-scores", "chart-halves", "chart-value"} & shown
            assert "Wasserstein" in text
            assert "−1.386" not in text
        else:
            assert {"chart-scores", "chart-halves", "chart-value", "chart-generator", "chart-gradients"} <= shown
            assert "chart-losses" not in shown
            assert "−1.386" in text


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs") / "grown", loss="wasserstein", stable=40_000, sheets=21)
    return write_report(run).parent


@pytest.mark.browser
@pytest.mark.parametrize(
    ("locale", "said"),
    [
        (
            "en-GB",
            {
                0: "after 0 images, 4 pixels",
                5: "after 50,000 images, 4 to 8 pixels, 25% faded in",
                8: "after 80,000 images, 8 pixels",
            },
        ),
        (
            "fr-FR",
            {15: "après 150 000 images, de 8 à 16 pixels, fondu à 75 %", 20: "après 200 000 images, 16 pixels"},
        ),
    ],
    ids=["English", "French"],
)
def test_a_sheet_says_how_far_the_networks_had_grown(
    browser: Any, grown: Path, locale: str, said: dict[int, str]
) -> None:
    for window in opened_page(browser, grown, locale=locale):
        for place, words in said.items():
            window.fill("#slider", str(place))
            told = [
                window.inner_text("#when").replace("\n", ", "),
                window.get_attribute("#slider", "aria-valuetext"),
                window.get_attribute("#sheet", "alt"),
            ]
            assert [re.sub(r"\s", " ", text) for text in told[:2]] == [words, words]
            assert re.sub(r"\s", " ", told[2]).endswith(words)


@pytest.mark.browser
def test_growth_is_a_curve_of_sides_and_reads_the_nearest_sheet(browser: Any, grown: Path) -> None:
    for window in opened_page(browser, grown):
        over = window.locator("#chart-growth .u-over")
        over.scroll_into_view_if_needed()
        assert window.inner_text("#chart-growth output") == "16 pixels"  # exactly: a running mean would lag
        box = over.bounding_box()
        window.mouse.move(box["x"] + 0.315 * box["width"], box["y"] + 50)  # 63,000 images: no sheet was drawn then
        assert window.inner_text("#chart-growth output") == "4 to 8 pixels, 50% faded in"
        assert "from 4 pixels to 16 pixels" in window.get_attribute("#chart-growth .canvas", "aria-label")
        assert not window.query_selector("#chart-other")


@pytest.mark.browser
def test_the_values_stand_over_their_columns_in_both_sheets(browser: Any, tmp_path: Path) -> None:
    run = write_report(make_run(tmp_path / "run", conditions={"hair": HAIR, "glasses": {"0": 7, "1": 3}})).parent
    for window in opened_page(browser, run):
        assert window.locator(".heads").all_inner_texts() == ["Columns: hair\n\nauburn\nblack\nrose"] * 2
        for side, sheet in ((0, "#sheet"), (1, ".sheets figure:nth-child(2) img")):
            box = window.locator(sheet).bounding_box()
            for place, head in enumerate(window.locator(".heads").nth(side).locator("li").all()):
                middle = head.bounding_box()["x"] + head.bounding_box()["width"] / 2
                assert middle == pytest.approx(box["x"] + (place + 0.5) / 3 * box["width"], abs=3)
            assert box["height"] < 700  # three columns of eight rows would fill two windows at full width
        window.click("#language")
        assert window.locator(".heads").first.inner_text().startswith("Colonnes\u00a0: hair")
        assert "On peut demander n’importe quelle valeur" in window.inner_text("#asking")


@pytest.mark.browser
def test_it_lists_what_can_be_asked_for_and_how(browser: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", conditions={"hair": {"light brown": 9, "grey": 4}, "glasses": {"0": 7, "1": 3}})
    write_report(run)
    for window in opened_page(browser, run):
        text = window.inner_text("#asking")
        assert re.search(r"hair\s+light brown, grey\s+glasses\s+0, 1\s", text)
        assert "zerosum sample run --set 'hair=light brown' glasses=0 --grid 8x8 --out asked.png" in text
        assert "zerosum sample run --sweep hair --out sweep.png" in text
        assert '.sample(64, attributes={"hair": "light brown", "glasses": "0"})' in text
        window.click("#record summary >> nth=0")
        assert re.search(r"attributes\s+hair, glasses\s", window.inner_text("#record"))


@pytest.mark.browser
def test_a_run_that_is_told_nothing_says_nothing_of_columns(opened: Any) -> None:
    assert not opened.query_selector(".heads")
    assert not opened.query_selector("#asking")


@pytest.mark.browser
def test_long_values_stand_upright_over_their_columns(browser: Any, tmp_path: Path) -> None:
    run = write_report(make_run(tmp_path / "run", conditions={"tag": TAGS}, sheets=2)).parent
    for window, width in at_widths(browser, run, 320, 1280):
        assert "the first 12 of 34 values" in window.inner_text(".heads p >> nth=0")
        boxes = [head.bounding_box() for head in window.locator(".heads").first.locator("li span").all()]
        assert len(boxes) == 12
        assert all(one["x"] + one["width"] <= other["x"] + 1 for one, other in pairwise(boxes))
        assert all(box["width"] < 18 and box["height"] > 60 for box in boxes)  # one line, from below
        assert window.evaluate("document.documentElement.scrollWidth") <= width


def make_translator(path: Path, labels: tuple[str, ...] = ()) -> Path:
    """A run of pix2pix with its evaluation, or with labels of a segmenter, made from that of a generator."""
    make_run(path, sheets=2, lines=80)
    config = yaml.safe_load((path / "config.yaml").read_text())
    config |= {"recipe": "segmenter" if labels else "pix2pix", "task": "translate"}
    config["settings"]["discriminator_weight"] = 0.5
    config["data"] |= {"labels": list(labels), "input": {"labels": [] if labels else ["sky", "street"]}}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    stats = [json.loads(line) for line in (path / "stats.jsonl").read_text().splitlines()[:-1]]
    times = ("images", "step", "seconds")
    for line in stats:
        if labels:
            kept = {key: line[key] for key in times}
            line.clear()
            line |= kept | {"loss/segmenter/cross-entropy": 0.4, "accuracy/training": 0.9}
        else:
            line["loss/generator/l1"] = 20.0
    (path / "stats.jsonl").write_text("\n".join(map(json.dumps, stats)))
    tail = "test" if labels else "eye-1a2b3c4d"
    scores = {f"mean_iou@{tail}": 0.31} | ({} if labels else {"l1@test": 0.25, "psnr@test": None})
    baselines = (
        {"commonest class": {"mean_iou@test": 0.05}}
        if labels
        else {"mean colour": {"l1@test": 0.5}, "nearest training pair": {"l1@test": 0.375}}
    )
    evaluation = {
        **{f"eval/{name}": value for name, value in scores.items()},
        "images": 200_000,
        "kind": "evaluate",
        "floor": {} if labels else {f"mean_iou@{tail}": 0.62},
        "baselines": baselines,
        "per_class": {"sky": {"iou": 0.9, "iou, real images": 0.95}, "street": {"iou": None, "iou, real images": 0.5}},
        "pictures": {"worst pairs": "evaluation/worst-pairs.png"},
        "made_by": {"part": "test", "data": "streets.zip"},
    }
    (path / "evaluation.jsonl").write_text(json.dumps(evaluation) + "\n")
    (path / "evaluation").mkdir()
    Image.new("RGB", (60, 40)).save(path / "evaluation" / "worst-pairs.png")
    write_report(path)
    return path


def make_conditional(path: Path) -> Path:
    """The run folder of a generator with classes, one of which has collapsed, scored by class."""
    make_run(path, conditions={"hair": HAIR})
    stats = [json.loads(line) for line in (path / "stats.jsonl").read_text().splitlines()[:-1]]
    for place, line in enumerate(stats):
        line |= {"logits/separation": 1.5, "logits/scale": 2.25}
        if place % 10 == 0:
            within = dict(zip(HAIR, (0.875, 0.125, 0.75), strict=True))
            line |= {"health/diversity_within": 0.625, "eval/diversity_within": 0.625} | {
                f"health/diversity_within/{k}": v for k, v in within.items()
            }
    (path / "stats.jsonl").write_text("\n".join(map(json.dumps, stats)))
    scored = {
        "eval/fd500@random": 3.0,
        "images": 200_000,
        "kind": "evaluate",
        "floor": {"fd500@random": 1.0},
        "per_class": {
            name: {
                "images": count // 10,
                "precision": 0.5,
                "recall": None if name == "rose" else 0.25,
                "real images, precision": 0.875,
                "real images, recall": 0.75,
                "diversity": 0.125,
            }
            for name, count in HAIR.items()
        },
        "made_by": {"part": "train", "data": "builtin:portraits"},
    }
    (path / "evaluation.jsonl").write_text(json.dumps(scored) + "\n")
    write_report(path)
    return path


@pytest.mark.browser
def test_diversity_within_classes_and_scores_by_class_are_shown(browser: Any, tmp_path: Path) -> None:
    run = make_conditional(tmp_path / "run")
    for window in opened_page(browser, run):
        legend = " ".join(window.inner_text("#chart-diversity-within .legend").split())
        assert legend == "mean of classes 0.625 lowest: black 0.125"
        assert "1.50" in window.inner_text("#chart-separation .legend")
        assert "2.25" in window.inner_text("#chart-scale .legend")
        assert not window.query_selector_all("#chart-other, #chart-eval")  # nothing of these is drawn twice
        lines = window.locator("#scored details table >> nth=0").locator("tr").all_inner_texts()
        heads, *rows = ([cell.strip() for cell in line.split("\t")] for line in lines)
        assert heads == [
            "Class",
            "images",
            "precision",
            "recall",
            "precision, real images",
            "recall, real images",
            "diversity",
        ]
        assert rows[0] == ["auburn", "25", "0.500", "0.250", "0.875", "0.750", "0.125"]
        assert rows[2][3] == "–"
        window.click("#language")
        legend = " ".join(window.inner_text("#chart-diversity-within .legend").split())
        assert legend == "moyenne des classes 0,625 la plus basse : black 0,125"
        assert "rappel, images réelles" in window.inner_text("#scored details table >> nth=0")
        window.set_viewport_size({"width": 360, "height": 780})
        assert window.evaluate(FRAMES_UNTIL_IT_FITS, 360) <= 360


@pytest.mark.browser
def test_a_translator_is_told_of_as_what_it_is(browser: Any, tmp_path: Path) -> None:
    run = make_translator(tmp_path / "run")
    for window in opened_page(browser, run):
        samples = window.inner_text("#samples")
        assert "input, output, target" in samples
        assert "latent" not in samples
        assert len(window.query_selector_all("#samples img")) == 1  # each sheet has the real images
        assert window.get_attribute("#sheet", "alt").startswith("Inputs, what is made of them after 200,000 images")
        assert window.inner_text("#needle-fake") == "D(x, G(x))"
        assert re.search(r"Pairs\s+10,000\s+32 × 32 × 3 · 2 classes", window.inner_text("header"))
        shown = {chart.get_attribute("id") for chart in window.query_selector_all(".chart")}
        assert {"chart-scores", "chart-halves", "chart-generator", "chart-likeness"} <= shown
        assert "−log(1 − D(x, G(x)))" in window.inner_text("#chart-halves")
        assert "l1" not in window.inner_text("#chart-generator")
        assert "l1 20.0" in window.inner_text("#chart-likeness .legend")
        assert "A discriminator that sees the input" in window.inner_text("#reading")
        assert "In this run" not in window.inner_text("#reading")
        on = window.inner_text("#go-on")
        assert "zerosum translate run pictures/ --out made/" in on
        assert "zerosum sample" not in on
        assert ".translate(inputs)" in on


@pytest.mark.browser
def test_scores_of_a_translator_stand_beside_their_baselines(browser: Any, tmp_path: Path) -> None:
    run = make_translator(tmp_path / "run")
    for window in opened_page(browser, run):
        lines = window.locator("#scored table >> nth=0").locator("tr").all_inner_texts()
        heads, *rows = ([cell.strip() for cell in line.split("\t")] for line in lines)
        assert heads == ["Score", "Value", "Other real images", "The mean colour", "The nearest training pair"]
        assert [row[1:] for row in rows] == [
            ["0.310", "0.620", "", ""],
            ["0.250", "", "0.500", "0.375"],
            ["–", "", "", ""],
        ]
        assert rows[1][0].startswith("l1@test\nMean absolute difference of pixels")
        assert "The pairs with the largest errors" in window.inner_text("#scored")
        window.click("#scored summary >> nth=0")
        assert re.search(r"IoU, real images\s+sky\s+0.900\s+0.950\s+street\s+–\s+0.500", window.inner_text("#scored"))
        window.click("#language")
        assert "La paire apprise la plus proche" in window.inner_text("#scored")


@pytest.mark.browser
def test_a_segmenter_has_no_opponent(browser: Any, tmp_path: Path) -> None:
    run = make_translator(tmp_path / "run", labels=("sky", "street", "tree"))
    for window in opened_page(browser, run):
        assert "image, predicted classes, true classes" in window.inner_text("#samples")
        assert "3 classes" in window.inner_text("header")
        text = window.inner_text("main")
        assert "Training curves" in text
        assert "A measure for translations" in text
        assert "The most common class everywhere" in text
        assert "fooled" not in text
        assert "Its surprise at the true class" in window.inner_text("#chart-losses")
        assert window.query_selector("#chart-accuracy")


@pytest.fixture(scope="module")
def changer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_changer(tmp_path_factory.mktemp("runs") / "age", AGES, {"gender": {"female": 9, "male": 4}})


@pytest.mark.browser
def test_a_changer_has_the_image_before_its_values(browser: Any, changer: Path) -> None:
    for window, width in at_widths(browser, changer, 390, 800, 1280):
        text = window.inner_text("#samples")
        assert "the original, then its edited version for each age" in text
        assert "latent" not in text
        assert [heads.split("\n") for heads in window.locator(".heads").all_inner_texts()] == [
            ["Columns: the image itself, then age", "", "image", *AGES],
            ["Columns: age", "", *AGES],
            ["Columns: the image itself, then age", "", "image", *AGES],
        ]
        sizes = []
        for place, sheet in enumerate(("#sheet", ".sheets figure:nth-child(2) img", ".evaluation .found img")):
            window.locator(sheet).scroll_into_view_if_needed()
            box, heads = window.locator(sheet).bounding_box(), window.locator(".heads").nth(place).locator("li").all()
            for number, head in enumerate(heads):
                middle = head.bounding_box()["x"] + head.bounding_box()["width"] / 2
                assert middle == pytest.approx(box["x"] + (number + 0.5) / len(heads) * box["width"], abs=3)
            sizes.append(box["width"] / len(heads))
        if width > 390:
            assert sizes[0] == pytest.approx(sizes[1], rel=0.03)  # images of one size side by side
        assert window.inner_text("#needle-fake") == "D(G(E(x), a), a)"
        assert re.search(r"Images\s+10,000\s+32 × 32 × 3", window.inner_text("header"))
        assert window.get_attribute("#sheet", "alt").startswith(
            "A row for each image: the original and its edited version"
        )


@pytest.mark.browser
def test_the_three_players_of_a_changer_have_their_curves(browser: Any, changer: Path) -> None:
    for window in opened_page(browser, changer):
        shown = [chart.get_attribute("id").removeprefix("chart-") for chart in window.query_selector_all(".chart")]
        assert shown[:7] == ["scores", "halves", "generator", "likeness", "latent-scores", "latent-loss", "saturation"]
        assert not {"value", "losses", "other"} & set(shown)
        assert "with a wrong age" in window.inner_text("#chart-halves .legend")
        assert window.inner_text("#chart-generator .legend") == "images 0.016\nlatents 0.008"
        assert "by 0.01 and 0.02" in window.inner_text("#chart-generator")
        assert "reconstruction 0.200" in window.inner_text("#chart-likeness .legend")
        assert "Output of the latent discriminator" in window.inner_text("#chart-latent-scores")
        assert "Latents at the limits of their range 30%" in window.inner_text("#chart-saturation .legend")
        lecture = window.locator("#reading h3").all_inner_texts()
        assert lecture == ["A latent and the age", "A discriminator conditioned on the age", "What the scores show"]
        assert "to 24 numbers between" in window.inner_text("#reading")
        assert "(wrong_ages=false)" not in window.inner_text("#reading")


@pytest.mark.browser
def test_a_changer_says_how_to_change_pictures_and_how_to_measure_it(browser: Any, changer: Path) -> None:
    for window in opened_page(browser, changer):
        asked, on = window.inner_text("#asking"), window.inner_text("#go-on")
        assert "zerosum translate age picture.jpg --age 61+ --gender female --out changed.png" in asked
        assert "zerosum translate age pictures/ --ages all --gender female --out sheet.png" in asked
        assert '.translate(images, asked={"age": "61+", "gender": "female"})' in asked
        assert "label=age bins=10,20,40,60 size=32 --out age-reader" in on
        assert "zerosum evaluate age builtin:portraits --reader age-reader" in on
        assert "zerosum sample" not in asked + on
        lines = window.locator("#scored table >> nth=0").locator("tr").all_inner_texts()
        heads, *rows = ([cell.strip() for cell in line.split("\t")] for line in lines)
        assert heads[2:] == ["Other real images", "Edited to its own value", "Another image in its place"]
        assert [row[1:] for row in rows] == [["0.700", "0.800", "", ""], ["0.900", "", "0.950", "0.600"]]
        assert "Rank correlation (Spearman)" in rows[0][0]
        assert "predicts the same as for the original" in rows[1][0]
        table = window.locator("#scored table >> nth=1").inner_text()  # to be seen without a click
        assert re.match(r"age\s+predicted, mean\s+kept@eye\s+0-10\s+12.0\s+0.900\s+11-20", table)
        window.click("#language")
        french = window.inner_text("main")
        for words in ("Images modifiées", "prédit en moyenne", "Un discriminateur conditionné par «\xa0age\xa0»"):
            assert words in french
        assert "{" not in french.replace('{"age"', "")
        assert "undefined" not in french


@pytest.mark.browser
def test_a_changer_says_what_its_judge_was_not_shown(browser: Any, tmp_path: Path) -> None:
    run = make_changer(tmp_path / "run", AGES, wrong_ages=False)
    for window in opened_page(browser, run):
        assert "no real images with wrong values (wrong_ages=false)" in window.inner_text("#reading")
        assert "wrong age" not in window.inner_text("#chart-halves .legend")


@pytest.mark.browser
def test_few_images_are_looked_through_for_copies(browser: Any, tmp_path: Path) -> None:
    run = make_few(tmp_path / "run")
    for window in opened_page(browser, run):
        assert "Copies of training images?" in window.inner_text("#copying")
        assert "is 0.25: ½ for new images" in window.inner_text("#copying")
        box = window.locator("#copying img").bounding_box()
        marks = window.locator("#copying .heads .swatch")
        assert marks.count() == 8
        for place, mark in enumerate(marks.all()):
            assert ("fake" if place % 2 == 0 else "real") in mark.get_attribute("class")
            middle = mark.bounding_box()["x"] + mark.bounding_box()["width"] / 2
            assert middle == pytest.approx(box["x"] + (place + 0.5) / 8 * box["width"], abs=3)
        cards = window.locator("#findings .finding").all_inner_texts()
        assert cards[0].startswith("Chosen for this set\n\n60 images, fewer than 2,000.")
        assert cards[1].startswith("The generator copies")
        assert "Copying 0.250" in window.inner_text("#chart-copying .legend")
        assert "is above the target" in window.inner_text("#chart-augment")
        assert "probability 0.200" in window.inner_text("#chart-augment .legend")
        assert not window.query_selector("#chart-other")
        window.click("#language")
        assert "Des copies d’images d’entraînement\u00a0?" in window.inner_text("#copying")
        assert "Choisi pour ce jeu" in window.inner_text("#findings")
        assert "Le générateur copie" in window.inner_text("#findings")


@pytest.mark.browser
def test_a_fixed_augmentation_has_no_target_and_what_was_chosen_is_no_warning(browser: Any, tmp_path: Path) -> None:
    run = make_few(tmp_path / "run", probability=0.5, warned=False)
    for window in opened_page(browser, run):
        assert "it is fixed here" in window.inner_text("#chart-augment")
        assert "target" not in window.inner_text("#chart-augment")
        assert window.locator("#findings .finding").count() == 1
        assert "No warnings" in window.inner_text("#findings")


@pytest.mark.browser
def test_a_set_of_many_images_says_nothing_of_copies(opened: Any) -> None:
    assert not opened.query_selector("#copying")
    assert not opened.query_selector("#chart-copying")
    assert not opened.query_selector("#chart-augment")
    assert not opened.query_selector(".finding.chosen")


@pytest.mark.browser
def test_hostile_words_are_shown_as_words(browser: Any, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    told = {hostile: {hostile: 5, "b": 2}}
    run = make_run(tmp_path / "run", source=hostile, classes=(hostile, "b"), conditions=told, sheets=2)
    write_report(run)
    for window in opened_page(browser, run):
        assert hostile in window.inner_text("h1")
        assert hostile in window.inner_text(".heads p >> nth=0")
        assert hostile in window.inner_text("#asking")
        window.click("#record summary >> nth=0")
        assert hostile in window.inner_text("#record")


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["plain", "changer"])
def test_nothing_sticks_out_at_any_width(browser: Any, run: Path, report: str, changer: Path, kind: str) -> None:
    for window in opened_page(browser, run if kind == "plain" else changer, locale="fr-FR"):
        window.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true; })")
        for width in (1280, 320, 390, 2560):
            window.set_viewport_size({"width": width, "height": 800})
            # The curves follow a change of width a few frames later. The page's content security policy refuses code in
            # strings, with which wait_for_function polls; a function that playwright calls itself is none.
            found = window.evaluate(FRAMES_UNTIL_IT_FITS, width)
            assert found <= width


@pytest.mark.browser
def test_what_training_wrote_is_french_in_french(browser: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", last_event="resume")
    slow = {"kind": "warning", "finding": "data-slow", "text": "Training spends 60% of its time waiting for images."}
    note = {
        "kind": "data",
        "text": "1,234 files other than images are not read (a.txt: not an image file by its name).",
    }
    pace = {"kind": "goal", "text": "At 0.35 images a second, about 12,000 images in 9 h 05 min more."}
    with open(run / "events.jsonl", "a") as events:
        for event in (slow, note, pace):
            events.write(json.dumps(event | {"images": 96_000, "time": "2026-11-23T20:00:00+00:00"}) + "\n")
    write_report(run)
    for window in opened_page(browser, run):
        assert "Training spends 60%" in window.inner_text("#findings")
        window.click("#language")
        found = window.inner_text("#findings")
        assert "L’entraînement passe 60\u00a0% du temps" in found
        assert "1\u202f234 fichiers" in found
        assert "(a.txt\u00a0: d’après son nom, ce n’est pas une image)." in found
        assert "0,35 images par seconde, environ 12\u202f000 images" in window.text_content("#record")
        assert "Training spends" not in window.inner_text("main")
