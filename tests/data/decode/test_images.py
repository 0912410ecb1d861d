"""Every kind of file that people have in a folder: decoded as documented, or refused with a reason."""

import contextlib
import io
import struct
import zlib
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.made_images import encoded, pattern, picture
from zerosum.data.decode import heif
from zerosum.data.decode.decoded import BadImage, Decoded
from zerosum.data.decode.images import decode, read_header


def opened(content: bytes) -> Decoded:
    """Decode bytes, having checked that the header promised what decoding gives."""
    header = read_header(partial(io.BytesIO, content))
    decoded = decode(partial(io.BytesIO, content))
    assert decoded.pixels.shape == (header.height, header.width, header.channels)
    assert decoded.pixels.dtype == header.dtype
    assert decoded.header == header
    return decoded


def reason(content: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(partial(io.BytesIO, content))
    return str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG", "PPM", "TGA", "AVIF", "JPEG2000"])
def test_common_formats(format: str) -> None:
    image = picture()
    choices: dict[str, dict[str, object]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}
    options = choices.get(format, {})
    decoded = opened(encoded(image, format, **options))
    tolerance = {"JPEG": 8, "AVIF": 24, "GIF": 48}.get(format, 0)
    np.testing.assert_allclose(decoded.pixels.astype(int), np.asarray(image).astype(int), atol=tolerance)


@pytest.mark.parametrize(
    ("mode", "channels", "alpha", "word"),
    [
        ("1", 1, False, "1-bit"),
        ("L", 1, False, "gray"),
        ("LA", 2, True, "gray+alpha"),
        ("P", 3, False, "palette"),
        ("RGB", 3, False, "RGB"),
        ("RGBA", 4, True, "RGBA"),
    ],
)
def test_modes_keep_their_channels(mode: str, channels: int, alpha: bool, word: str) -> None:
    image = picture().convert(mode)
    decoded = opened(encoded(image))
    assert (decoded.header.channels, decoded.header.alpha, decoded.header.mode) == (channels, alpha, word)
    wanted = image.convert({"1": "L", "P": "RGB"}.get(mode, mode))
    np.testing.assert_array_equal(decoded.pixels.squeeze(), np.asarray(wanted))


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_becomes_alpha(mode: str) -> None:
    image = Image.new(mode, (4, 3), 0)
    image.paste(1 if mode != "RGB" else (9, 9, 9), (0, 0, 2, 3))
    decoded = opened(encoded(image, transparency=0 if mode != "RGB" else (0, 0, 0)))
    assert decoded.header.alpha
    assert decoded.pixels[0, :, -1].tolist() == [255, 255, 0, 0]


def test_cmyk_becomes_rgb() -> None:
    decoded = opened(encoded(picture("CMYK"), "JPEG", quality=95))
    assert decoded.header.mode == "CMYK"
    assert decoded.changes == ("CMYK to RGB",)
    np.testing.assert_allclose(decoded.pixels.astype(int), np.asarray(picture()).astype(int), atol=30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    upright = picture(size=(16, 24))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Pillow transposition that lays it as the camera did
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    decoded = opened(encoded(stored, format, exif=exif, **options))
    np.testing.assert_allclose(decoded.pixels.astype(int), np.asarray(upright).astype(int), atol=12)
    if format != "TIFF":  # which Pillow turns without a word
        assert ("rotated by EXIF" in decoded.changes) == (orientation > 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_every_bit(channels: int) -> None:
    pixels = pattern(12, 10, channels, "uint16")
    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels.squeeze())))
    decoded = opened(content)
    assert decoded.header.alpha == (channels in (2, 4))
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 7])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_keeps_depth_and_channels(dtype: str, channels: int, planar: str) -> None:
    pixels = pattern(12, 10, channels, dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    file = io.BytesIO()
    photometric = "rgb" if channels in (3, 4) else "minisblack"
    if channels == 1:
        tifffile.imwrite(file, pixels[..., 0], photometric=photometric)
    else:
        tifffile.imwrite(file, stored, photometric=photometric, planarconfig=planar)
    decoded = opened(file.getvalue())
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert decoded.header.alpha == (channels == 4)


def test_tiff_with_channels_on_pages_of_their_own() -> None:
    pixels = pattern(12, 10, 5, "uint16")
    file = io.BytesIO()
    tifffile.imwrite(file, np.moveaxis(pixels, 2, 0), imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(opened(file.getvalue()).pixels, pixels)


def test_tiff_white_is_zero_is_turned_the_right_way() -> None:
    pixels = pattern(12, 10, 1, "uint16")
    file = io.BytesIO()
    tifffile.imwrite(file, 65535 - pixels[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(opened(file.getvalue()).pixels, pixels)


def test_cmyk_of_16_bits_becomes_rgb_and_is_told() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, pattern(12, 10, 4, "uint16"), photometric="separated")
    decoded = opened(file.getvalue())
    assert decoded.pixels.shape == (12, 10, 3)
    assert decoded.changes == ("16-bit CMYK to RGB",)


def test_tiff_stack_gives_its_first_frame() -> None:
    stack = np.stack([pattern(12, 10, 1, "uint16", seed)[..., 0] for seed in range(3)])
    file = io.BytesIO()
    tifffile.imwrite(file, stack, photometric="minisblack")
    decoded = opened(file.getvalue())
    np.testing.assert_array_equal(decoded.pixels[..., 0], stack[0])
    assert decoded.changes == ("first frame taken",)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(format: str) -> None:
    frames = [picture(seed=seed) for seed in range(3)]
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    decoded = opened(content)
    assert "first frame taken" in decoded.changes
    np.testing.assert_allclose(decoded.pixels.astype(int), np.asarray(frames[0]).astype(int), atol=40)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "bool", "int16"])
def test_npy_images(dtype: str) -> None:
    file = io.BytesIO()
    np.save(file, (pattern(6, 5, 3, "float32") * 2).astype(dtype))
    stored = {"uint8": "uint8", "bool": "uint8", "uint16": "uint16"}.get(dtype, "float32")
    assert opened(file.getvalue()).pixels.dtype == stored


def test_pgm_of_16_bits() -> None:
    pixels = pattern(6, 5, 1, "uint16")
    content = b"P5 5 6 65535\n" + pixels.astype(">u2").tobytes()
    np.testing.assert_array_equal(opened(content).pixels, pixels)


def test_draft_reads_large_jpeg_files_reduced_but_never_too_small() -> None:
    content = encoded(picture(size=(800, 640)), "JPEG")
    reduced = decode(partial(io.BytesIO, content), draft=(64, 64)).pixels.shape
    assert 128 <= min(reduced[:2]) < 640
    assert decode(partial(io.BytesIO, content), draft=(640, 640)).pixels.shape == (800, 640, 3)


# What is refused, each with its reason


def bomb_png(side: int) -> bytes:
    """A small file whose header claims side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_001, 50_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_from_its_header(side: int) -> None:
    content = bomb_png(side)
    for read in (read_header, decode):
        with pytest.raises(BadImage, match=r"from its header.*100 megapixels"):
            read(partial(io.BytesIO, content))


def test_an_npy_bomb_is_refused_from_its_header() -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (10**6, 10**6), "fortran_order": False, "descr": "|u1"})
    assert "megapixels" in reason(file.getvalue())


def test_no_pickle_is_ever_opened() -> None:
    file = io.BytesIO()
    np.save(file, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    assert "not an image" in reason(file.getvalue())


def test_values_that_are_not_finite_are_refused() -> None:
    file = io.BytesIO()
    np.save(file, np.array([[0.0, np.nan]], np.float32))
    assert reason(file.getvalue()) == "contains NaN or infinite values"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"hello, I am text", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (b"\x93NUMPY\x01\x00 nonsense", "damaged"),
        (b"II*\0\x08\0\0\0", "damaged"),
        (b"P6 1 1 65535\n" + bytes(6), "16-bit colour PPM is not supported; save it as PNG or TIFF"),
    ],
)
def test_what_is_no_image(content: bytes, words: str) -> None:
    assert words in reason(content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "JPEG2000"])
def test_a_truncated_file_is_refused(format: str) -> None:
    content = encoded(picture(size=(64, 64)), format)
    assert reason(content[: len(content) // 2])


HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(40)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (HEIC, "a.HEIC", r"pip install 'zerosum\[heic\]'; or convert it to JPEG first"),
        (HEIC, "really heic.jpg", "HEIC is read where pillow-heif is installed"),
        (b"\0\0\0\x24ftypmif1\0\0\0\0mif1heic" + bytes(40), "a.jpg", "HEIC is read where"),
        (b"anything", "a.heif", "not an image of a known format"),
        (encoded(picture(), "TIFF"), "a.NEF", "camera raw is not supported; convert it to JPEG first"),
        (encoded(picture(), "TIFF"), "a.dng", "camera raw is not supported"),
    ],
)
def test_heic_and_camera_raw_are_refused_by_their_name(
    content: bytes, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    for read in (read_header, decode):
        with pytest.raises(BadImage, match=words):
            read(partial(io.BytesIO, content), name=name)


def test_a_jpeg_named_heic_is_read() -> None:
    content = encoded(picture(), "JPEG")
    assert decode(partial(io.BytesIO, content), name="IMG_1.HEIC").pixels.shape == (24, 20, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_heic_is_read_where_pillow_heif_is(mode: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    shades = np.add.outer(np.arange(48) * 3, np.arange(64) * 2).astype(np.uint8)
    image = Image.merge(mode, [Image.fromarray(np.roll(shades, 9 * place, axis=1)) for place in range(len(mode))])
    content = io.BytesIO()
    pillow_heif.from_pillow(image).save(content, quality=-1, chroma=444)
    found = decode(partial(io.BytesIO, content.getvalue()), name="IMG_1.HEIC")
    assert read_header(partial(io.BytesIO, content.getvalue())) == found.header
    assert found.header.mode.startswith("HEIC ")
    assert found.pixels.shape[:2] == (48, 64)
    assert found.pixels.dtype == np.uint8
    wanted = np.asarray(image if mode == "RGBA" else image.convert("RGB"))
    shown = found.pixels if found.pixels.shape[2] > 1 else found.pixels.repeat(3, axis=2)
    assert np.abs(shown.astype(int) - wanted).max() <= 3  # of a conversion to YCbCr and back


def test_heic_of_ten_bits_keeps_them() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    values = np.add.outer(np.arange(64) * 9, np.arange(64) * 7).astype(np.uint16)[..., None].repeat(3, axis=2)
    content = io.BytesIO()
    deep = pillow_heif.from_bytes("RGB;16", (64, 64), (values << 6).tobytes())
    deep.save(content, quality=-1, chroma=444, bit_depth=10)
    found = decode(partial(io.BytesIO, content.getvalue()))
    assert (found.header.dtype, found.pixels.dtype, found.pixels.shape) == ("uint16", np.uint16, (64, 64, 3))
    gaps = np.abs(found.pixels.astype(int) - np.rint(values * (65_535 / 1023)))
    assert gaps.max() <= 3 * 65  # levels of ten bits


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    def denied() -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(BadImage, match="cannot be read: Permission denied"):
        decode(denied)


@given(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"]), st.data())
def test_flipped_bytes_give_an_image_or_a_reason(format: str, data: st.DataObject) -> None:
    content = bytearray(encoded(picture(), format))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadImage):
        decode(partial(io.BytesIO, bytes(content)))
