"""Label maps and maps of instances: every number arrives as it is in the file, and none is mixed with another."""

import io
from functools import partial

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.made_images import encoded
from zerosum.data.decode.conform import Form, conform, placement
from zerosum.data.decode.decoded import BadImage, Decoded
from zerosum.data.decode.label_maps import VOID, as_labels, decode_map, most_label
from zerosum.data.decode.npy_image import array_header
from zerosum.data.decode.resize import resize_nearest
from zerosum.data.settings import Fit, Size


def decoded(content: bytes) -> np.ndarray:
    values = decode_map(partial(io.BytesIO, content))
    assert values.dtype == np.int32
    assert values.ndim == 2
    return values


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def tiff(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


CLASSES = np.array([[0, 1, 2], [7, 33, 255]], np.uint8)


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_image_gives_numbers_not_colours(format: str) -> None:
    image = Image.fromarray(CLASSES).convert("P")
    image.putpalette([(37 * i + c) % 256 for i in range(256) for c in (0, 90, 180)])
    options = {"optimize": False} if format == "GIF" else {}  # else Pillow numbers the colours anew
    np.testing.assert_array_equal(decoded(encoded(image, format, **options)), CLASSES)


def test_transparency_of_a_palette_changes_no_number() -> None:
    image = Image.fromarray(CLASSES).convert("P")
    image.putpalette([255] * 768)
    np.testing.assert_array_equal(decoded(encoded(image, transparency=0)), CLASSES)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_gray_of_8_bits(format: str) -> None:
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(CLASSES), format)), CLASSES)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "BMP"])
def test_one_bit_gives_0_and_1_not_black_and_white(format: str) -> None:
    mask = np.array([[True, False, True], [False, False, True]])
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(mask), format)), mask.astype(int))


def test_instances_of_16_bits_as_cityscapes_numbers_them() -> None:
    ids = np.array([[7, 26_000, 33_001], [24_007, 65_535, 0]], np.uint16)  # class * 1000 + object
    np.testing.assert_array_equal(decoded(bytes(imagecodecs.png_encode(ids))), ids)
    np.testing.assert_array_equal(decoded(tiff(ids)), ids)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"photometric": "miniswhite"}])
def test_tiff_of_32_bits_keeps_what_a_float_could_not(dtype: type, options: dict[str, object]) -> None:
    ids = np.array([[2**24 + 1, 2**24 + 2], [2**31 - 1, 0]], dtype)
    assert np.float32(ids[0, 0]) == 2**24  # the reason for a way of its own
    np.testing.assert_array_equal(decoded(tiff(ids, **options)), ids)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64"])
def test_numpy_files(dtype: str) -> None:
    top = 2**24 + 1 if np.dtype(dtype).itemsize > 2 else 1
    values = np.array([[0, top], [1, 1]]).astype(dtype)
    np.testing.assert_array_equal(decoded(npy(values)), values.astype(int))
    np.testing.assert_array_equal(decoded(npy(values[..., None])), values.astype(int))


def test_floats_that_are_whole_are_numbers() -> None:
    np.testing.assert_array_equal(decoded(npy(CLASSES.astype(np.float32))), CLASSES)
    np.testing.assert_array_equal(decode_map(lambda: CLASSES.astype(np.float64)), CLASSES)


def test_a_picture_in_memory_is_taken_by_its_numbers() -> None:
    image = Image.fromarray(CLASSES).convert("P")
    np.testing.assert_array_equal(decode_map(lambda: image), CLASSES)


