"""Pictures of arrays: contact sheets of samples, and plots of one- and two-dimensional games.

Without torch, so that reports only need Pillow and NumPy."""

import colorsys
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from zerosum.utils.errors import ConfigError
from zerosum.utils.files import plain_disk_errors, write_atomic

CAPTIONED = 128  # pixels: the longer side of an image with a caption
SMALL = 48  # pixels: a tile whose longer side is below this is enlarged, so that images of 8 or 28 pixels are visible
GUTTER = (255, 255, 255)
CHECKS = (255, 228)  # the two grays of the checkerboard behind transparent pixels

# The same colours for the same things in all pictures and in the report; safe for colour blindness.
REAL, FAKE, JUDGE = (31, 119, 150), (222, 110, 45), (110, 84, 180)
INK, FAINT, PAPER = (45, 49, 58), (205, 209, 216), (255, 255, 255)
HEAD = 20  # pixels above the columns of a sheet, for their names

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Picture formats, by file suffix."""

TRANSPARENT = ("PNG", "WEBP", "TIFF")
"""Formats that support alpha."""

Function = Callable[[np.ndarray], np.ndarray]
"""Maps points (m, D) to numbers (m,)."""


def picture_format(out: Path) -> str:
    """The format of a file name's suffix. Raises ConfigError when it is none of `FORMATS`."""
    kind = FORMATS.get(out.suffix.lower())
    if kind is None:
        raise ConfigError(f"{out} has no picture format; use .png, .jpg, .webp or .tif.")
    return kind


def save_picture(picture: Image.Image, out: Path) -> None:
    """Write a picture atomically, with parent folders. Raises ConfigError when the name has no picture format, or the
    picture does not fit it, and ZerosumError when the disk is full or not writable."""
    kind, file = picture_format(out), io.BytesIO()
    try:
        picture.save(file, format=kind)
    except (ValueError, OSError) as error:  # WebP is limited to 16,383 pixels a side, JPEG to 65,500
        size = f"{picture.width}x{picture.height} pixels"
        raise ConfigError(f"A picture of {size} does not fit {kind}: {error}") from error
    with plain_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, file.getvalue(), durable=False)


