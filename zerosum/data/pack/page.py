"""The report of `prepare` as a self-contained HTML page."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from zerosum.data.dataset import Dataset
from zerosum.data.pack.findings import Report, size_words
from zerosum.data.records import Skip, counted
from zerosum.utils import pictures

SHEET = (1100, 8)  # width in pixels and rows of the contact sheet
GROUPS = 24  # groups of copies shown; the rest are in report.json
MAX_SIDE = 128  # a larger image is shown reduced

_STYLE = """
:root { color-scheme: light dark; --ink: #23262e; --soft: #667085; --paper: #fbfaf8; --line: #e3e0da; --mark: #1f7796;
  --warn: #8a4b12; --warn-paper: #fdf1e4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e4df; --soft: #9aa1ad; --paper: #17191d; --line: #30343c;
  --mark: #58b0cc; --warn: #f0c088; --warn-paper: #33291d } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; text-wrap: balance } h2 { font-size: 1.05rem; margin: 2.5rem 0 .75rem }
p { margin: .25rem 0 } .soft, small { color: var(--soft) }
.warning { background: var(--warn-paper); color: var(--warn); padding: .6rem .9rem; border-radius: .5rem;
  margin: .5rem 0 }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 0 2.5rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td { padding: .2rem .75rem .2rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; vertical-align: top }
td.count { text-align: right; white-space: nowrap; width: 1% }
td.bar { width: 40%; min-width: 4rem }
td.bar i { display: block; height: .55rem; margin-top: .5rem; border-radius: .2rem; background: var(--mark);
  min-width: 2px }
img { max-width: 100%; height: auto; border-radius: .4rem; image-rendering: pixelated }
.groups { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0; max-width: 20rem }
figcaption { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere }
details summary { cursor: pointer }
"""


def page(report: Report, dataset: Dataset) -> str:
    """HTML that loads nothing: without scripts, and with a policy that forbids loading."""
    body = [
        f"<h1>{escape(report.headline())}</h1>",
        f'<p class="soft">Content {report.info.hash[:16]} · made by zerosum prepare</p>',
        *(f'<p class="warning" role="note">{escape(sentence)}</p>' for sentence in report.warnings),
        *(f"<p>{escape(sentence)}</p>" for sentence in report.notes),
    ]
    if not report.info.is_vectors:
        sizes = [(size_words(size), count) for size, count in report.sizes.most_common(24)]
        body += [
            *_contact_sheet(dataset),
            '<div class="tables">',
            *_bars("Sizes (height × width)", sizes),
            *_bars("Modes", report.modes.most_common()),
            *_bars("Classes", list(report.classes.items())),
            *_bars("Converted", report.changes.most_common()),
            "</div>",
            *_skips("Skipped images", report.skipped),
            *_skips("Other files", report.ignored),
            *_copies("Exact duplicates", report.duplicates, dataset),
            *_copies("Near duplicates", report.near_duplicates, dataset),
        ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(report.info.source)} · zerosum prepare</title><style>{_STYLE}</style></head>
<body><main>
{chr(10).join(body)}
</main></body></html>
"""


def _contact_sheet(dataset: Dataset) -> list[str]:
    """Images spread evenly over the set, so that all classes and parts are represented."""
    width, rows = SHEET
    paired = dataset.inputs is not None
    tile = min(max(dataset.info.shape[1], pictures.SMALL), MAX_SIDE) + 2
    columns = max(1, min(width // (2 * tile if paired else tile), len(dataset)))
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(columns * rows, len(dataset))).round().astype(int))
    picture = _picture(dataset, chosen, columns)
    noun, order = ("pair", ", each input left of its target") if paired else ("image", "")
    return [
        f"<h2>{len(chosen)} of {counted(len(dataset), noun)}, as packed{order}</h2>",
        _image(picture, f"{noun.capitalize()}s spread evenly over the set"),
    ]


def _copies(title: str, groups: Sequence[Sequence[str]], dataset: Dataset) -> list[str]:
    if not groups:
        return []
    places = {name: index for index, name in enumerate(dataset.names)}
    more = f" <small>{GROUPS} groups are shown; report.json lists all</small>" if len(groups) > GROUPS else ""
    html = [f"<h2>{title}: {counted(len(groups), 'group')}{more}</h2>", '<div class="groups">']
    for group in groups[:GROUPS]:
        shown = list(group[:4])
        picture = _picture(dataset, np.array([places[name] for name in shown]), columns=len(shown))
        rest = f" and {len(group) - 4} more" if len(group) > 4 else ""
        caption = escape(", ".join(shown) + rest)
        html.append(f"<figure>{_image(picture, caption)}<figcaption>{caption}</figcaption></figure>")
    return [*html, "</div>"]


def _picture(dataset: Dataset, indices: np.ndarray, columns: int) -> Image.Image:
    info, rows = dataset.info, -(-len(indices) // columns)
    step = -(-max(info.shape[:2]) // MAX_SIDE)
    images = dataset.images[indices][:, ::step, ::step]
    if dataset.inputs is None or info.input is None:
        return pictures.grid(images, rows, columns, value_range=info.value_range)
    inputs = dataset.inputs[indices][:, ::step, ::step]
    sides = _seen(inputs, info.input.labels, info.input.value_range), _seen(images, info.labels, info.value_range)
    return pictures.grid(np.stack(sides, axis=1).reshape(-1, *sides[0].shape[1:]), rows, 2 * columns)


def _seen(images: np.ndarray, labels: Sequence[str], value_range: tuple[float, float] | None) -> np.ndarray:
    """One side of pairs, (N, H, W, C) as stored to uint8 (N, H, W, 3); label maps are coloured, as their numbers are
    dark."""
    return pictures.coloured(images[..., 0], len(labels)) if labels else pictures.rgb(images, value_range)


def _image(picture: Image.Image, words: str) -> str:
    data = io.BytesIO()
    picture.save(data, "WEBP", quality=88, method=4)
    return f'<img alt="{words}" src="data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}">'


def _bars(title: str, rows: Sequence[tuple[str, int]]) -> list[str]:
    if not rows:
        return []
    most = max(count for _, count in rows) or 1
    lines = (
        f'<tr><td>{escape(name)}</td><td class="bar"><i style="width:{100 * count / most:.1f}%"></i></td>'
        f'<td class="count">{count:,}</td></tr>'
        for name, count in rows
    )
    return [f"<section><h2>{title}</h2><table>", *lines, "</table></section>"]


def _skips(title: str, skips: Sequence[Skip]) -> list[str]:
    if not skips:
        return []
    rows: Iterable[str] = (f"<tr><td>{escape(skip.name)}</td><td>{escape(skip.reason)}</td></tr>" for skip in skips)
    opened = " open" if len(skips) <= 50 else ""
    return [
        f"<h2>{title}</h2><details{opened}><summary>{counted(len(skips), 'file')}</summary><table>",
        *rows,
        "</table></details>",
    ]
