"""What is written on the pages can be read: by contrast, by keyboard, and in lines that end."""

import re

import pytest

from zerosum.data.conditioning.conditions import Condition, condition_indices, condition_named
from zerosum.data.records import listed
from zerosum.evaluation.compare import PAGE, cells
from zerosum.runs.report.page import asset
from zerosum.utils.errors import ConfigError


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def themes() -> list[dict[str, str]]:
    """The colours by name, of light and of dark."""
    css = asset("page.css")
    blocks = re.findall(r":root[^{]*\{([^}]*--paper[^}]*)\}", css)
    assert len(blocks) == 3
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6}|var\(--\w+\))", block)) for block in blocks]
    return [{name: colours[value[6:-1]] if value[0] == "v" else value for name, value in colours.items()}
            for colours in found]  # fmt: skip


@pytest.mark.parametrize("theme", [0, 1, 2])
@pytest.mark.parametrize("text", ["ink", "quiet", "good", "bad", "judge", "real", "fake-text"])
def test_text_stands_out_from_what_is_behind_it(theme, text):
    """The label of the fakes had 3.6 to 1, where 4.5 is the least."""
    colours = themes()[theme]
    for behind in ("paper", "card"):
        assert contrast(colours[text], colours[behind]) >= 4.5
    for rule in re.findall(r"[{;] *color: var\(--([\w-]+)\)", asset("page.css")):
        assert rule in ("ink", "quiet", "good", "bad", "judge", "real", "fake-text", "paper")


def test_the_table_of_compare_scrolls_by_keyboard_and_has_heads():
    assert '<div class="scroll" tabindex="0" role="region" aria-label="' in PAGE
    assert cells(["", "a<b"], head=True) == ["<th scope=col></th>", "<th scope=col>a&lt;b</th>"]
    assert cells(["fd", "3"], head=False) == ["<th scope=row>fd</th>", "<td>3</td>"]


def test_lists_of_a_users_names_end():
    """One line had 36,000 characters."""
    names = [f"class {number}" for number in range(5_000)]
    assert listed(names[:3]) == "class 0, class 1, class 2"
    assert listed(names).endswith("class 19 and 4,980 more")
    condition = Condition("kind", tuple(names), (1,) * len(names))
    many = [Condition(name, ("a", "b"), (1, 1)) for name in names]
    for asked, known in (({"kind": "z"}, [condition]), ({"z": "z"}, many)):
        with pytest.raises(ConfigError) as found:
            condition_indices(asked, known)
        assert len(str(found.value)) < 1_000
    with pytest.raises(ConfigError) as found:
        condition_named("z", many, "swept")
    assert len(str(found.value)) < 1_000
