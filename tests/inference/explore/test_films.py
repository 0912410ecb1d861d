"""Films hold every frame, appear whole, and an mp4 never holds more than it needs."""

import weakref

import av
import numpy as np
import pytest
from PIL import Image

from zerosum.inference.explore.films import Film, write_film
from zerosum.utils.errors import ConfigError


def frames(count, height=16, width=24):
    """Two halves of one colour each, which change from frame to frame."""
    for number in range(count):
        frame = np.empty((height, width, 3), np.uint8)
        frame[:, : width // 2], frame[:, width // 2 :] = (
            (200, 10 * (number % 20), 40),
            (20, 60, 250 - 10 * (number % 20)),
        )
        yield frame


def decoded(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return rate, [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [((16, 24), 2, (32, 48)), ((15, 23), 1, (30, 46)), ((16, 23), 3, (64, 92)), ((128, 64), None, (256, 128))],
)
def test_an_mp4_keeps_every_frame_and_its_colours(size, scale, expected, tmp_path):
    write_film(frames(20, *size), tmp_path / "film.mp4", Film(25, scale))
    rate, found = decoded(tmp_path / "film.mp4")
    assert (rate, len(found), found[0].shape) == (25, 20, (*expected, 3))
    for film, frame in zip(found, frames(20, *size), strict=True):
        for place in (2, -3):  # away from the border of the colours, which H.264 shares
            gap = film[expected[0] // 2, place].astype(int) - frame[0, place]
            assert np.abs(gap).max() <= 8


def test_an_mp4_is_encoded_frame_by_frame(tmp_path):
    alive, most = set(), 0

    def watched():
        nonlocal most
        for number, frame in enumerate(frames(200)):
            alive.add(number)
            weakref.finalize(frame, alive.discard, number)
            most = max(most, len(alive))
            yield frame

    write_film(watched(), tmp_path / "film.mp4", Film(scale=2))
    assert most <= 4


def test_a_gif_keeps_frames_and_time(tmp_path):
    write_film(frames(10), tmp_path / "film.gif", Film(fps=20, scale=1))
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (10, (24, 16), 50, 0)


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.parametrize("fps", [7, 24, 30, 60, 120])
def test_a_film_lasts_as_long_as_its_frames_take(kind, fps, tmp_path):
    """A second of 30 frames took 0.90 s as GIF, and one of 120 frames showed nothing."""
    write_film(frames(fps), tmp_path / f"film.{kind}", Film(fps=fps, scale=1))
    with Image.open(tmp_path / f"film.{kind}") as film:
        times = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            times.append(film.info["duration"])
    assert sum(times) == pytest.approx(1000, abs=1)
    assert min(times) >= (20 if kind == "gif" else 8)  # what is shorter, browsers show for a tenth of a second
    assert len(times) >= min(fps, 33) - 1 - fps // 20  # identical neighbours are one


def test_an_mp4_says_how_its_colours_are_meant(tmp_path):
    """Without tags a player takes small films for ITU-R BT.601: greens and reds are then others."""
    colour = np.array([20, 180, 90], np.uint8)
    write_film((np.full((64, 64, 3), colour) for _ in range(5)), tmp_path / "film.mp4", Film(scale=1))
    with av.open(str(tmp_path / "film.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_range) == (1, 1, 1)  # BT.709, limited
        frame = next(container.decode(video=0))
        planes = [np.asarray(frame.reformat(format="yuv444p").to_ndarray())[place].mean() for place in range(3)]
    red, green, blue = colour / 255
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # ITU-R BT.709, section 3
    expected = [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]
    assert np.abs(np.array(planes) - expected).max() <= 1.5


def test_a_webp_is_exact(tmp_path):
    write_film(frames(10), tmp_path / "film.webp", Film(fps=20, scale=1))
    with Image.open(tmp_path / "film.webp") as film:
        for number, frame in enumerate(frames(10)):
            film.seek(number)
            assert np.array_equal(np.asarray(film.convert("RGB")), frame)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_film_appears_whole_or_not_at_all(suffix, tmp_path):
    def failing():
        yield from frames(3)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_film(failing(), tmp_path / f"new/film{suffix}")
    assert not list((tmp_path / "new").iterdir())


def test_what_is_no_film_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.mp4, \.gif or \.webp"):
        write_film(frames(2), tmp_path / "film.mov")
    with pytest.raises(ConfigError, match="fps is 0"):
        write_film(frames(2), tmp_path / "film.mp4", Film(fps=0))
    with pytest.raises(ConfigError, match="24000x16000"):
        write_film(frames(2), tmp_path / "film.mp4", Film(scale=1000))
    assert not list(tmp_path.iterdir())


def with_opacity(count):
    """A red square that moves over nothing."""
    for number in range(count):
        frame = np.zeros((16, 24, 4), np.uint8)
        frame[4:12, number : number + 8] = (200, 30, 30, 255)
        yield frame


@pytest.mark.parametrize("name", ["film.webp", "film.gif"])
def test_opacity_is_kept_where_the_format_holds_it(name, tmp_path):
    write_film(with_opacity(6), tmp_path / name, Film(10, 1))
    with Image.open(tmp_path / name) as film:
        for number, frame in enumerate(with_opacity(6)):
            film.seek(number)
            found = np.asarray(film.convert("RGBA"))
            assert np.array_equal(found[..., 3], frame[..., 3])
            assert np.abs(found.astype(int) - frame)[frame[..., 3] > 0].max() <= 4


@pytest.mark.parametrize(("background", "colour"), [("white", (255, 255, 255)), ("#0000ff", (0, 0, 255))])
def test_an_mp4_has_a_background_behind_what_is_transparent(background, colour, tmp_path):
    write_film(with_opacity(3), tmp_path / "film.mp4", Film(10, 2, background))
    _, found = decoded(tmp_path / "film.mp4")
    assert np.abs(found[0][2, -3].astype(int) - colour).max() <= 8
    assert np.abs(found[0][16, 6].astype(int) - (200, 30, 30)).max() <= 12
