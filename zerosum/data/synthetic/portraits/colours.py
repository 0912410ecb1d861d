"""The palette, in which any colours go together."""

Colour = tuple[int, int, int]

SKIN: dict[str, Colour] = {
    "porcelain": (250, 222, 206),
    "fair": (244, 204, 176),
    "golden": (232, 184, 140),
    "tan": (206, 150, 108),
    "brown": (160, 106, 74),
    "deep": (112, 72, 54),
}
HAIR: dict[str, Colour] = {
    "black": (48, 43, 54),
    "brown": (98, 66, 50),
    "auburn": (142, 62, 48),
    "ginger": (212, 114, 54),
    "blond": (232, 194, 118),
    "rose": (206, 104, 132),
    "grey": (204, 204, 210),
}
EYES: dict[str, Colour] = {
    "brown": (96, 58, 38),
    "amber": (192, 128, 44),
    "green": (78, 146, 88),
    "blue": (64, 124, 196),
}
FRAMES: dict[str, Colour] = {"ink": (46, 46, 58), "tortoise": (122, 72, 40), "wine": (134, 40, 62)}
CLOTHES: dict[str, Colour] = {
    "navy": (62, 82, 128),
    "teal": (58, 134, 132),
    "coral": (228, 116, 100),
    "mustard": (224, 172, 74),
    "plum": (126, 80, 122),
    "cream": (240, 232, 216),
    "forest": (78, 118, 90),
    "charcoal": (76, 78, 90),
}
BACKGROUND: dict[str, Colour] = {
    "sky": (176, 210, 232),
    "mint": (184, 222, 204),
    "sand": (238, 222, 190),
    "lilac": (206, 196, 230),
    "blush": (244, 206, 202),
    "slate": (150, 170, 188),
}
WHITE: Colour = (255, 253, 250)
NIGHT: Colour = (38, 30, 52)  # the tint of shadows
BLOOD: Colour = (208, 62, 62)  # the tint of cheeks and lips
PAPER: Colour = (255, 255, 255)
INK: Colour = (26, 20, 28)
PALE: Colour = (226, 214, 206)  # the tint of skin with age
MOUTH: Colour = (118, 36, 46)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """One colour with a share (0 to 1) of another."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )
