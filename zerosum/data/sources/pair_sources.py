"""A source of pairs: each record is a target image with its input."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from zerosum.data.decode.decoded import BadImage, Decoded, half
from zerosum.data.decode.images import decode, own_pixel_cap, read_header
from zerosum.data.decode.label_maps import decode_map
from zerosum.data.records import Counterpart, Header, Opened, Pairs, Record, Source, counted, printable
from zerosum.data.settings import PackSettings, Part, Size
from zerosum.data.sources.pairing import how_pairs_lie, read_pairs
from zerosum.data.synthetic import portraits
from zerosum.utils.errors import ConfigError, DataError

LOOKED_AT = 12  # files that are checked
MOST_HELD = 2 * 2**30  # bytes
SQUARE = 0.02  # tolerance of width / height = 2, as in pix2pix's pairs of square images
SIDE, ALIKE = 48, 0.2  # side of the edge maps that are compared, in pixels; least correlation
SHOWN = 8
MOST_CLASSES_SEEN = 64  # distinct values in one label map; a photograph has more gray levels


def paired(source: Source, settings: PackSettings, part: Part) -> Source:
    """The pairs of the part among all images of a source. Raises DataError that says why when there are none."""
    records, held = [], 0
    for record in source.records():
        records.append(record)
        if (held := held + record.held) > MOST_HELD:
            raise DataError(
                f"{printable(source.text)} holds more than {MOST_HELD / 2**30:g} GB, but files in a compressed tar are "
                "paired in memory. Unpack it and pass the folder, or convert it to a plain .tar or a .zip."
            )
    pairing = read_pairs([record.name for record in records], part)
    swapped = settings.direction == "BtoA"
    a_maps = settings.maps in ("A", "both") or (settings.maps == "auto" and pairing.maps)
    b_maps = settings.maps in ("B", "both")
    if not pairing.rows and part == "train":
        first = ""
        if alone := pairing.alone:
            first = f" {counted(len(alone), 'file')} without a partner, the first {alone[0].name}: {alone[0].reason}."
        raise DataError(f"There are no pairs in {printable(source.text)}.{first} P{how_pairs_lie()[1:]}.")

    with own_pixel_cap():
        if not pairing.halves and not pairing.maps and pairing.rows and (a_maps or b_maps):
            refuse_pictures_as_maps(source, settings, [(records[a], records[b]) for a, b, _ in pairing.rows])
        if pairing.halves and not settings.halves:
            refuse_photographs(source, [records[row[0]] for row in pairing.rows])

    def pairs() -> Iterator[Record]:
        for a, b, instances in pairing.rows:
            given, made = (records[b], records[a]) if swapped else (records[a], records[b])
            counterpart = Counterpart(
                None if pairing.halves else given.open, None if instances is None else records[instances].open
            )
            yield Record(made.name, None, made.open, made.attributes, counterpart)

    has_instances = any(row[2] is not None for row in pairing.rows)
    return replace(
        source,
        fingerprint=f"pairs {source.fingerprint}",
        count=len(pairing.rows),
        records=pairs,
        classes=(),
        ignored=(*source.ignored, *pairing.alone),
        notes=(*source.notes, *pairing.notes),
        pairs=Pairs(
            pairing.halves,
            swapped,
            b_maps if swapped else a_maps,
            a_maps if swapped else b_maps,
            has_instances,
        ),
    )


def refuse_pictures_as_maps(source: Source, settings: PackSettings, pairs: Sequence[tuple[Record, Record]]) -> None:
    """Raises DataError where the side that should hold label maps holds pictures, and names the side with label maps if
    there is one. Checks a few pairs."""
    some = [pairs[place] for place in np.linspace(0, len(pairs) - 1, min(len(pairs), LOOKED_AT)).astype(int)]
    few = {side: all(_is_map(pair[place]) for pair in some) for place, side in enumerate("AB")}
    wrong = [side for side in ("A", "B") if settings.maps in (side, "both") and not few[side]]
    if not wrong:
        return
    side, other = wrong[0], "B" if wrong[0] == "A" else "A"
    remedy = (
        "Number the classes from 0 in gray or palette PNG files; or to translate between pictures, "
        f"`zerosum train pix2pix {printable(source.text)}`."
    )
    if few[other] and settings.maps != "both":
        turned = "AtoB" if settings.direction == "BtoA" else "BtoA"
        remedy = f"{other} holds label maps: data.maps={other} data.direction={turned}."
    raise DataError(
        f"{side} of {printable(source.text)} should hold label maps (data.maps={settings.maps}) but holds pictures, "
        f"such as {some[0][0 if side == 'A' else 1].name}. {remedy}"
    )


def _is_map(record: Record) -> bool:
    """Whether an image has one channel with few distinct values; unreadable images pass."""
    try:
        return len(np.unique(decode_map(record.open, record.name))) <= MOST_CLASSES_SEEN
    except BadImage as reason:
        return "where a label map is expected" not in str(reason)


def refuse_photographs(source: Source, records: Sequence[Record]) -> None:
    """Raises DataError where files hold one photograph each rather than two images side by side: where most cannot be
    halved, or where they are not twice as wide as high and the halves of one file are no more alike than those of
    different files. Checks a few files."""
    some = [records[place] for place in np.linspace(0, len(records) - 1, min(len(records), LOOKED_AT)).astype(int)]
    refused: list[str] = []
    halves: list[tuple[np.ndarray, np.ndarray]] = []
    twice_as_wide = 0
    for record in some:
        try:
            header = read_header(record.open, record.name)
            twice_as_wide += abs(header.width / header.height - 2) <= SQUARE
            half(header)
            halves.append(_outlines(decode(record.open, name=record.name)))
        except BadImage as reason:
            refused.append(f"{record.name}: {reason}")
    if not some or (not refused and twice_as_wide == len(some)):
        return
    folders = sorted({record.name.rpartition("/")[0] for record in records} - {""})
    found = (
        f" Its folders: {', '.join(folders[:SHOWN])}{' and others' if len(folders) > SHOWN else ''}." if folders else ""
    )
    remedy = f"{found} P{how_pairs_lie()[1:]}. If the files do hold both images, use data.halves=true."
    if 2 * len(refused) > len(some):
        raise DataError(f"{printable(source.text)} holds no pairs side by side: {refused[0]}.{remedy}")
    if 2 * twice_as_wide < len(some) and not alike(halves):
        raise DataError(
            f"{printable(source.text)} holds photographs rather than pairs side by side: the left and the right half "
            f"of {some[0].name} and others do not match.{remedy}"
        )


def alike(halves: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether edge maps of left and right halves correlate more within files than across files, and correlate at
    all."""
    within = np.mean([float((left * right).mean()) for left, right in halves])
    lefts, rights = zip(*halves, strict=True)
    across = [float((left * right).mean()) for i, left in enumerate(lefts) for j, right in enumerate(rights) if i != j]
    return bool(within > ALIKE and within > (np.mean(across) if across else 0.0) + ALIKE / 2)


