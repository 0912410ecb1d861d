"""A picture as a list of shapes, from back to front, and ways to render it.

Points are in units of 1/256 of the picture's side, x to the right and y down. Curves are smooth through all points of a
shape; a repeated point makes a corner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

import aggdraw
import numpy as np

from zerosum.data.synthetic.portraits.colours import INK, PAPER, Colour

Point = tuple[float, float]

# The parts that shapes depict (the instances), and the class of each. The number of a part is its index in this table.
PARTS = {
    "background": "background",
    "clothes": "clothes",
    "neck": "skin",
    "face": "skin",
    "left ear": "skin",
    "right ear": "skin",
    "hair": "hair",
    "beard": "beard",
    "left brow": "brows",
    "right brow": "brows",
    "left eye": "eyes",
    "right eye": "eyes",
    "nose": "nose",
    "mouth": "mouth",
    "glasses": "glasses",
}
LABELS = tuple(dict.fromkeys(PARTS.values()))

_NUMBERS = {part: number for number, part in enumerate(PARTS)}
_LABEL_OF = np.array([LABELS.index(label) for label in PARTS.values()], np.uint8)


@dataclass(slots=True)
class Shape:
    """An area (width 0) or a line of some width, in units. A shape without a part is light, shadow or texture."""

    points: Sequence[Point]
    colour: Colour
    part: str | None
    opacity: float
    width: float
    closed: bool
    detail: bool  # whether its edge is in the outline drawing
    upright: bool  # whether it stays upright when the head is tilted


@dataclass
class Scene:
    """Shapes of the body, which stays upright, and of the head, which is tilted about the centre."""

    backdrop: Colour
    centre: Point
    scale: float
    tilt: float  # degrees
    shapes: list[Shape] = field(default_factory=list)
    upright: bool = False  # whether the shapes added now belong to the body

    def area(
        self, part: str | None, points: Sequence[Point], colour: Colour, opacity: float = 1.0, detail: bool = True
    ) -> None:
        """A filled area; the edge of a part is in the outline drawing, unless detail=False."""
        self.shapes.append(Shape(points, colour, part, opacity, 0.0, True, detail and part is not None, self.upright))

    def line(
        self, part: str | None, points: Sequence[Point], colour: Colour, width: float, opacity: float = 1.0,
        closed: bool = False,
    ) -> None:  # fmt: skip
        """A line through the points, which is in the outline drawing, too."""
        self.shapes.append(Shape(points, colour, part, opacity, width, closed, True, self.upright))

    def picture(self, height: int, width: int) -> np.ndarray:
        """The anti-aliased picture, uint8 (height, width, 3)."""
        pixels = min(height, width) / 256 * self.scale
        canvas = aggdraw.Draw("RGB", (width, height))
        canvas.frombytes(_backdrop(height, width, self.backdrop))
        for shape, curve in self._curves(height, width):
            opacity = round(255 * shape.opacity)
            if shape.width:
                canvas.path(_path(shape, curve), aggdraw.Pen(shape.colour, shape.width * pixels, opacity))
            else:
                canvas.polygon(curve, aggdraw.Brush(shape.colour, opacity))
        return _pixels(canvas, height, width)

    def outline(self, height: int, width: int) -> np.ndarray:
        """A line drawing, dark on white, uint8 (height, width), with hidden lines removed."""
        pixels = min(height, width) / 256 * self.scale
        pen, thin = (aggdraw.Pen(INK, max(share, share * 1.6 * pixels)) for share in (1.0, 0.7))
        paper = aggdraw.Brush(PAPER)
        canvas = aggdraw.Draw("RGB", (width, height), PAPER)
        for shape, curve in self._curves(height, width):
            if not shape.detail:
                continue
            if shape.width:
                canvas.path(_path(shape, curve), thin)
            else:
                canvas.polygon(curve, pen, paper)
        return _pixels(canvas, height, width)[..., 0].copy()

    def instances(self, height: int, width: int) -> np.ndarray:
        """The number of the part that each pixel shows, uint16 (height, width), without anti-aliasing."""
        pixels = min(height, width) / 256 * self.scale
        canvas = aggdraw.Draw("RGB", (width, height), (0, 0, 0))
        canvas.setantialias(False)
        for shape, curve in self._curves(height, width):
            if shape.part is None:
                continue
            number = (_NUMBERS[shape.part], 0, 0)
            if shape.width:  # at least one pixel wide, to leave no gaps
                canvas.path(_path(shape, curve), aggdraw.Pen(number, max(1.2, shape.width * pixels)))
            else:
                canvas.polygon(curve, aggdraw.Brush(number))
        return _pixels(canvas, height, width)[..., 0].astype(np.uint16)

    def labels(self, height: int, width: int) -> np.ndarray:
        """The class that each pixel shows, an index into LABELS, uint8 (height, width)."""
        return _LABEL_OF[self.instances(height, width)]

    def _curves(self, height: int, width: int) -> list[tuple[Shape, list[float]]]:
        """Each shape with its curve in pixels, as a flat list x, y, x, y, ..."""
        side = min(height, width)
        steps = max(2, round(math.sqrt(side / 8)))  # finer pieces would not be visible
        counts = [len(shape.points) for shape in self.shapes]
        flat = chain.from_iterable(chain.from_iterable(shape.points for shape in self.shapes))
        points = np.fromiter(flat, float, 2 * sum(counts)).reshape(-1, 2)
        head, body, shift = self._placement(height, width)
        upright = np.repeat([shape.upright for shape in self.shapes], counts)[:, None]
        points = np.where(upright, points @ body, points @ head) + shift
        knots = np.concatenate([_knots(len(shape.points), shape.closed) for shape in self.shapes])
        knots += np.repeat(np.cumsum(counts) - counts, counts)[:, None]  # indices within a shape start at 0
        curves = _smooth_curves(points[knots], steps).ravel().tolist()
        found, end = [], 0
        for shape, count in zip(self.shapes, counts, strict=True):
            begin, end = end, end + 2 * steps * count
            found.append((shape, curves[begin:end]))
        return found

    def _placement(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The matrices of head and body, and the position of the centre, in pixels."""
        side = min(height, width)
        size, angle = side / 256 * self.scale, math.radians(self.tilt)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        corner = (width - side) / 2, (height - side) / 2
        shift = np.array([corner[axis] + self.centre[axis] * side / 256 for axis in (0, 1)])
        return size * turn, size * np.eye(2), shift


