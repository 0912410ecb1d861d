"""The head and the face, without hair."""

from zerosum.data.synthetic.portraits import colours
from zerosum.data.synthetic.portraits.colours import mix
from zerosum.data.synthetic.portraits.measures import Measures, cornered, mirrored, oval
from zerosum.data.synthetic.portraits.scene import Point, Scene
from zerosum.data.synthetic.portraits.traits import smooth


def head(scene: Scene, m: Measures) -> None:
    """Ears, unless covered by hair, and the face with shadow, blush and freckles."""
    hidden = m.traits.hair_style in ("bob", "long")
    for side, ear in () if hidden else ((-1, "left ear"), (1, "right ear")):
        x, y, high = side * (m.wide + 2) - m.shift, m.eyes + 12, 14 + 4.5 * m.life
        scene.area(ear, oval(x, y, 9.5, high), m.skin)
        scene.area(None, oval(x + side, y + 1, 4.5, high - 6), m.shade, 0.5)
    right = m.contour()
    scene.area("face", mirrored(right), m.skin)
    inner = [(x * 0.74 + 2, y - 4) for x, y in reversed(right[1:-1])]
    scene.area(None, [*right[1:], *inner], m.shade, 0.3)  # the light comes from the left
    flush = 0.075 - 0.04 * m.life + 0.04 * m.child + 0.025 * max(m.traits.smile, 0)
    for side in (-1, 1):
        for size in (1.15, 0.92, 0.69, 0.46):
            cheek = oval(side * m.wide * 0.58 + m.shift, m.eyes + 29, 16 * size, 11 * size)
            scene.area(None, cheek, colours.BLOOD, flush)
    if m.traits.freckles:
        for side in (-1, 1):
            for x, y in ((12, 0), (19, 5), (26, -1), (33, 5), (40, -1)):
                scene.area(None, oval(side * x + m.shift, m.eyes + 22 + y, 1.7, 1.7), m.shade, 0.75)


def lines_of_age(scene: Scene, m: Measures) -> None:
    """Folds beside the mouth, bags under the eyes, crow's feet, cheek folds and forehead lines, one after the other
    with age."""
    age, x, y = m.traits.age, m.shift, m.eyes
    for start, width, points in (
        (24, 2.6, [(16, y + 31), (25, y + 40), (29, y + 52)]),
        (36, 2.2, [(16, y + 15), (27, y + 19), (37, y + 14)]),
        (46, 2.0, [(44, y - 3), (50, y - 8)]),
        (48, 2.0, [(44, y + 4), (51, y + 5)]),
        (60, 2.2, [(35, y + 44), (38, y + 54), (36, y + 63)]),
    ):
        strength = smooth((age - start) / 34)
        for side in (-1, 1) if strength > 0.02 else ():
            curve = [(side * px + x, py) for px, py in points]
            scene.line(None, curve, m.shade, width * (0.6 + 0.6 * strength), 0.85 * strength)
    for start, height, wide in ((40, -36, 26), (50, -45, 30), (62, -54, 25)):
        strength = smooth((age - start) / 30)
        if strength > 0.02:
            curve = [(x - wide, height + 3), (x - wide * 0.4, height), (x + wide * 0.4, height), (x + wide, height + 3)]
            scene.line(None, curve, m.shade, 2.4, 0.75 * strength)


def nose(scene: Scene, m: Measures) -> None:
    """Soft, without an outline; it grows throughout life."""
    size = m.traits.nose * (0.76 - 0.14 * m.child + 0.36 * m.life)
    x, tip, wing = 1.7 * m.shift, m.eyes + 16 + 13 * size, 11 * size
    left = [(x - wing * 0.6, tip + 4), (x - wing, tip - 3), (x - wing * 0.5, tip - 12)]
    right = [(2 * x - px, py) for px, py in reversed(left)]
    colour = mix(m.skin, m.shade, 0.32)
    scene.area("nose", [(1.2 * m.shift, m.eyes + 8), *right, (x, tip + 6), *left], colour, detail=False)
    scene.area(None, oval(x - wing * 0.22, tip - 4, wing * 0.42, 5 * size), colours.WHITE, 0.28)
    nostrils = [(x - wing * 0.95, tip), left[0], (x, tip + 6), right[-1], (x + wing * 0.95, tip)]
    scene.line(None, nostrils, m.shade, 2.4, 0.75)


