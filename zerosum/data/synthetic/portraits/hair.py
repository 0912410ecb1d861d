"""Hair by style: the part behind head and body, and the part in front of the forehead."""

import math
from collections.abc import Sequence

from zerosum.data.synthetic.portraits.colours import NIGHT, WHITE, Colour, mix
from zerosum.data.synthetic.portraits.measures import Measures, cornered, mirrored, oval
from zerosum.data.synthetic.portraits.scene import Point, Scene


def hair_behind(scene: Scene, m: Measures) -> None:
    """The hair that is partly hidden by head, neck and clothes."""
    style, w, back = m.traits.hair_style, m.wide, mix(m.hair, NIGHT, 0.24)
    if style == "long":
        curtain = [(0, -104), (w * 0.82, -88), (w + 12, -40), (w + 14, 30), (w + 16, 110), (w * 0.6, 126), (0, 126)]
        scene.area("hair", mirrored(curtain), back)
    elif style == "bob":
        bell = [(0, -104), (w * 0.82, -88), (w + 14, -38), (w + 17, 20), (w + 16, 58), (w * 0.9, 72), (w * 0.5, 68)]
        scene.area("hair", mirrored([*bell, (0, 66)]), back)
    elif style == "curls":
        scene.area("hair", _cloud(-34, w + 20, 74, 15), mix(m.hair, NIGHT, 0.1))
    elif style == "bun":
        x = 8 * m.traits.side
        scene.area("hair", oval(x, -104, 23, 20), back)
        scene.area(None, oval(x - 6, -110, 9, 6), WHITE, 0.16)


def hair_in_front(scene: Scene, m: Measures) -> None:
    """The hair over the forehead, with its shine and strands."""
    styles = {"crop": _crop, "swept": _swept, "curls": _curls, "bob": _bob, "long": _long, "bun": _bun}
    styles[m.traits.hair_style](scene, m, m.wide, m.hair)


def _crop(scene: Scene, m: Measures, w: float, colour: Colour) -> None:
    """Short; it recedes with age until only the temples are covered."""
    r = m.traits.receding
    hairline = [(x * w, y - 23 * r) for x, y in ((-0.62, -49), (-0.24, -57), (0.2, -57), (0.62, -49))]
    top = [(x, y - high * (1 - r)) for (x, y), high in zip(hairline, (43, 46, 46, 43), strict=True)]
    left = [(-w + 6, -6), (-w - 1, 4), (-w - 5, -26), (-w * 0.93, -66 + 20 * r)]
    right = [(-x, y) for x, y in reversed(left)]
    temple = w * 0.86, -32 - 16 * r
    scene.area("hair", [*left, *top, *right, temple, *reversed(hairline), (-temple[0], temple[1])], colour)
    if r < 0.5:
        _shine(scene, [(-w * 0.78, -62), (-w * 0.5, -84), (-w * 0.08, -92)], colour, 9)
        _strand(scene, [(w * 0.3, -92), (w * 0.42, -78), (w * 0.4, -64)], colour)
        _strand(scene, [(w * 0.66, -78), (w * 0.76, -62), (w * 0.76, -48)], colour)


def _swept(scene: Scene, m: Measures, w: float, colour: Colour) -> None:
    """Parted on one side and combed over to the other; receding, it uncovers the forehead."""
    side, r = m.traits.side, m.traits.receding
    outside = [(-w - 2, 4), (-w - 5, -28), (-w * 0.92, -72), (-w * 0.5, -98 + 12 * r), (0, -111 + 24 * r)]
    outside += [(w * 0.55, -104 + 19 * r), (w * 0.98, -74), (w + 6, -28), (w + 2, 6), (w - 5, -8)]
    hairline = [(w * 0.86, -30 - 22 * r), (w * 0.5, -44 - 30 * r), (0, -58 - 25 * r), (-w * 0.4, -76 - 4 * r)]
    hairline += [(-w * 0.64, -56 - 16 * r), (-w * 0.84, -34 - 12 * r), (-w + 5, -6)]
    scene.area("hair", [(x * side, y) for x, y in outside + hairline], colour)
    if r < 0.5:
        _shine(scene, [(-w * 0.3 * side, -93), (w * 0.2 * side, -94), (w * 0.66 * side, -80)], colour, 9)
        for up in (0, 14):
            combed = [(-w * 0.3, -80 - up * 0.3), (w * 0.2, -72 - up), (w * 0.74, -46 - up)]
            _strand(scene, [(x * side, y) for x, y in combed], colour)