def grid(
    images: np.ndarray,
    rows: int,
    cols: int,
    padding: int = 2,
    value_range: tuple[float, float] | None = None,
    scale: int | None = None,
    transparent: bool = False,
) -> Image.Image:
    """A contact sheet of the first rows x cols images, in reading order; unused tiles stay white.

    images: (N, H, W, C) uint8, uint16 or float; (N, H, W) is gray. C = 1 is gray, 2 gray and alpha, 3 RGB, 4 RGBA; for
    any other number the first three channels are shown. Alpha is composited on a checkerboard. value_range: the values
    shown as black and white, (0, 255) for uint8, (0, 65535) for uint16; required for float images. scale: an integer
    factor of nearest-neighbour enlargement; by default tiles whose longer side is below 48 pixels get the smallest
    factor that exceeds it. transparent: keep alpha, with transparent space between images.

    Returns mode "L" for gray images, else "RGB"; with alpha "LA" or "RGBA". Raises ValueError for another shape, type
    or range."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or rows < 1 or cols < 1:
        raise ValueError(f"a grid needs images (N, H, W, C) and at least one row and column, got {images.shape}")
    images = to_bytes(images[: rows * cols], value_range)
    transparent = transparent and images.shape[3] in (2, 4)
    images = images if transparent else opaque(images)
    height, width = images.shape[1:3]
    scale = scale or -(-SMALL // max(height, width))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = images.shape[1:3]
    shape = rows * (height + padding) + padding, cols * (width + padding) + padding, images.shape[3]
    sheet = np.full(shape, 0 if transparent else 255, dtype=np.uint8)
    for index, image in enumerate(images):
        top = padding + index // cols * (height + padding)
        left = padding + index % cols * (width + padding)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet[..., 0] if sheet.shape[2] == 1 else sheet)


def captioned(
    images: np.ndarray,
    captions: Sequence[str],
    cols: int,
    value_range: tuple[float, float] | None = None,
    heat: np.ndarray | None = None,
    right: Sequence[bool] | None = None,
    transparent: bool = False,
) -> Image.Image:
    """A sheet of images (N, H, W, C), each with its caption below, truncated to the width of the image.

    heat: (N, H, W) from 0 to 1; images are darkened where it is low. right: captions that are not right are written in
    the colour of false. transparent: keep alpha of the images, on opaque paper, so that captions are readable on any
    background. The longer side of an image becomes 128 pixels.

    Returns mode "RGB"; with alpha "RGBA"."""
    tiles = to_bytes(images if images.ndim == 4 else images[..., None], value_range)
    transparent = transparent and tiles.shape[3] in (2, 4)
    tiles = seen(tiles, None, alpha=True) if transparent else rgb(tiles)
    if heat is not None:
        light = 0.25 + 0.75 * np.nan_to_num(np.clip(heat, 0, 1))[..., None]  # NaN: of a network that has diverged
        tiles = np.concatenate([np.rint(tiles[..., :3] * light).astype(np.uint8), tiles[..., 3:]], axis=3)
    height, width = tiles.shape[1:3]
    scale = CAPTIONED / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    font, line, gap = ImageFont.load_default(13), 20, 8
    step = max(size[0], CAPTIONED) + gap, size[1] + line + gap
    rows = -(-len(tiles) // cols)
    sheet = Image.new("RGBA" if transparent else "RGB", (cols * step[0] + gap, rows * step[1] + gap), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = gap + index % cols * step[0], gap + index // cols * step[1]
        way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
        sheet.paste(Image.fromarray(tile).resize(size, way), (left, top))
        caption = _cut(caption, font, step[0] - gap)
        pen.text((left, top + size[1] + 2), caption, INK if right is None or right[index] else FAKE, font)
    return sheet


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """Heat (..., H, W) from 0 to 1 as colours (..., H, W, 3), uint8: black, purple, orange at 0.5, pale yellow."""
    at = (0.0, 0.25, 0.5, 0.75, 1.0)
    colours = np.array([(0, 0, 4), (80, 18, 123), (222, 73, 60), (252, 165, 10), (252, 255, 180)])
    parts = [np.interp(np.nan_to_num(heat), at, column) for column in colours.T]
    return np.rint(np.stack(parts, axis=-1)).astype(np.uint8)


def headed(sheet: Image.Image, names: Sequence[str]) -> Image.Image:
    """A sheet with the names of its columns above, truncated to the width of the column."""
    headed = Image.new("RGB", (sheet.width, sheet.height + HEAD), PAPER)
    headed.paste(sheet, (0, HEAD))
    pen, font, step = ImageDraw.Draw(headed), ImageFont.load_default(13), (sheet.width - 2) / len(names)
    for place, name in enumerate(names):
        pen.text((step * place + 2, 2), _cut(name, font, step - 4), INK, font)
    return headed


def _cut(text: str, font: Any, room: float) -> str:
    """A text truncated to this many pixels, with … if something is left out."""
    while font.getlength(text) > room and len(text) > 2:
        text = f"{text[:-2]}…"
    return text


def confusion(counts: np.ndarray, names: Sequence[str]) -> Image.Image:
    """A confusion matrix (K, K): a row for each true class, shaded by the share of each prediction.

    Shares are written as percentages for up to 24 classes."""
    classes = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = 40 if classes <= 24 else max(4, 960 // classes)
    font = ImageFont.load_default(13 if classes <= 24 else max(8, min(13, cell - 1)))
    short = [name if len(name) <= 18 else name[:17] + "…" for name in names]
    named = cell >= 10
    edge = round(max(map(font.getlength, short))) + 16 if named else 12
    head = 26
    sheet = Image.new("RGB", (edge + classes * cell + 16, head + classes * cell + edge + 8), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (edge, 6), "rows: the truth · columns: what the classifier says" + (", in %" if cell == 40 else ""), INK, font
    )
    for row in range(classes):
        for column in range(classes):
            share = float(shares[row, column])
            colour = _mix(REAL if row == column else FAKE, PAPER, share**0.5)  # the root makes rare errors visible
            left, top = edge + column * cell, head + row * cell
            pen.rectangle((left, top, left + cell - 2, top + cell - 2), colour)
            if cell == 40 and share >= 0.005:
                ink = PAPER if share > 0.35 else INK
                pen.text((left + cell / 2 - 1, top + cell / 2 - 1), f"{100 * share:.0f}", ink, font, anchor="mm")
    if named:
        for place, name in enumerate(short):
            middle = place * cell + cell / 2 - 1
            pen.text((edge - 8, head + middle), name, INK, font, anchor="rm")
            word = Image.new("RGB", (edge, cell), PAPER)
            ImageDraw.Draw(word).text((edge - 8, cell / 2), name, INK, font, anchor="rm")
            sheet.paste(word.rotate(90, expand=True), (round(edge + middle - cell / 2), head + classes * cell))
    return sheet


def to_bytes(images: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Numbers to uint8, the ends of value_range to 0 and 255; values outside are clipped, NaN becomes 0."""
    if value_range is None:
        if images.dtype == np.uint8:
            return images
        if images.dtype != np.uint16:
            raise ValueError(f"{images.dtype} images need a value_range: the values shown as black and white")
        value_range = (0, 65535)
    low, high = value_range
    if not high > low:
        raise ValueError(f"value_range must be (low, high) with low < high, got {value_range}")
    shown = (images.astype(np.float32) - low) * (255 / (high - low))
    return np.rint(np.nan_to_num(shown).clip(0, 255)).astype(np.uint8)