def beard(scene: Scene, m: Measures) -> None:
    """A moustache, or a full beard that also covers the jaw."""
    kind, y = m.traits.beard, m.mouth
    if kind == "none":
        return
    colour = mix(m.hair, colours.NIGHT, 0.12)
    if kind == "beard":
        inner = [(0, y - 13), (20, y - 14), (m.wide * 0.62, y - 9), (m.wide * 0.84, 16), (m.wide * 0.97, 8)]
        jaw = [(x * 1.03, below + 3) for x, below in m.contour()[4:]]
        scene.area("beard", mirrored([*inner, *jaw]), colour)
    lift = 3 * m.traits.smile
    half = [(0, y - 15), (13, y - 15), (26, y - 5 - lift), (30, y + 3 - lift), (18, y - 1 - lift), (0, y - 4)]
    scene.area("beard", [(x + m.shift, below) for x, below in mirrored(half)], colour)


def mouth(scene: Scene, m: Measures) -> None:
    """Lips; a smile lifts and widens them, and a broad one opens them and shows teeth."""
    smile, x = m.traits.smile, 1.2 * m.shift
    joy = max(smile, 0.0)
    half = m.traits.mouth * (18 + 5 * joy) * (1 - 0.14 * m.child)
    corner = m.mouth - 1.5 - (6 * joy if joy else 3.5 * smile)
    middle = m.mouth + 3 * joy
    thick = m.traits.lips * (5.6 - m.child - 2.6 * m.life)
    gape = 15 * smooth((smile - 0.3) / 0.7)

    def line(*shares: float, below: float = 0.0) -> list[Point]:
        """Points along the line between the lips, as shares of the half width from the centre, or a curve below it."""
        return [(x + half * s, middle + (corner - middle) * s * s + below * (1 - s * s)) for s in shares]

    ends = cornered(line(-1)), cornered(line(1))
    upper = [(px, py - thick * high) for (px, py), high in zip(line(-0.5, -0.16, 0, 0.16, 0.5), _BOW, strict=True)]
    lower = line(0.6, 0, -0.6, below=thick + gape + 1)
    scene.area("mouth", [*ends[0], *upper, *ends[1], *lower], m.lips)
    if gape < 1:
        scene.line("mouth", line(-1, -0.5, 0, 0.5, 1, below=0.6), mix(m.lips, colours.MOUTH, 0.75), 2.6)
        return
    roof = [*cornered(line(-0.88)), *line(-0.5, 0, 0.5), *cornered(line(0.88))]
    scene.area("mouth", [*roof, *line(0.55, 0, -0.55, below=gape)], colours.MOUTH)
    scene.area("mouth", [*roof, *line(0.55, 0, -0.55, below=gape * 0.52)], colours.WHITE, detail=False)


_BOW = (0.6, 1, 0.7, 1, 0.6)  # thickness of the upper lip from left to right