def _curls(scene: Scene, m: Measures, w: float, colour: Colour) -> None:
    fringe = []
    for k in range(11):  # from right to left, in and out
        turn, reach = math.pi * k / 10, 1.06 if k % 2 else 0.92
        fringe.append(((w - 7) * math.cos(turn), -20 - 36 * reach * math.sin(turn)))
    cap = [(-w - 3, -6), (-w - 6, -40), (-w * 0.7, -88), (0, -100), (w * 0.7, -88), (w + 6, -40), (w + 3, -6)]
    scene.area("hair", [*cap, *fringe], mix(colour, NIGHT, 0.1))
    for share, y, size in ((-0.62, -74, 11), (-0.16, -90, 12), (0.32, -84, 11), (0.74, -62, 10), (-0.94, -46, 10)):
        x = share * w
        lock = [(x - size, y + size * 0.3), (x - size * 0.6, y - size * 0.6), (x + size * 0.4, y - size * 0.7)]
        _shine(scene, lock, colour, 4.5)


def _bob(scene: Scene, m: Measures, w: float, colour: Colour) -> None:
    outside = [(0, -107), (w * 0.84, -86), (w + 11, -32), (w + 13, 26), (w + 6, 52), (w - 3, 36), (w - 5, -4)]
    scene.area("hair", mirrored([*outside, (w * 0.78, -30), (w * 0.4, -27), (0, -29)]), colour)
    _shine(scene, [(-w * 0.86, -58), (-w * 0.56, -84), (-w * 0.1, -94)], colour, 10)
    for share in (-0.5, -0.14, 0.22, 0.58):
        _strand(scene, [(share * w * 0.7, -78), (share * w, -56), (share * w * 1.04, -34)], colour)


def _long(scene: Scene, m: Measures, w: float, colour: Colour) -> None:
    """Parted in the middle, and falling over the shoulders on both sides."""
    parting = 12 * m.traits.side
    right = [(w * 0.86, -84), (w + 11, -34), (w + 13, 30), (w + 18, 90), (w + 18, 170), (w - 12, 170), (w - 5, 84)]
    right += [(w - 3, 20), (w * 0.86, -18), (w * 0.52, -48)]
    left = [(-x, y) for x, y in reversed(right)]
    scene.area("hair", [(parting, -106), *right, *cornered([(parting, -78)]), *left], colour)
    scene.line(None, [(parting, -104), (parting, -92), (parting, -80)], mix(colour, NIGHT, 0.35), 2.2, 0.8)
    _shine(scene, [(-w * 0.92, -44), (-w * 0.74, -74), (-w * 0.3, -92)], colour, 10)
    for side in (-1, 1):
        _strand(scene, [(side * w * 0.5, -80), (side * w * 0.96, -44), (side * (w + 5), 30)], colour)


def _bun(scene: Scene, m: Measures, w: float, colour: Colour) -> None:
    """Drawn back from the forehead; the knot itself is behind."""
    outside = [(0, -97), (w * 0.46, -92), (w * 0.88, -70), (w + 3, -28), (w, 2), (w - 4, -10)]
    scene.area("hair", mirrored([*outside, (w * 0.86, -36), (w * 0.5, -60), (0, -67)]), colour)
    _shine(scene, [(-w * 0.8, -56), (-w * 0.56, -76), (-w * 0.14, -87)], colour, 8)
    for x in (-0.7, 0.3, 0.74):
        _strand(scene, [(x * w, -62 + 26 * x * x), (x * w * 0.8, -78 + 14 * x * x), (x * w * 0.34, -92)], colour)


def _shine(scene: Scene, curve: Sequence[Point], colour: Colour, width: float) -> None:
    """Light along a curve of three points: thickest in the middle and pointed at the ends."""
    start, middle, end = curve
    half = width / 2 / math.dist(start, end)
    across = (end[1] - start[1]) * half, (start[0] - end[0]) * half
    one, other = ((middle[0] + sign * across[0], middle[1] + sign * across[1]) for sign in (1, -1))
    scene.area(None, [*cornered([start]), one, *cornered([end]), other], mix(colour, WHITE, 0.5), 0.36)


def _strand(scene: Scene, curve: Sequence[Point], colour: Colour) -> None:
    scene.line(None, curve, mix(colour, NIGHT, 0.4), 2.4, 0.5)


def _cloud(y: float, wide: float, high: float, count: int) -> list[Point]:
    """An ellipse whose edge goes out and in `count` times."""
    points = []
    for k in range(2 * count):
        turn, reach = math.pi * k / count, 0.9 if k % 2 else 1.0
        points.append((wide * reach * math.cos(turn), y + high * reach * math.sin(turn)))
    return points