def rgb(images: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Images as for `grid`, as uint8 (N, H, W, 3) for display."""
    shown = opaque(to_bytes(images, value_range))
    return shown if shown.shape[3] == 3 else shown.repeat(3, axis=3)


def seen(images: np.ndarray, value_range: tuple[float, float] | None, alpha: bool) -> np.ndarray:
    """Images as for `grid`, as uint8 (N, H, W, 3), or with alpha (N, H, W, 4)."""
    if not alpha:
        return rgb(images, value_range)
    shown = to_bytes(images, value_range)
    return shown if shown.shape[3] == 4 else np.concatenate([shown[..., :1].repeat(3, axis=3), shown[..., 1:]], axis=3)


def palette(count: int) -> np.ndarray:
    """A colour for each of `count` classes, uint8 (256, 3): hues by the golden ratio, so that any few differ; class 0
    and pixels without class are dark."""
    colours = np.zeros((256, 3), np.uint8)
    for number in range(count):
        hue, light = (number * 0.618034) % 1, (0.95, 0.7, 0.5)[number % 3]
        colours[number] = np.rint(
            255 * np.array(colorsys.hsv_to_rgb(hue, 0.65 if number else 0.1, light if number else 0.3))
        )
    return colours


def coloured(maps: np.ndarray, count: int) -> np.ndarray:
    """Label maps (..., H, W) as uint8 (..., H, W, 3), each class in its colour of the palette."""
    return palette(count)[maps]


def refuse_no_colour(background: str) -> None:
    """Raises ConfigError unless it is a CSS colour."""
    try:
        ImageColor.getrgb(background)
    except ValueError:
        raise ConfigError(f"background is {background!r}; use a CSS colour such as white or #ffcc00.") from None


def over(images: np.ndarray, background: str) -> np.ndarray:
    """uint8 images (..., 2 or 4) composited on a CSS colour, (..., 3); other images unchanged."""
    if images.shape[-1] not in (2, 4):
        return images
    ground = np.array(ImageColor.getcolor(background, "RGB"), np.float32)
    alpha = images[..., -1:].astype(np.float32) / 255
    return np.rint(alpha * images[..., :-1] + (1 - alpha) * ground).astype(np.uint8)


def opaque(images: np.ndarray) -> np.ndarray:
    """uint8 images (N, H, W, C) with 1 or 3 channels: alpha (C = 2 or 4) composited on a checkerboard, else the first
    three."""
    channels = images.shape[3]
    if channels not in (2, 4):
        return images if channels == 1 else images[..., :3]
    height, width = images.shape[1:3]
    check = max(2, max(height, width) // 12)
    odd = (np.arange(height)[:, None] // check + np.arange(width) // check) % 2
    board = np.asarray(CHECKS, dtype=np.float32)[odd][..., None]
    alpha = images[..., -1:].astype(np.float32) / 255
    return np.rint(alpha * images[..., :-1] + (1 - alpha) * board).astype(np.uint8)


def density_picture(
    real: np.ndarray, fake: np.ndarray, score: Function | None = None, density: Function | None = None
) -> Image.Image:
    """The state of a game on points of one or two dimensions, after figure 1 of Goodfellow et al. 2014.

    real (n, D), fake (m, D). score: the discriminator's probability D(x) in [0, 1]. density: the data's density p(x),
    if known. One dimension: the data (curve of p, else a histogram), a histogram of the generated points, D(x), and
    with a known p the optimal discriminator for this generator, D*(x) = p(x) / (p(x) + q(x)), with q a kernel density
    estimate of the generated points. Two: both sets of points over a map of D(x). The axes depend on the real points
    only, so that pictures of a run are comparable. Raises ValueError for any other number of dimensions."""
    if real.ndim != 2 or real.shape[1] not in (1, 2) or fake.shape[1:] != real.shape[1:]:
        raise ValueError(f"only points of one or two dimensions can be drawn, got {real.shape} and {fake.shape}")
    return (_one_dimension if real.shape[1] == 1 else _two_dimensions)(real, fake[_finite(fake)], score, density)


def kernel_density(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian kernel density estimate (m,) of points (n,) at the positions `at` (m,); Silverman's rule."""
    if len(points) == 0:
        return np.zeros(len(at))
    quartiles = np.subtract(*np.percentile(points, [75, 25])) / 1.349
    spread = min(points.std(), quartiles) or points.std()
    # A collapsed generator has no spread; a minimal bandwidth keeps its peak visible and finite.
    bandwidth = max(0.9 * spread * len(points) ** -0.2, (at[-1] - at[0]) / 400)
    gaps = (at[:, None] - points[None, :]) / bandwidth
    return np.exp(-0.5 * gaps**2).sum(1) / (len(points) * bandwidth * np.sqrt(2 * np.pi))


class _Axes:
    """A plot drawn at three times its size and reduced at the end, for anti-aliasing."""

    fine = 3

    def __init__(self, size: tuple[int, int], x: tuple[float, float], y: tuple[float, float], right: int) -> None:
        self.size, self.x, self.y = size, x, y
        self.box = (52, 46, size[0] - right, size[1] - 38)  # left, top, right, bottom of the frame, in pixels
        self.image = Image.new("RGB", (size[0] * self.fine, size[1] * self.fine), PAPER)
        self.font = ImageFont.load_default(13 * self.fine)

    def pixels(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        left, top, right, bottom = self.box
        across = left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (right - left)
        down = bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - top)
        return np.stack([across, down.clip(top - 1, bottom)], axis=-1) * self.fine

    def heat(self, colours: np.ndarray) -> None:
        """Fill the frame with colours (h, w, 3) uint8, first row at the top."""
        left, top, right, bottom = (edge * self.fine for edge in self.box)
        picture = Image.fromarray(colours).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        self.image.paste(picture, (left, top))

    def line(self, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int], dash: float = 0) -> None:
        """A curve; dash is the length of its strokes in pixels, 0 for none."""
        points = self.pixels(x, y)
        pen = ImageDraw.Draw(self.image)
        if not dash:
            pen.line([tuple(point) for point in points], fill=colour, width=2 * self.fine, joint="curve")
            return
        walked = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]) / self.fine
        stroke = (walked // dash).astype(int)
        for number in range(0, stroke[-1] + 1, 2):
            part = points[stroke == number]
            if len(part) > 1:
                pen.line([tuple(point) for point in part], fill=colour, width=2 * self.fine)

    def area(self, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int], strength: float) -> None:
        """The area between a curve and the axis, filled with the transparent colour."""
        points = self.pixels(np.concatenate([x[:1], x, x[-1:]]), np.concatenate([[self.y[0]], y, [self.y[0]]]))
        veil = Image.new("L", self.image.size)
        ImageDraw.Draw(veil).polygon([tuple(point) for point in points], fill=round(255 * strength))
        self.image.paste(colour, (0, 0), veil)

    def dots(self, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int], strength: float) -> None:
        """A dot for each pair inside the frame; overlapping dots do not add up."""
        inside = (x >= self.x[0]) & (x <= self.x[1]) & (y >= self.y[0]) & (y <= self.y[1])
        veil = Image.new("L", self.image.size)
        pen, radius = ImageDraw.Draw(veil), 1.7 * self.fine
        for across, down in self.pixels(x[inside], y[inside]):
            pen.ellipse((across - radius, down - radius, across + radius, down + radius), fill=round(255 * strength))
        self.image.paste(colour, (0, 0), veil)

    def text(self, at: tuple[float, float], text: str, anchor: str = "lm", colour: tuple[int, int, int] = INK) -> None:
        """Text at a position in pixels of the finished picture."""
        ImageDraw.Draw(self.image).text(
            (at[0] * self.fine, at[1] * self.fine), text, fill=colour, font=self.font, anchor=anchor
        )

    def frame(self, label: str = "x") -> None:
        """The frame, ticks at the bottom and left, and the label of the x axis."""
        pen, fine = ImageDraw.Draw(self.image), self.fine
        left, top, right, bottom = self.box
        pen.rectangle((left * fine, top * fine, right * fine, bottom * fine), outline=FAINT, width=fine)
        for tick in ticks(*self.x):
            across = float(self.pixels(np.asarray(tick), np.asarray(0.0))[0])
            pen.line((across, bottom * fine, across, (bottom + 4) * fine), fill=INK, width=fine)
            self.text((across / fine, bottom + 8), f"{tick:g}", "mt")
        for tick in ticks(*self.y):
            down = float(self.pixels(np.asarray(0.0), np.asarray(tick))[1])
            pen.line(((left - 4) * fine, down, left * fine, down), fill=INK, width=fine)
            self.text((left - 8, down / fine), f"{tick:g}", "rm")
        self.text((right, self.size[1] - 8), label, "rm")

    def legend(self, entries: Sequence[tuple[str, tuple[int, int, int], str]]) -> None:
        """The legend; each entry is (words, colour, "line" | "dash" | "area" | "dot")."""
        pen, fine, across = ImageDraw.Draw(self.image), self.fine, float(self.box[0])
        for words, colour, kind in entries:
            if kind == "dot":
                pen.ellipse(((across + 6) * fine, 18 * fine, (across + 14) * fine, 26 * fine), fill=colour)
            elif kind == "area":
                pen.rectangle(
                    (across * fine, 17 * fine, (across + 20) * fine, 27 * fine), fill=_mix(colour, PAPER, 0.5)
                )
            else:
                for start, stop in [(0, 20)] if kind == "line" else [(0, 5), (7.5, 12.5), (15, 20)]:
                    pen.line(((across + start) * fine, 22 * fine, (across + stop) * fine, 22 * fine), colour, 2 * fine)
            self.text((across + 26, 22), words)
            across += 26 + self.font.getlength(words) / fine + 18

    def finished(self) -> Image.Image:
        return self.image.resize(self.size, Image.Resampling.LANCZOS)


