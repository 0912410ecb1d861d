"""Write videos: H.264 with PyAV, animated GIF and WebP with Pillow. Files are written atomically."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from zerosum.utils.errors import ConfigError
from zerosum.utils.files import atomic_file
from zerosum.utils.pictures import over

MIN_SIDE = 256  # pixels: the minimum of the longer side, unless a scale is given
LARGEST = 8192  # pixels per side: the limit of H.264 decoders
FASTEST = 120  # frames per second
OPAQUE = 128  # of 255: the threshold between transparent and opaque in GIF
QUALITY = "16"  # constant rate factor of x264; 18 and above may be visibly lossy


@dataclass(frozen=True)
class Film:
    """fps: frames per second. scale: an integer upscaling factor (nearest neighbour); None: the smallest that gives 256
    pixels on the longer side. H.264 subsamples colours by 2x2, so odd sides are scaled by the next even factor.
    background: the CSS colour behind transparent pixels in an mp4, which has no alpha."""

    fps: int = 30
    scale: int | None = None
    background: str = "white"


def write_film(frames: Iterable[np.ndarray], out: Path, film: Film | None = None) -> None:
    """Write frames uint8 (H, W, 3), or (H, W, 4) with alpha, as .mp4, .gif or .webp (lossless). WebP keeps alpha; GIF
    pixels are either opaque or transparent.

    An mp4 is encoded one frame at a time. GIF and WebP loop forever. GIF has 256 colours per frame and times in
    hundredths of a second, at least two: above 50 frames per second some frames are dropped to keep the duration.
    Raises ConfigError for other suffixes, 0 or more than 120 frames per second, and more than 8,192 pixels per side."""
    film = film or Film()
    write = FILMS.get(out.suffix.lower())
    if write is None:
        raise ConfigError(f"{out} has no video format; use .mp4, .gif or .webp.")
    if not 1 <= film.fps <= FASTEST:
        raise ConfigError(f"fps is {film.fps}; it must be 1 to {FASTEST} frames per second.")
    rest = iter(frames)
    first = next(rest)
    scale = film.scale or -(-MIN_SIDE // max(first.shape[:2]))
    if out.suffix.lower() == ".mp4" and any(side * scale % 2 for side in first.shape[:2]):
        scale += 1
    if max(first.shape[:2]) * scale > LARGEST:
        size = f"{first.shape[1] * scale}x{first.shape[0] * scale}"
        raise ConfigError(f"A video of {size} pixels is too large to play; choose a smaller --scale.")
    if out.suffix.lower() == ".mp4":
        first, rest = over(first, film.background), (over(frame, film.background) for frame in rest)
    enlarged = (frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in chain([first], rest))
    with atomic_file(out) as temporary:
        write(enlarged, temporary, film.fps)


def _mp4(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    """H.264 in the HDTV colour space (ITU-R BT.709), tagged as such; without tags each player guesses."""
    import av  # imported here: a large library, for one file format
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
    """Frame times in integer units, `rate` per second, as stored in a file. least: the minimum duration of a frame;
    browsers show shorter frames for a tenth of a second."""

    fps: int
    rate: int
    least: int

    def timed(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
        """Frames with their durations, which add up to the length of the video. Frames that would be too short are
        dropped, and the others keep their times."""
        held: np.ndarray | None = None
        start = count = 0
        for count, frame in enumerate(frames, start=1):
            begin = round((count - 1) * self.rate / self.fps)
            if held is None:
                held = frame
            elif begin - start >= self.least:
                yield held, begin - start
                held, start = frame, begin
        if held is not None:
            yield held, max(self.least, round(count * self.rate / self.fps) - start)


def _animated(frames: Iterator[np.ndarray], path: Path, kind: str, clock: Clock, **options: bool) -> None:
    durations: list[int] = []  # milliseconds; filled while Pillow iterates over the frames

    def images() -> Iterator[Image.Image]:
        for frame, units in clock.timed(frames):
            durations.append(units * 1000 // clock.rate)
            yield Image.fromarray(frame if kind != "GIF" else _binary_alpha(frame))

    rest = images()
    first = next(rest)
    disposal = {"disposal": 2} if kind == "GIF" else {}  # clear each frame before the next
    first.save(path, kind, save_all=True, append_images=rest, duration=durations, loop=0, **disposal, **options)


def _binary_alpha(frame: np.ndarray) -> np.ndarray:
    """The frame with its alpha thresholded at one half; unchanged without alpha."""
    if frame.shape[2] < 4:
        return frame
    opaque = frame[..., 3:] >= OPAQUE
    return np.concatenate([frame[..., :3] * opaque, np.where(opaque, 255, 0).astype(np.uint8)], axis=2)


FILMS: dict[str, Callable[[Iterator[np.ndarray], Path, int], None]] = {".mp4": _mp4, ".gif": _gif, ".webp": _webp}
"""Writers by file suffix."""
