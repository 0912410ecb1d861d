"""Image sizes that networks of upsampling layers support: a small base, doubled the same number of times on both sides.

Without torch, so that commands can check a size quickly.
"""

import math

SMALLEST, LARGEST = 8, 256  # pixels a side
BASES = range(2, 8)  # sides of the smallest feature map; 8 would be 4 doubled


def doublings(height: int, width: int) -> tuple[int, int, int]:
    """(base height, base width, n) with height = base height * 2^n and width = base width * 2^n.

    Of several n, the one whose base is nearest the usual 4x4: 64 is (4, 4, 4), 28 is (7, 7, 2), 48x80 is (3, 5, 4).
    Raises ValueError, naming the nearest sizes that work, when there is none."""
    fits = [
        (height >> n, width >> n, n)
        for n in range(1, 8)
        if height % 2**n == width % 2**n == 0 and height >> n in BASES and width >> n in BASES
    ]
    if not fits or not SMALLEST <= min(height, width) <= max(height, width) <= LARGEST:
        near = " or ".join(f"{h}x{w}" for h, w in nearest_sizes(height, width))
        raise ValueError(
            f"images of {height}x{width} pixels cannot be made by doubling a small base "
            f"(2 to 7 pixels a side; images from {SMALLEST} to {LARGEST}): take {near}"
        )
    return min(fits, key=lambda fit: (abs(math.sqrt(fit[0] * fit[1]) - 4), fit[2]))


def nearest_size(height: int, width: int) -> tuple[int, int]:
    """The size that works and is nearest in pixels; the smaller of two as near."""
    return nearest_sizes(height, width)[0]


def nearest_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """The nearest size that fits within height x width and the nearest that covers it, the nearer of the two first.

    Only one of them where there is no other; the size itself where it works."""
    sizes = [(h << n, w << n) for n in range(1, 8) for h in BASES for w in BASES]
    sizes = sorted({size for size in sizes if min(size) >= SMALLEST and max(size) <= LARGEST})
    within = [size for size in sizes if size[0] <= height and size[1] <= width]
    cover = [size for size in sizes if size[0] >= height and size[1] >= width]

    def distance(size: tuple[int, int]) -> int:
        return (size[0] - height) ** 2 + (size[1] - width) ** 2

    best = {min(found, key=distance) for found in (within, cover) if found} or {min(sizes, key=distance)}
    return sorted(best, key=lambda size: (distance(size), size))
