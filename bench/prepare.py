"""How fast `zerosum prepare` packs small JPEG files.

    python -m bench.prepare [COUNT]

The files are noise over a gradient, 128 to 256 pixels a side and about 13 kB each, like the crops that people train on;
they lie in the page cache, so the figure is of decoding and packing, not of the disk. Both passes, the headers and the
pixels, the duplicates and the report are in the time. On a machine that is busy with other work the time that the
processors spent says more than the time that passed, so both are printed.
"""

import io
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from zerosum.data.pack.prepare import prepare
from zerosum.data.parallel import WORKERS
from zerosum.utils.seeds import rng


def write_photos(folder: Path, count: int) -> int:
    """`count` JPEG files; returns their mean size in bytes."""
    total = 0
    for number in range(count):
        draw = rng("bench photo", number)
        height, width = draw.integers(128, 257, 2)
        coarse = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
        photo = (smooth + draw.integers(-24, 25, smooth.shape)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "JPEG", quality=85)
        (folder / f"{number:06}.jpg").write_bytes(file.getvalue())
        total += file.tell()
    return total // count


def main() -> None:
    """Print the figure for 64 pixels, the best and the median of three rounds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as root:
        photos = Path(root) / "photos"
        photos.mkdir()
        mean = write_photos(photos, count)
        seconds, spent = [], time.process_time()
        for round_number in range(3):
            started = time.perf_counter()
            prepare(photos, Path(root) / f"packed{round_number}", (64, 64))
            seconds.append(time.perf_counter() - started)
        spent = (time.process_time() - spent) / len(seconds)
        seconds.sort()
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{count} JPEG files of {mean / 1000:.1f} kB to 64x64, {WORKERS} threads{load}")
    print(f"best {count / seconds[0]:,.0f} images/s, median {count / seconds[1]:,.0f} images/s")
    print(f"{1000 * spent / count:.2f} ms of a core an image")


if __name__ == "__main__":
    main()
