"""The page of `prepare` on a telephone."""

from pathlib import Path

import pytest

from tests.data.made_images import folder_of, some_pngs
from zerosum.data.pack.prepare import prepare

CHROMIUM = Path("/usr/bin/chromium")


@pytest.mark.browser
def test_nothing_sticks_out_at_the_width_of_a_telephone(tmp_path: Path) -> None:
    """A long name without a break made the page wider than its window."""
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    long = "x" * 90
    files = {f"{name}/{long}{image}": content for name in ("cats", long) for image, content in some_pngs(3).items()}
    source = folder_of(tmp_path / ("a_name_without_a_break_" * 5), files | {f"cats/{long}.png": b"no image"})
    prepare(source, tmp_path / "out.zs", (16, 16))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM if CHROMIUM.exists() else None)
        for width in (320, 390):
            window = browser.new_page(viewport={"width": width, "height": 800})
            window.goto((tmp_path / "out.zs" / "report.html").as_uri())
            assert window.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