@lru_cache
def _knots(count: int, closed: bool) -> np.ndarray:
    """For each piece of a curve, the indices of its four control points: (pieces, 4). The last of an open curve is
    repeated."""
    around = np.arange(count)[:, None] + np.array([-1, 0, 1, 2])
    if closed:
        return around % count
    around[-1] = count - 1
    return around.clip(0, count - 1)


def _smooth_curves(knots: np.ndarray, steps: int) -> np.ndarray:
    """Pieces (n, 4, 2) of four points each to points (n, steps, 2) along the curve from the second to the third.

    The direction at a point is that from its predecessor to its successor, as in a Catmull-Rom spline. The speed there
    is the piece's own length, so that curves do not swing out where a long piece follows a short one."""
    before, start, end, after = knots.swapaxes(0, 1)
    length = np.hypot(*(end - start).T)[:, None]
    leave, arrive = end - before, after - start
    leave = leave * (length / np.maximum(np.hypot(*leave.T), 1e-9)[:, None])
    arrive = arrive * (length / np.maximum(np.hypot(*arrive.T), 1e-9)[:, None])
    weighted = _hermite(steps) @ np.concatenate([start, leave, arrive, end]).reshape(4, -1)  # (steps, n * 2)
    return weighted.reshape(steps, -1, 2).swapaxes(0, 1)


@lru_cache
def _hermite(steps: int) -> np.ndarray:
    """The weights of start, tangent at the start, tangent at the end, and end, at `steps` positions: (steps, 4)."""
    t = np.arange(steps)[:, None] / steps
    return np.hstack([1 - 3 * t**2 + 2 * t**3, t - 2 * t**2 + t**3, t**3 - t**2, 3 * t**2 - 2 * t**3])


@lru_cache(maxsize=8)
def _backdrop(height: int, width: int, colour: Colour) -> bytes:
    """The pixels of a wall in this colour, softly lit from the upper left."""
    side = min(height, width)
    y, x = ((np.arange(length) + 0.5) / side for length in (height, width))
    distance = np.hypot(*np.meshgrid(x - 0.32, y - 0.26)).clip(0, 1.2)
    light = 1.0 - 0.16 * distance[..., None] ** 1.5
    return (light * colour).astype(np.uint8).tobytes()


def _path(shape: Shape, curve: list[float]) -> aggdraw.Path:
    path = aggdraw.Path(curve)
    if shape.closed:
        path.close()
    return path


def _pixels(canvas: aggdraw.Draw, height: int, width: int) -> np.ndarray:
    return np.frombuffer(canvas.tobytes(), np.uint8).reshape(height, width, 3)
