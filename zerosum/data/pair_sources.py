"""A source of pairs: each record an image, and what it is made from."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from zerosum.data import portraits
from zerosum.data.pairing import how_pairs_lie, read_pairs
from zerosum.data.records import Beside, Header, Opened, Pairs, Record, Source, counted, printable
from zerosum.data.settings import PackSettings, Part, Size
from zerosum.errors import ConfigError, DataError


def paired(source: Source, settings: PackSettings, part: Part) -> Source:
    """The pairs of the part among all images of a source. Raises DataError when there are none, and says why."""
    records = list(source.records())  # of a tar archive this holds the files themselves
    pairing = read_pairs([record.name for record in records], part)
    swapped = settings.direction == "BtoA"
    a_maps = settings.maps in ("A", "both") or (settings.maps == "auto" and pairing.maps)
    b_maps = settings.maps in ("B", "both")
    if not pairing.rows and part == "train":
        first = ""
        if alone := pairing.alone:
            first = f" {counted(len(alone), 'file')} without a partner, the first {alone[0].name}: {alone[0].reason}."
        raise DataError(f"There are no pairs in {printable(source.text)}.{first} P{how_pairs_lie()[1:]}.")

    def pairs() -> Iterator[Record]:
        for a, b, instances in pairing.rows:
            given, made = (records[b], records[a]) if swapped else (records[a], records[b])
            beside = Beside(
                None if pairing.halves else given.open, None if instances is None else records[instances].open
            )
            yield Record(made.name, None, made.open, made.attributes, beside)

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


def paired_portraits(source: Source, size: Size, settings: PackSettings, seed: int, first: str) -> Source:
    """Portraits as pairs: A is the outline, or with maps=A the label map beside the map of parts; B is the picture.
    Raises ConfigError when B is to be label maps."""
    if settings.maps in ("B", "both"):
        raise ConfigError(f"data.maps={settings.maps}: of portraits only A can be label maps, as data.maps=A has it.")
    labels, swapped = settings.maps == "A", settings.direction == "BtoA"
    given, made = ("labels" if labels else "outline"), "image"
    if swapped:
        given, made = made, given

    def pairs() -> Iterator[Record]:
        for index in range(source.count):
            drawn = portraits.draw(index, size, seed)  # which draws each picture when it is asked for
            beside = Beside(partial(_pixels, drawn, given), partial(_pixels, drawn, "instances") if labels else None)
            yield Record(f"{first} {index}", None, partial(_pixels, drawn, made), drawn.attributes, beside)

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
