"""Time left at the current speed."""


def pace_text(rate: float, images: int, images_left: int | None, seconds_left: float | None) -> str:
    """A sentence on the time left at `rate` images a second, after `images` images. At least one of images_left and
    seconds_left is given; the earlier one counts."""
    speed = f"{rate:,.0f} images a second" if rate >= 10 else f"{rate:.2g} images a second"
    by_images = None if images_left is None else images_left / rate
    if seconds_left is not None and (by_images is None or seconds_left < by_images):
        return f"At {speed}, about {_rounded(images + rate * seconds_left):,} images in {duration(seconds_left)} more."
    assert by_images is not None
    return f"At {speed}, about {duration(by_images)} to go."


def _rounded(number: float) -> int:
    """Round down to two significant digits."""
    unit = 10 ** max(0, len(str(int(number))) - 2)
    return int(number) // unit * unit


def duration(seconds: float) -> str:
    """Seconds as "48 s", "12 min 05 s", "3 h 07 min" or "12 days 4 h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 100 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"
