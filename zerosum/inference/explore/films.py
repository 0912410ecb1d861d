"""Films of frames: H.264 through PyAV, animated GIF and WebP through Pillow. They appear whole or not at all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from zerosum.utils.errors import ConfigError
from zerosum.utils.files import whole_file
from zerosum.utils.pictures import over

SEEN = 256  # pixels: the longer side of a film at least, unless a scale is given
LARGEST = 8192  # pixels a side: what decoders of H.264 take
FASTEST = 120  # frames a second
HALF = 128  # of 255
QUALITY = "16"  # the constant rate factor of x264, below the 18 from which a loss may be seen


@dataclass(frozen=True)
class Film:
    """fps: frames a second. scale: an integer enlargement without smoothing; None: the smallest that gives 256 pixels
    on the longer side. H.264 keeps colours for 2x2 pixels, so a film with odd sides takes the next even scale.
    background: the CSS colour behind what is transparent, in an mp4, which knows no opacity."""

    fps: int = 30
    scale: int | None = None
    background: str = "white"


def write_film(frames: Iterable[np.ndarray], out: Path, film: Film | None = None) -> None:
    """Frames uint8 (H, W, 3), or (H, W, 4) with opacity, as the film that the name asks for: .mp4, .gif or .webp
    (without loss). WebP keeps opacity; in a GIF a pixel is there or not.

    Of an mp4 one frame is held at a time. GIF and WebP repeat for ever; GIF has 256 colours a frame, and times in
    hundredths of a second, two at least: of more than 50 frames a second some are left out, so that the film lasts as
    long as it should. Raises ConfigError for other names, 0 or more than 120 frames a second, and films of more
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
    if out.suffix.lower() == ".mp4":
        first, rest = over(first, film.background), (over(frame, film.background) for frame in rest)
    enlarged = (frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in chain([first], rest))
    with whole_file(out) as temporary:
        write(enlarged, temporary, film.fps)


def _mp4(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    """H.264 with colours as HDTV has them (ITU-R BT.709), and tags that say so: without, each player guesses."""
    import av  # here alone: a library that is large, for one kind of file
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    def as_bt709(frame: np.ndarray) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        return picture.reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_color_trc=ColorTrc.IEC61966_2_1,
            dst_color_primaries=ColorPrimaries.BT709,
        )

    first = next(frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": QUALITY})
        stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        codec = stream.codec_context
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.IEC61966_2_1  # sRGB
        for frame in chain([first], frames):
            container.mux(stream.encode(as_bt709(frame)))
        container.mux(stream.encode(None))


def _gif(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    _animated(frames, path, "GIF", Clock(fps, 100, 2))


def _webp(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    _animated(frames, path, "WEBP", Clock(fps, 1000, 1), lossless=True)


@dataclass(frozen=True)
class Clock:
    """Times in whole units, `rate` a second, as a file keeps them. least: of a frame; what is shown for less, browsers
    show for ten hundredths."""

    fps: int
    rate: int
    least: int

    def timed(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
        """Frames with how long each is shown, which add up to the length of the film. Frames for which there is no time
        are left out, and the others keep their places."""
        held: np.ndarray | None = None
        since = count = 0
        for count, frame in enumerate(frames, start=1):
            begins = round((count - 1) * self.rate / self.fps)
            if held is None:
                held = frame
            elif begins - since >= self.least:
                yield held, begins - since
                held, since = frame, begins
        if held is not None:
            yield held, max(self.least, round(count * self.rate / self.fps) - since)


def _animated(frames: Iterator[np.ndarray], path: Path, kind: str, clock: Clock, **options: bool) -> None:
    durations: list[int] = []  # in milliseconds; Pillow reads them one after another, as the frames come

    def images() -> Iterator[Image.Image]:
        for frame, units in clock.timed(frames):
            durations.append(units * 1000 // clock.rate)
            yield Image.fromarray(frame if kind != "GIF" else _there_or_not(frame))

    rest = images()
    first = next(rest)
    alone = {"disposal": 2} if kind == "GIF" else {}  # no frame shows through the next
    first.save(path, kind, save_all=True, append_images=rest, duration=durations, loop=0, **alone, **options)


def _there_or_not(frame: np.ndarray) -> np.ndarray:
    """A frame whose pixels are opaque or transparent, by their opacity of a half; as it is without opacity."""
    if frame.shape[2] < 4:
        return frame
    there = frame[..., 3:] >= HALF
    return np.concatenate([frame[..., :3] * there, np.where(there, 255, 0).astype(np.uint8)], axis=2)


FILMS: dict[str, Callable[[Iterator[np.ndarray], Path, int], None]] = {".mp4": _mp4, ".gif": _gif, ".webp": _webp}
"""What writes a film, by the end of its name."""