def _one_dimension(real: np.ndarray, fake: np.ndarray, score: Function | None, density: Function | None) -> Image.Image:
    reals, fakes = real[:, 0].astype(np.float64), fake[:, 0].astype(np.float64)
    low, high = _span(reals, 0.5)
    x = np.linspace(low, high, 700)
    bins = np.linspace(low, high, 71)
    data = density(x[:, None]) if density else kernel_density(reals, x)
    # The histogram includes generated points outside the axis, so that its area shows their share.
    height = np.histogram(fakes, bins)[0] / max(1, len(fakes)) / (bins[1] - bins[0])
    axes = _Axes((720, 400), (low, high), (0, 1.8 * float(data.max())), right=46)
    axes.frame()
    axes.area(np.repeat(bins, 2)[1:-1], np.repeat(height, 2), FAKE, 0.45)
    axes.line(x, data, REAL)
    entries = [("data" if density else "data (estimate)", REAL, "line"), ("generated", FAKE, "area")]
    if score or density:
        top = axes.y[1]  # D goes from 0 to 1 on its own axis, at the right
        if density:
            generated = kernel_density(fakes, x)
            both = data + generated
            best = np.divide(data, both, out=np.full_like(both, np.nan), where=both > 0.002 * both.max())
            seen = np.isfinite(best)
            axes.line(x[seen], best[seen] * top, _mix(JUDGE, PAPER, 0.6), dash=5)
        if score:
            axes.line(x, np.asarray(score(x[:, None]), dtype=np.float64).reshape(-1) * top, JUDGE)
            entries.append(("D(x)", JUDGE, "line"))
        if density:
            entries.append(("best D(x)", _mix(JUDGE, PAPER, 0.6), "dash"))
    if score or density:
        _, upper, right, lower = axes.box
        for share in (0, 0.5, 1):
            axes.text((right + 8, lower - share * (lower - upper)), f"{share:g}", "lm", JUDGE)
    axes.legend(entries)
    return axes.finished()


