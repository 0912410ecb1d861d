"""What strangers bring, read as it is meant: depths, bands, profiles, links, tables of other programs."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.made_images import encoded, folder_of, pattern, picture, some_pngs
from zerosum.data.dataset import load_dataset
from zerosum.data.decode.decoded import BadImage, Decoded
from zerosum.data.decode.images import decode, read_header
from zerosum.data.decode.label_maps import decode_map
from zerosum.data.pack.prepare import prepare
from zerosum.data.settings import PackSettings, pack_settings
from zerosum.data.sources.find import open_source
from zerosum.data.tensors import to_tensors
from zerosum.utils.errors import ConfigError


def opened(content: bytes) -> Decoded:
    """Decoded, with a header that promises what it is."""
    header = read_header(lambda: io.BytesIO(content))
    image = decode(lambda: io.BytesIO(content))
    assert image.header == header
    assert image.pixels.shape == (header.height, header.width, header.channels)
    assert image.pixels.dtype == header.dtype
    return image


def gray_png(values: np.ndarray, bits: int, kind: int = 0) -> bytes:
    """A PNG of so many bits a pixel: kind 0 gray, 3 numbers of a palette."""
    rows = b""
    for row in values:
        packed = np.packbits(np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, -bits:].reshape(-1))
        rows += b"\0" + packed.tobytes()
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    palette = [(b"PLTE", bytes(n % 256 for n in range(3 * 2**bits)))] if kind == 3 else []
    chunks = [(b"IHDR", header), *palette, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.mark.parametrize("kind", [0, 3], ids=["gray", "palette"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_numbers_of_a_label_map_are_those_in_the_file_at_any_depth(bits: int, kind: int) -> None:
    numbers = np.random.default_rng(bits).integers(0, 2**bits, (7, 11))
    content = gray_png(numbers, bits, kind)
    assert np.array_equal(decode_map(lambda: io.BytesIO(content)), numbers)


@pytest.mark.parametrize("largest", [1, 3, 20, 254, 255])
def test_a_pgm_of_few_levels_is_no_picture_of_255(largest: int) -> None:
    numbers = np.random.default_rng(0).integers(0, largest + 1, (5, 6), dtype=np.uint8)
    content = f"P5\n# classes\n6 5\n{largest}\n".encode() + numbers.tobytes()
    assert np.array_equal(decode_map(lambda: io.BytesIO(content)), numbers)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [2, 4, 5])
def test_bands_that_are_no_opacity_are_kept(bands: int, dtype: str) -> None:
    values = pattern(8, 9, bands, dtype)
    extra = [0] * (bands - (3 if bands > 3 else 1))
    photometric = "rgb" if bands > 3 else "minisblack"
    image = opened(tiff(values, photometric=photometric, extrasamples=extra, planarconfig="contig"))
    assert np.array_equal(image.pixels, values)
    assert not image.header.alpha


def test_signed_bytes_are_no_unsigned_ones_and_complex_numbers_are_refused() -> None:
    values = np.arange(-30, 30, dtype=np.int8).reshape(6, 10)
    image = opened(tiff(values))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels[..., 0], values)
    for what in (read_header, decode):
        with pytest.raises(BadImage, match="complex numbers are not an image; save their magnitude or phase"):
            what(lambda: io.BytesIO(tiff(values.astype(np.complex64))))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_colours_multiplied_with_their_opacity_come_back_straight(dtype: str) -> None:
    top = 65_535 if dtype == "uint16" else 1
    straight = pattern(8, 9, 3, "float32")
    opacity = np.linspace(0, 1, 72, dtype=np.float32).reshape(8, 9, 1)
    stored = np.concatenate([straight * opacity, opacity], axis=2) * top
    stored = np.rint(stored).astype(dtype) if dtype == "uint16" else stored.astype(dtype)
    image = opened(tiff(stored, photometric="rgb", extrasamples=["assocalpha"]))
    assert image.header.alpha
    seen = opacity[..., 0] > 0.01
    np.testing.assert_allclose(image.pixels[seen][:, :3] / top, straight[seen], atol=0.002)
    assert (image.pixels[0, 0] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_png_with_a_transparent_colour_has_alpha(channels: int) -> None:
    values = pattern(6, 7, channels, "uint16")
    content = imagecodecs.png_encode(values.squeeze())
    colour = values[2, 3].tolist()
    body = struct.pack(f">{channels}H", *colour)
    chunk = struct.pack(">I", len(body)) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
    end = 8 + 25  # behind IHDR
    image = opened(content[:end] + chunk + content[end:])
    assert image.header.alpha
    assert np.array_equal(image.pixels[..., :-1], values)
    assert np.array_equal(image.pixels[..., -1] == 0, (values == values[2, 3]).all(axis=2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [12, 16])
def test_jpeg_2000_keeps_its_depth(depth: int, channels: int) -> None:
    values = pattern(16, 18, channels, "uint16") >> (16 - depth)
    image = opened(imagecodecs.jpeg2k_encode(values.squeeze(), level=0, reversible=True, bitspersample=depth))
    assert np.abs(image.pixels - values * (65_535 / (2**depth - 1))).max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_avif_of_10_bits_keeps_them(channels: int) -> None:
    values = pattern(32, 36, channels, "uint16") >> 6
    image = opened(imagecodecs.avif_encode(values.squeeze(), bitspersample=10, level=100))
    assert image.header.dtype == "uint16"
    assert np.abs(image.pixels - values * (65_535 / 1_023)).max() <= 65_535 / 1_023  # lossless but for one level
    assert len(np.unique(image.pixels)) > 256


def profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """A display profile (ICC.1:2001) of three colours in XYZ under D50 and one exponent."""

    def numbers(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"made for a test"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" * 80
    tags = {b"desc": described + b"\0" * (-len(described) % 4), b"wtpt": b"XYZ \0\0\0\0" + numbers(0.9642, 1, 0.8249)}
    for name, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + numbers(*colour)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    place, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        table += name + struct.pack(">II", place + len(data), len(body))
        data += body
    header = struct.pack(">I", place + len(data)) + b"\0\0\0\0\x02\x10\0\0mntrRGB XYZ " + b"\0" * 12 + b"acsp"
    header += b"\0" * 28 + numbers(0.9642, 1, 0.8249)
    return header + b"\0" * (128 - len(header)) + struct.pack(">I", len(tags)) + table + data


ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))  # its primaries under D50


def test_colours_of_another_profile_are_those_that_displays_show() -> None:
    """Adobe RGB (128, 128, 128) is sRGB (127, 127, 127); its (200, 100, 50) is a stronger sRGB (227, 101, 42)."""
    image = Image.new("RGB", (4, 2), (200, 100, 50))
    image.paste((128, 128, 128), (0, 0, 2, 2))
    converted = opened(encoded(image, icc_profile=profile(ADOBE, 2.2)))
    assert converted.changes == ("colour profile to sRGB",)
    assert np.abs(converted.pixels[0, 0].astype(int) - 127).max() <= 2
    assert np.abs(converted.pixels[0, 3].astype(int) - (227, 101, 42)).max() <= 4


@pytest.mark.parametrize("content", [b"", b"no profile", profile(ADOBE, 2.2)[:200]])
def test_a_profile_that_means_nothing_changes_nothing(content: bytes) -> None:
    image = picture("RGB")
    read = opened(encoded(image, icc_profile=content))
    assert read.changes == ()
    assert np.array_equal(read.pixels, np.asarray(image))


def test_alpha_stays_beside_converted_colours_and_srgb_is_left_alone() -> None:
    from PIL import ImageCms

    image = picture("RGBA")
    image.putalpha(Image.fromarray(pattern(24, 20, 1)[..., 0]))
    converted = opened(encoded(image, icc_profile=profile(ADOBE, 2.2)))
    assert np.array_equal(converted.pixels[..., 3], np.asarray(image)[..., 3])
    assert not np.array_equal(converted.pixels, np.asarray(image))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert opened(encoded(image, icc_profile=srgb)).changes == ()


def test_two_links_to_one_folder_are_two_classes(tmp_path: Path) -> None:
    folder_of(tmp_path / "elsewhere", some_pngs(2))
    (tmp_path / "set").mkdir()
    for name in ("cats", "dogs"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    source = open_source(tmp_path / "set")
    assert source.classes == ("cats", "dogs")
    assert source.count == 4


def test_links_to_one_another_end(tmp_path: Path) -> None:
    folder_of(tmp_path / "set/a", some_pngs(1))
    folder_of(tmp_path / "set/b", some_pngs(1))
    (tmp_path / "set/a/to_b").symlink_to(tmp_path / "set/b", target_is_directory=True)
    (tmp_path / "set/b/to_a").symlink_to(tmp_path / "set/a", target_is_directory=True)
    (tmp_path / "set/a/self").symlink_to(tmp_path / "set/a", target_is_directory=True)
    source = open_source(tmp_path / "set")
    assert source.count == 4  # each folder once more, by way of the other
    assert {skip.reason for skip in source.ignored} == {"a link to a folder that contains it"}


@pytest.mark.parametrize("suffix", ["npy", "NPY"])
def test_arrays_among_pictures_are_no_images(tmp_path: Path, suffix: str) -> None:
    marks = io.BytesIO()
    np.save(marks, np.zeros((5, 2)))
    arrays = {f"{number:03}.{suffix}": marks.getvalue() for number in range(3)}
    source = open_source(folder_of(tmp_path / "set", some_pngs(3) | arrays))
    assert source.count == 3
    assert len(source.ignored) == 3
    assert "an array of the name of a picture" in source.ignored[0].reason
    assert open_source(folder_of(tmp_path / "arrays", arrays)).count == 3


def columns(tmp_path: Path, table: bytes, count: int = 6, name: str = "tags.csv") -> tuple[dict[str, list[Any]], str]:
    """What a table says of so many images 000.png, 001.png, ..., and the notes on it."""
    source = open_source(folder_of(tmp_path / "set", some_pngs(count) | {name: table}))
    rows = [dict(record.attributes) for record in source.records()]
    return {key: [row[key] for row in rows] for key in rows[0]}, " ".join(source.notes)


LINES = ["file;hair", "000.png;red", "001.png;brun"]


@pytest.mark.parametrize(
    "content",
    [
        "\r\n".join(["sep=;", *LINES]).encode(),
        "\n".join(['"sep=;"', *LINES]).encode("utf-8-sig"),
        "\n".join(LINES).encode("utf-16"),
        "\n".join(LINES).encode("utf-16-be").join([b"\xfe\xff", b""]),
        "\n".join(LINES).replace(";", ",").replace("file", "image").encode(),
        "\n".join(LINES).replace(";", "\t").replace("file", "id").replace(".png", "").encode(),
        "\n".join(LINES).replace("file", "Path").replace("000", "./000").encode(),
    ],
    ids=["sep", "sep quoted", "UTF-16", "UTF-16 BE", "image", "id without suffix", "path"],
)
def test_tables_as_other_programs_write_them(tmp_path: Path, content: bytes) -> None:
    found, _ = columns(tmp_path, content, 2)
    assert found["hair"] == ["red", "brun"]


def test_latin_letters_are_read_and_said(tmp_path: Path) -> None:
    found, notes = columns(tmp_path, "file,teint\n000.png,foncé\n001.png,clair\n".encode("latin-1"), 2)
    assert found["teint"] == ["foncé", "clair"]
    assert "tags.csv is not UTF-8 text and is read as Windows-1252" in notes


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    found, _ = columns(tmp_path, b"file;length\n000.png;3,5\n001.png;12,25\n", 2)
    assert found["length"] == [3.5, 12.25]


def test_a_column_that_names_no_images_names_none(tmp_path: Path) -> None:
    found, notes = columns(tmp_path, b"id,hair\n7,red\n8,blue\n", 2)
    assert found == {}
    assert "no column `file`" in notes


@pytest.mark.parametrize("word", ["NA", "nan", "None", "null", "N/A", "?"])
def test_words_for_no_value_are_no_values(tmp_path: Path, word: str) -> None:
    found, notes = columns(tmp_path, f"file,hair,age\n000.png,{word},{word}\n001.png,red,3\n".encode(), 2)
    assert found["hair"] == ["", "red"]
    assert np.isnan(found["age"][0])
    assert found["age"][1] == 3
    assert f"tags.csv has missing values of hair, written as {word} (1)." in notes


def test_words_for_none_are_values_among_words_and_none_among_numbers(tmp_path: Path) -> None:
    table = b"file,glasses,weight\n000.png,none,-\n001.png,round,3\n002.png,-,unknown\n"
    found, notes = columns(tmp_path, table, 3)
    assert found["glasses"] == ["none", "round", "-"]
    assert np.array_equal(np.isnan(found["weight"]), [True, False, True])
    assert "The numeric attribute weight has missing values, written as - (1), unknown (1)." in notes


def test_ages_in_months_are_no_mistakes(tmp_path: Path) -> None:
    found, _ = columns(tmp_path, ages([4, 30, 90, 150, 200, 224], "age"))
    assert found["age"] == [4, 30, 90, 150, 200, 224]


def test_a_comma_in_the_name_of_a_file_stays(tmp_path: Path) -> None:
    files = {"3,14.png": encoded(picture()), "2.png": encoded(picture(seed=1))}
    source = open_source(folder_of(tmp_path / "set", files | {"tags.csv": b"file;length\n3,14;1,5\n2;2\n"}))
    assert sorted(float(record.attributes["length"]) for record in source.records()) == [1.5, 2.0]


def ages(values: list[Any], column: str) -> bytes:
    return f"file,{column}\n".encode() + b"".join(f"{n:03}.png,{value}\n".encode() for n, value in enumerate(values))


@pytest.mark.parametrize("column", ["age", "weight"])
def test_numbers_that_stand_for_no_value_are_none(tmp_path: Path, column: str) -> None:
    found, notes = columns(tmp_path, ages([-1, 12, 25, 37, 44, 999, 51, 60], column), 8)
    values = np.array(found[column])
    assert np.isnan(values[[0, 5]]).all()
    assert np.array_equal(values[[1, 2, 3, 4, 6, 7]], [12, 25, 37, 44, 51, 60])
    assert f"2 images with -1, 999 as {column} have no value there." in notes


@pytest.mark.parametrize(
    "values", [[-1, 1, -1, 1, 1, -1], [-1, 0, 1, 2, 3, 4], [999, 1000, 1001, 1200, 800, 999], [-5, -1, 3, 12, 20, 30]]
)
def test_numbers_among_their_like_stay(tmp_path: Path, values: list[int]) -> None:
    found, _ = columns(tmp_path, ages(values, "score"))
    assert found["score"] == values


CASES = Path(__file__).parents[2].parent / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared cases, which are no part of the project")
@pytest.mark.parametrize("case", ["tags-NA", "tags-utf16", "tags-sep-line-of-excel", "ages-with-minus-1-and-999"])
def test_the_shared_tables_are_read(case: str) -> None:
    source = open_source(CASES / case)
    first = next(iter(source.records())).attributes
    assert first
    assert not any(str(record.attributes[key]) in ("NA", "-1", "999") for record in source.records() for key in first)


def bits_12(tmp_path: Path) -> Path:
    images = {f"{n}.png": imagecodecs.png_encode(pattern(16, 16, 1, "uint16", n)[..., 0] >> 4) for n in range(4)}
    return folder_of(tmp_path / "set", images)


@pytest.mark.parametrize(
    ("wanted", "limits"),
    [("full", (0, 65_535)), ("auto", (0, 4_095)), ("0:4095", (0, 4_095)), ("500:3000", (500, 3_000))],
)
def test_values_of_12_bits_use_the_range_that_they_have(tmp_path: Path, wanted: str, limits: tuple[int, int]) -> None:
    report = prepare(bits_12(tmp_path), tmp_path / "out", (16, 16), PackSettings(range=wanted))
    data = load_dataset(tmp_path / "out")
    assert data.info.value_range == limits
    assert any("so all of them are nearly black" in text for text in report.warnings) == (wanted == "full")
    tensor = to_tensors(data.batch(np.arange(4)), data.info)["image"]
    expected = (data.images[..., 0].astype(float) - limits[0]) / (limits[1] - limits[0]) * 2 - 1
    np.testing.assert_allclose(tensor[:, 0], expected.clip(-1, 1), atol=1e-5)


@pytest.mark.parametrize("wrong", ["4095", "0:", "5:5", "9:1", "nan:1", "low"])
def test_a_range_is_two_numbers(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"range must be full, auto, or LOW:HIGH such as 0:4095"):
        pack_settings(range=wrong)


def test_8_bit_images_keep_their_range(tmp_path: Path) -> None:
    report = prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "out", (16, 16), PackSettings(range="auto"))
    assert load_dataset(tmp_path / "out").info.value_range == (0, 255)
    assert not any("black" in text for text in report.warnings)


def test_images_of_12_bits_are_no_copies_of_one_another(tmp_path: Path) -> None:
    report = prepare(bits_12(tmp_path), tmp_path / "out", (16, 16))
    assert report.near_duplicates == ()
