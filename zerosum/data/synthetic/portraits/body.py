"""Neck, shoulders and clothes."""

from zerosum.data.synthetic.portraits import colours
from zerosum.data.synthetic.portraits.colours import Colour, mix
from zerosum.data.synthetic.portraits.measures import Measures, cornered, mirrored
from zerosum.data.synthetic.portraits.scene import Scene

_DEEP = 2000.0  # below the lower edge of any picture


def body(scene: Scene, m: Measures) -> None:
    """Everything below the head, which stays upright when the head is tilted."""
    neck, low = 25 - 7 * m.child, m.chin + 16 - 3 * m.child  # half the neck's width; where it meets the clothes
    cloth = colours.CLOTHES[m.traits.clothes_colour]
    dark, bright = mix(cloth, colours.NIGHT, 0.28), mix(cloth, colours.WHITE, 0.22)
    scene.upright = True
    _neck(scene, m, neck, low)
    if m.traits.clothes == "hood":
        hood = [(0, low + 6), (neck + 6, low - 16), (neck + 24, low - 4), (neck + 34, low + 16), (neck, low + 40)]
        scene.area("clothes", mirrored([*hood, (0, low + 44)]), dark)
    _torso(scene, m, neck, low, cloth, dark)
    {"crew": _crew, "shirt": _shirt, "hood": _cords}[m.traits.clothes](scene, neck, low, dark, bright)
    scene.upright = False


def _neck(scene: Scene, m: Measures, neck: float, low: float) -> None:
    skin = [(neck, 30), (neck, low - 12), (neck + 8, low + 6), (neck, low + 22), (0, low + 30)]
    scene.area("neck", mirrored(skin), m.skin)
    chin = [(neck, m.chin - 20), (neck + 1, m.chin - 2), (neck * 0.5, m.chin + 13), (0, m.chin + 16)]
    scene.area(None, mirrored(chin), m.shade, 0.62)


def _torso(scene: Scene, m: Measures, neck: float, low: float, cloth: Colour, dark: Colour) -> None:
    throat = {"crew": 16, "shirt": 26, "hood": 18}[m.traits.clothes]  # how low the neckline goes
    shoulder = 104 - 22 * m.child
    neckline = [(0, low + throat), (neck * 0.6, low + throat * 0.6), *cornered([(neck + 9, low - 3)])]
    arm = [(shoulder, low + 30), *cornered([(shoulder + 12, low + 70), (shoulder + 12, _DEEP)])]
    scene.area("clothes", mirrored([*neckline, (shoulder * 0.72, low + 10), *arm, (0, _DEEP)]), cloth)
    sleeve = cornered([(shoulder * 0.72, _DEEP), (shoulder * 0.72, low + 70)])
    scene.area(None, [*sleeve, (shoulder * 0.72, low + 44), (shoulder * 0.84, low + 17), *arm], dark, 0.45)


def _crew(scene: Scene, neck: float, low: float, dark: Colour, bright: Colour) -> None:
    left = [(-neck - 8, low - 3), (-neck * 0.62, low + 11)]
    scene.line("clothes", [*left, (0, low + 18), *((-x, y) for x, y in reversed(left))], bright, 6)


def _shirt(scene: Scene, neck: float, low: float, dark: Colour, bright: Colour) -> None:
    for side in (-1, 1):
        collar = [(neck + 4, low - 12), (neck + 16, low + 2), (22, low + 32), (0, low + 24)]
        scene.area("clothes", cornered([(side * x, y) for x, y in collar]), bright)
    scene.line("clothes", [(0, low + 26), (0, _DEEP)], dark, 2.5)


def _cords(scene: Scene, neck: float, low: float, dark: Colour, bright: Colour) -> None:
    for side in (-1, 1):
        scene.line("clothes", [(side * 14, low + 20), (side * 15, low + 36), (side * 13, low + 54)], bright, 3.5)
