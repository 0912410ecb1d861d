"""Converts pairs to one form: the same geometry for input and target, and no interpolation of class or object
numbers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from operator import attrgetter

import numpy as np

from zerosum.data.decode.conform import Conformed, Form, centred, conform, placement
from zerosum.data.decode.decoded import BadImage, Decoded, half
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.decode.label_maps import VOID, as_labels, decode_map, gray_levels, is_lossy, most_label, start_of
from zerosum.data.decode.resize import resize_nearest
from zerosum.data.pack.packer import LOSSY_MAP, Packed, PairForm, numbered_classes
from zerosum.data.parallel import in_order
from zerosum.data.records import Opened, Pairs, Record, Skip, Source
from zerosum.data.scan import scan_inputs
from zerosum.data.settings import PackSettings, Size
from zerosum.utils.errors import ConfigError


def pair_form(source: Source, facts: Pairs, form: Form, settings: PackSettings) -> PairForm:
    """The form of the pairs of a source. Raises ConfigError when more classes are declared than a map can hold."""
    if settings.labels is not None and settings.labels > VOID:
        raise ConfigError(f"data.labels={settings.labels}: a label map has at most {VOID} classes, 0 to {VOID - 1}.")
    given = scan_inputs(source, settings).form(form.size, settings)
    labels = facts.classes or tuple(map(str, range(settings.labels or 0)))
    if not facts.classes and (facts.input_maps or facts.target_maps) and not facts.halves:
        levels = settings.shades  # those of a run, so that other data use the same
        if not levels and settings.labels is None:
            levels = gray_levels(_maps(source, facts))
        if levels:
            labels = tuple(map(str, sorted(levels)))
    return PairForm(
        map_form(given) if facts.input_maps else given, facts.input_maps, facts.target_maps, labels, facts.instances
    )


def classes_of_maps(source: Source, form: Form, settings: PackSettings) -> tuple[str, ...]:
    """The classes that the label maps of a source of pairs will have once packed in this form. Only maps are read; maps
    of pairs that cannot be packed count too. Raises DataError when there is no class, and ConfigError as `pair_form`
    does."""
    assert source.pairs is not None
    pairs = pair_form(source, source.pairs, form, settings)
    if pairs.labels:
        return pairs.labels
    form = map_form(form) if pairs.target_maps else form
    highest = partial(_highest_class, form=form, pairs=pairs, facts=source.pairs)
    with own_pixel_cap():
        numbers = [max(batch) for batch in in_order(highest, source.records(), held=attrgetter("held"))]
    return numbered_classes(source.text, max(numbers))


def _highest_class(record: Record, form: Form, pairs: PairForm, facts: Pairs) -> int:
    """The highest class number in the label maps of a pair, as they would be packed; -1 if there is none."""
    assert record.counterpart is not None
    found = -1
    with suppress(BadImage):
        if facts.halves:
            given, made, _, _ = _halves(record, form, pairs, facts, None)
            sides = ((given, facts.input_maps), (made, facts.target_maps))
            return max(most_label(side.pixels) for side, is_map in sides if is_map)
        for opener, to, is_map in (
            (record.counterpart.input, pairs.input, facts.input_maps),
            (record.open, form, facts.target_maps),
        ):
            if is_map and opener is not None:
                labels, _, _ = _side(opener, record.name, to, True, None, ())
                found = max(found, most_label(labels.pixels))
    return found


def _maps(source: Source, facts: Pairs) -> Iterator[np.ndarray]:
    """The readable label maps of a source of pairs."""
    for record in source.records():
        assert record.counterpart is not None
        for opener, is_map in ((record.counterpart.input, facts.input_maps), (record.open, facts.target_maps)):
            if is_map and opener is not None:
                with suppress(BadImage):
                    yield decode_map(opener, record.name)


def map_form(form: Form) -> Form:
    """The form of label maps of the same size."""
    return Form(form.size, 1, False, "uint8", form.fit)


def convert_pair(record: Record, form: Form, pairs: PairForm, facts: Pairs, count: int | None) -> Packed | Skip:
    """Convert one pair; runs in worker threads."""
    assert record.counterpart is not None
    try:
        if facts.halves:
            given, made, size, mode = _halves(record, form, pairs, facts, count)
        else:
            assert record.counterpart.input is not None
            made, size, mode = _side(record.open, record.name, form, facts.target_maps, count, pairs.levels)
            with _said_of("its input"):
                given, other, _ = _side(
                    record.counterpart.input, record.name, pairs.input, facts.input_maps, count, pairs.levels
                )
            _same_size(size, other, "its input")
        beside = {"inputs": given.pixels}
        if record.counterpart.instances is not None:
            with _said_of("its instance map"):
                ids = decode_map(record.counterpart.instances, record.name)
            _same_size(size, ids.shape, "its instance map")
            beside["instances"] = _map_pixels(ids, form, ground=0)
    except BadImage as reason:
        return Skip(record.name, str(reason))
    changes = tuple(dict.fromkeys((*made.changes, *given.changes)))
    return Packed(record, replace(made, changes=changes), size, mode, beside)


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    """Adds to a reason which file of the pair it is about, since a pair has the name of its target."""
    try:
        yield
    except BadImage as reason:
        raise BadImage(f"{what}: {reason}") from None


def _side(
    opener: Callable[[], Opened], name: str, form: Form, is_map: bool, count: int | None, levels: Sequence[int]
) -> tuple[Conformed, Size, str]:
    """One side of a pair in its form; the size and the mode of its file."""
    if is_map:
        values = decode_map(opener, name)
        changes = (LOSSY_MAP,) if is_lossy(start_of(opener)) else ()
        return _labels(values, form, count, levels, changes), values.shape, "label map"
    decoded = decode(opener, name=name)
    return conform(decoded, form), (decoded.header.height, decoded.header.width), decoded.header.mode


def _halves(
    record: Record, form: Form, pairs: PairForm, facts: Pairs, count: int | None
) -> tuple[Conformed, Conformed, Size, str]:
    """Input and image of one file."""
    whole = decode(record.open, name=record.name)
    header = half(whole.header)
    parts = whole.pixels[:, : header.width], whole.pixels[:, header.width :]
    sides = [replace(whole, pixels=np.ascontiguousarray(part), header=header) for part in parts]
    if facts.swapped:
        sides.reverse()
    made = []
    for side, to, is_map in zip(sides, (pairs.input, form), (facts.input_maps, facts.target_maps), strict=True):
        made.append(_labels(decode_map(partial(_as_array, side)), to, count) if is_map else conform(side, to))
    return made[0], made[1], (header.height, header.width), f"{header.mode}, side by side"


def _as_array(side: Decoded) -> np.ndarray:
    return side.pixels


def _labels(
    values: np.ndarray, form: Form, count: int | None, levels: Sequence[int] = (), changes: tuple[str, ...] = ()
) -> Conformed:
    return Conformed(_map_pixels(as_labels(values, count, levels), form, ground=VOID), changes, False)


def _map_pixels(values: np.ndarray, form: Form, ground: int) -> np.ndarray:
    """A map (H, W) as (*form.size, 1), with the same geometry as images."""
    box, size = placement((values.shape[0], values.shape[1]), form)
    pixels = resize_nearest(values, size, box)[..., None]
    return pixels if size == form.size else centred(pixels, form.size, ground)


def _same_size(size: Size, other: tuple[int, ...], what: str) -> None:
    if tuple(other[:2]) != tuple(size):
        raise BadImage(
            f"{size[0]}x{size[1]} pixels (height x width), but {what} has {other[0]}x{other[1]}: use equal sizes"
        )