def eye(scene: Scene, m: Measures, side: int) -> None:
    """The left (side -1) or right eye: large in children, narrower every year, and squinting in a smile."""
    part = "left eye" if side < 0 else "right eye"
    size = m.traits.eye_size * (1.14 + 0.1 * m.child - 0.2 * m.life)
    x, y = side * m.gap + m.shift, m.eyes
    wide, high = 13.5 * size, 10.5 * size * (1 - 0.16 * m.old)
    squint = 1.5 * max(m.traits.smile, 0)
    lid = [(x - wide, y + 1), (x - wide * 0.6, y - high * 0.72), (x, y - high), (x + wide * 0.6, y - high * 0.72)]
    lower = [(x + wide * share, y + high * deep - squint) for share, deep in ((0.55, 0.72), (0, 0.9), (-0.55, 0.72))]
    scene.area(part, [*lid, (x + wide, y + 1), *lower], colours.WHITE)
    colour, iris, look = colours.EYES[m.traits.eyes], 8.2 * size, x + 1.4 * m.traits.turn
    scene.area(part, oval(look, y - 0.6, iris, min(iris, high * 0.94)), colour)
    scene.area(None, oval(look, y + iris * 0.38, iris * 0.66, iris * 0.5), colours.WHITE, 0.22)
    scene.area(part, oval(look, y - 0.6, iris * 0.5, iris * 0.5), mix(colour, colours.INK, 0.85))
    scene.area(None, oval(look - iris * 0.34, y - iris * 0.46, iris * 0.27, iris * 0.27), colours.WHITE)
    lashes = [(x - side * wide, y + 1), (x - side * wide * 0.62, y - high * 0.7), (x, y - high)]
    outside = [(x + side * wide * 0.66, y - high * 0.7), (x + side * (wide + 2.5), y - 1.5)]
    scene.line(part, [*lashes, *outside], mix(m.shade, colours.INK, 0.72), 3.4)


def brow(scene: Scene, m: Measures, side: int) -> None:
    """The brow over the left (side -1) or right eye; sorrow raises its inner end."""
    x, y = side * m.gap + m.shift, m.eyes - 21 - 2 * m.child - 1.5 * max(m.traits.smile, 0)
    thick = m.traits.brow * (3.1 - m.child)
    slant = 1.6 * m.traits.brow_slant + 3 * min(m.traits.smile, 0)
    inner, outer = (x - side * 13, y + 2 + slant), (x + side * 15, y + 3 - slant * 0.5)
    arch = (x + side * 3, y - 3.2)
    above, below = ((point[0], point[1] - thick) for point in (inner, arch)), (arch[0], arch[1] + thick * 0.7)
    colour = mix(mix(m.hair, m.shade, 0.18), colours.NIGHT, 0.16)
    part = "left brow" if side < 0 else "right brow"
    scene.area(part, [*above, *cornered([outer]), below, (inner[0], inner[1] + thick)], colour)


def glasses(scene: Scene, m: Measures) -> None:
    """Frames with a little glare, for people who wear glasses."""
    if not m.traits.glasses:
        return
    colour, y = colours.FRAMES[m.traits.frame_colour], m.eyes + 2
    for side in (-1, 1):
        x = side * m.gap + m.shift
        lens = oval(x, y, 21, 20) if m.traits.frames == "round" else [(x + px, y + py) for px, py in _SQUARE]
        scene.area(None, lens, colours.WHITE, 0.1)
        glare = [(x - 11, y + 6), (x + 1, y - 13), (x + 7, y - 12), (x - 6, y + 10)]
        scene.area(None, cornered(glare), colours.WHITE, 0.16)
        scene.line("glasses", lens, colour, 4.4, closed=True)
        scene.line("glasses", [(x + side * 20, y - 5), (side * (m.wide + 1), y - 7)], colour, 4)
    reach = m.gap - 20
    bridge = [(m.shift + share * reach, y + high) for share, high in ((-1, -3), (-0.4, -7), (0.4, -7), (1, -3))]
    scene.line("glasses", bridge, colour, 4)


_SQUARE = [
    *((-20.0, -12.0), (-15.0, -17.0), (0.0, -17.5), (15.0, -17.0), (20.0, -12.0), (20.0, 0.0)),
    *((18.5, 11.0), (13.0, 16.0), (0.0, 16.5), (-13.0, 16.0), (-18.5, 11.0), (-20.0, 0.0)),
]