def _two_dimensions(
    real: np.ndarray, fake: np.ndarray, score: Function | None, density: Function | None
) -> Image.Image:
    low, high = _span(real.reshape(-1).astype(np.float64), 0.25)
    axes = _Axes((560, 560), (low, high), (low, high), right=24)
    entries = [("real", REAL, "dot"), ("generated", FAKE, "dot")]
    if score:
        side = np.linspace(low, high, 96)
        places = np.stack(np.meshgrid(side, side[::-1]), axis=-1).reshape(-1, 2)
        judged = np.asarray(score(places), dtype=np.float64).reshape(96, 96, 1).clip(0, 1)
        pale = [np.asarray(_mix(colour, PAPER, 0.42), dtype=np.float64) for colour in (FAKE, REAL)]
        white = np.asarray(PAPER, dtype=np.float64)
        colours = np.where(
            judged < 0.5, pale[0] + (white - pale[0]) * 2 * judged, white + (pale[1] - white) * (2 * judged - 1)
        )
        axes.heat(np.rint(colours).astype(np.uint8))
        entries += [("D near 1", _mix(REAL, PAPER, 0.42), "area"), ("D near 0", _mix(FAKE, PAPER, 0.42), "area")]
    shown = 2000  # more dots would hide each other
    axes.dots(real[:shown, 0], real[:shown, 1], REAL, 0.75)
    axes.dots(fake[:shown, 0], fake[:shown, 1], FAKE, 0.85)
    axes.frame("")
    axes.legend(entries)
    return axes.finished()


def ticks(low: float, high: float) -> list[float]:
    """Five to ten round numbers from low to high: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 7
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [float(round(number * step, 12)) for number in range(int(np.ceil(low / step)), int(high / step + 1e-9) + 1)]


def _span(values: np.ndarray, margin: float) -> tuple[float, float]:
    low, high = np.percentile(values, [0.2, 99.8])
    wide = (high - low) or 1.0
    return float(low - margin * wide), float(high + margin * wide)


def _finite(points: np.ndarray) -> np.ndarray:
    return np.isfinite(points).all(1)


def _mix(colour: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in zip(colour, other, strict=True))
    return red, green, blue
