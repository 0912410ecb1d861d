"""Films of frames: H.264 through PyAV, animated GIF and WebP through Pillow. They appear whole or not at all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from zerosum.errors import ConfigError
from zerosum.files import whole_file

SEEN = 256  # pixels: the longer side of a film at least, unless a scale is given
LARGEST = 8192  # pixels a side: what decoders of H.264 take
FASTEST = 120  # frames a second
QUALITY = "16"  # the constant rate factor of x264, below the 18 from which a loss may be seen


@dataclass(frozen=True)
class Film:
    """fps: frames a second. scale: an integer enlargement without smoothing; None: the smallest that gives 256 pixels
    on the longer side. H.264 keeps colours for 2x2 pixels, so a film with odd sides takes the next even scale."""

    fps: int = 30
    scale: int | None = None


def write_film(frames: Iterable[np.ndarray], out: Path, film: Film | None = None) -> None:
    """Frames uint8 (H, W, 3) as the film that the name asks for: .mp4, .gif or .webp (without loss).

    Of an mp4 one frame is held at a time. GIF and WebP repeat for ever; GIF has 256 colours a frame, and times in
    hundredths of a second. Raises ConfigError for other names, 0 or more than 120 frames a second, and films of more
    than 8,192 pixels a side."""
    film = film or Film()
    write = FILMS.get(out.suffix.lower())
    if write is None:
        raise ConfigError(f"{out} has no film format; name it .mp4, .gif or .webp.")
    if not 1 <= film.fps <= FASTEST:
        raise ConfigError(f"fps is {film.fps}; choose from 1 to {FASTEST} frames a second.")
    rest = iter(frames)
    first = next(rest)
    scale = film.scale or -(-SEEN // max(first.shape[:2]))
    if out.suffix.lower() == ".mp4" and any(side * scale % 2 for side in first.shape[:2]):
        scale += 1
    if max(first.shape[:2]) * scale > LARGEST:
        size = f"{first.shape[1] * scale}x{first.shape[0] * scale}"
        raise ConfigError(f"A film of {size} pixels is too large to be shown; choose a smaller --scale.")
    enlarged = (frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in chain([first], rest))
    with whole_file(out) as temporary:
        write(enlarged, temporary, film.fps)


def _mp4(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    import av  # here alone: a library that is large, for one kind of file

    first = next(frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": QUALITY})
        stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        for frame in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))


def _gif(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    _animated(frames, path, "GIF", fps)


def _webp(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    _animated(frames, path, "WEBP", fps, lossless=True)


def _animated(frames: Iterator[np.ndarray], path: Path, kind: str, fps: int, **options: bool) -> None:
    images = map(Image.fromarray, frames)
    first = next(images)
    duration = round(1000 / fps)  # milliseconds
    first.save(path, kind, save_all=True, append_images=images, duration=duration, loop=0, **options)


FILMS: dict[str, Callable[[Iterator[np.ndarray], Path, int], None]] = {".mp4": _mp4, ".gif": _gif, ".webp": _webp}
"""What writes a film, by the end of its name."""