def reason(content: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode_map(partial(io.BytesIO, content))
    return str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_pictures_are_refused_with_the_remedy(mode: str) -> None:
    said = reason(encoded(Image.new(mode, (4, 3))))
    assert said.startswith("a picture (")
    assert "where a label map is expected" in said
    assert "save it as gray or palette PNG" in said


def test_numbers_that_name_no_class_are_refused() -> None:
    half = np.full((2, 2), 0.5, np.float32)
    assert reason(npy(half)) == "non-integer numbers in a label or instance map"
    assert "non-integer" in reason(npy(half * np.nan))
    assert "non-integer" in reason(tiff(half))
    assert reason(npy(np.array([[-1, 4]]))) == "numbers from -1 to 4, outside 0 to 2147483647"
    assert "numbers from 0 to" in reason(npy(np.array([[0, 2**31]])))
    assert "outside 0 to 2147483647" in reason(npy(np.array([[0, np.inf]])))


NOISE = np.random.default_rng(0).integers(0, 200, (64, 64), np.uint8)


@pytest.mark.parametrize(
    "content",
    [encoded(Image.fromarray(NOISE)), encoded(Image.fromarray(NOISE).convert("P")), npy(NOISE), tiff(NOISE)],
)
def test_damaged_files_have_reasons(content: bytes) -> None:
    assert reason(b"") == "empty file"
    assert reason(b"hello") == "not an image of a known format"
    assert reason(content[: len(content) // 2]).startswith("damaged: ")


def test_labels_with_and_without_a_count() -> None:
    values = np.array([[0, 2, VOID]], np.int32)
    for count in (3, 255, None):
        labels = as_labels(values, count)
        assert labels.dtype == np.uint8
        assert labels.tolist() == [[0, 2, VOID]]


@pytest.mark.parametrize(
    ("value", "count", "words"),
    [
        (
            3,
            3,
            "classes are 0 to 2, and 255 for none; fix it, or train with data.labels=4",
        ),
        (254, 254, "classes are 0 to 253, and 255 for none; fix it, or train with data.labels=255"),
        (256, 255, "class 256 in a label map, where classes are 0 to 254, and 255 for none"),
        (256, None, "class 256 in a label map, where classes are 0 to 254, and 255 for none"),
        (33_001, None, "class 33001"),
    ],
)
def test_classes_beyond_the_count_are_refused(value: int, count: int | None, words: str) -> None:
    with pytest.raises(BadImage) as caught:
        as_labels(np.array([[0, value, 1]]), count)
    assert words in str(caught.value)


def test_the_highest_class_leaves_void_out() -> None:
    assert most_label(np.array([0, 4, VOID], np.uint8)) == 4
    assert most_label(np.array([VOID], np.uint8)) == -1


SIDE = st.integers(1, 12)


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.sampled_from(["crop", "pad", "stretch"]))
def test_no_number_is_made_up(size: Size, to: Size, fit: Fit) -> None:
    values = np.random.default_rng(0).permutation(size[0] * size[1]).reshape(size).astype(np.int32) * 1000
    box, inner = placement(size, Form(to, 1, False, "uint8", fit))
    made = resize_nearest(values, inner, box)
    assert made.shape == inner
    assert np.isin(made, values).all()
    assert made.dtype == values.dtype


@given(st.tuples(SIDE, SIDE), st.integers(1, 5))
def test_whole_factors_repeat_and_come_back(size: Size, factor: int) -> None:
    values = np.arange(size[0] * size[1], dtype=np.int32).reshape(size)
    larger = resize_nearest(values, (size[0] * factor, size[1] * factor), (0, 0, size[1], size[0]))
    np.testing.assert_array_equal(larger, values.repeat(factor, 0).repeat(factor, 1))
    np.testing.assert_array_equal(resize_nearest(larger, size, (0, 0, larger.shape[1], larger.shape[0])), values)


def test_each_pixel_is_the_one_that_its_middle_lies_in() -> None:
    row = np.arange(5)[None]  # middles at 0.83, 2.5 and 4.17
    assert resize_nearest(row, (1, 3), (0, 0, 5, 1)).tolist() == [[0, 2, 4]]
    row = np.arange(8)[None]  # from 2 to 6: middles at 3 and 5
    assert resize_nearest(row, (1, 2), (2, 0, 6, 1)).tolist() == [[3, 5]]
    column = np.arange(10)[:, None]  # middles at 1.67, 5 and 8.33
    assert resize_nearest(column, (3, 1), (0, 0, 1, 10)).tolist() == [[1], [5], [8]]


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(60, 90), (90, 60), (64, 64), (20, 24), (33, 47)])
def test_a_map_lies_where_its_picture_does(fit: Fit, size: Size) -> None:
    """A bright rectangle, as a picture through Lanczos and as a map: the same pixels, but for those on its edge."""
    picture = np.zeros((*size, 1), np.uint8)
    top, left = size[0] // 3, size[1] // 4
    picture[top : top + size[0] // 3, left : left + size[1] // 2] = 255
    form = Form((32, 48), 1, False, "uint8", fit, "black")
    shown = conform(Decoded(picture, array_header(picture.shape, picture.dtype)), form).pixels[..., 0]
    box, inner = placement(size, form)
    labels = resize_nearest(picture[..., 0] // 255, inner, box)
    rows, columns = (32 - inner[0]) // 2, (48 - inner[1]) // 2
    seen = shown[rows : rows + inner[0], columns : columns + inner[1]]
    assert labels.any()
    sure = (seen < 20) | (seen > 235)
    assert sure.mean() > 0.7
    np.testing.assert_array_equal(seen[sure] > 127, labels[sure].astype(bool))
