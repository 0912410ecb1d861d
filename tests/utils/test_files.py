"""Names of files that are written for other files."""

from zerosum.utils.files import LONGEST_STEM, distinct_stems


def test_names_that_differ_in_case_or_suffix_are_kept_apart() -> None:
    assert list(distinct_stems(["a", "A", "a.png", "A.PNG"])) == ["a", "A-", "a.png", "A.PNG.PNG"]
    names = ["a.jpg", "A.png", "b/a.jpg", "7", "7", "7"]
    assert list(distinct_stems(names)) == ["a", "A.png", "b/a", "7", "7-", "7--"]


def test_no_name_leaves_the_folder() -> None:
    assert list(distinct_stems(["../../c.png", "/etc/d", "..", "/"])) == ["c", "etc/d", "picture", "picture-"]


def test_names_that_are_too_long_are_cut_and_still_kept_apart() -> None:
    first, second, third = distinct_stems([f"{'é' * 300}.png", f"{'é' * 300}.jpg", "\udc80" * 300])
    assert first == "é" * 125
    assert second == "é" * 123 + ".jpg"
    assert len(third.encode(errors="surrogatepass")) <= LONGEST_STEM