def _outlines(image: Decoded) -> tuple[np.ndarray, np.ndarray]:
    """Edge maps of the left and the right half of an image, each (SIDE, SIDE) with mean 0 and standard deviation 1."""
    gray = image.pixels.astype(np.float32).mean(axis=2)
    middle = gray.shape[1] // 2
    found = []
    for part in (gray[:, :middle], gray[:, middle : 2 * middle]):
        small = np.asarray(Image.fromarray(part).resize((SIDE, SIDE), Image.Resampling.BOX))
        slopes = np.hypot(*np.gradient(small))
        found.append((slopes - slopes.mean()) / max(float(slopes.std()), 1e-6))
    return found[0], found[1]


def paired_portraits(source: Source, size: Size, settings: PackSettings, seed: int, first: str) -> Source:
    """Portraits as pairs: A is the outline or, with maps=A, the label map with the instance map; B is the picture.
    Raises ConfigError when B should be label maps."""
    if settings.maps in ("B", "both"):
        raise ConfigError(f"data.maps={settings.maps}: portraits have label maps on side A only: use data.maps=A.")
    labels, swapped = settings.maps == "A", settings.direction == "BtoA"
    given, made = ("labels" if labels else "outline"), "image"
    if swapped:
        given, made = made, given

    def pairs() -> Iterator[Record]:
        for index in range(source.count):
            drawn = portraits.draw(index, size, seed)  # the picture itself is drawn on demand
            counterpart = Counterpart(
                partial(_pixels, drawn, given), partial(_pixels, drawn, "instances") if labels else None
            )
            yield Record(f"{first} {index}", None, partial(_pixels, drawn, made), drawn.attributes, counterpart)

    colour, gray = Header(*size, "RGB", 3, False, "uint8"), Header(*size, "gray", 1, False, "uint8")
    return replace(
        source,
        fingerprint=f"pairs {labels} {swapped} {source.fingerprint}",
        records=pairs,
        header=colour if made == "image" else gray,
        pairs=Pairs(
            swapped=swapped,
            input_maps=labels and not swapped,
            target_maps=labels and swapped,
            instances=labels,
            classes=portraits.LABELS if labels else (),
            input_header=colour if given == "image" else gray,
        ),
    )


def _pixels(drawn: portraits.Portrait, name: str) -> Opened:
    pixels: np.ndarray = getattr(drawn, name)
    return pixels
