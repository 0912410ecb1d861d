"""From a source to a packed set on disk, with a report."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np

from zerosum.data.dataset import SCHEMA, DatasetInfo, load_dataset
from zerosum.data.decode.conform import Form, conform
from zerosum.data.decode.decoded import BadImage
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.pack.choices import choose
from zerosum.data.pack.content import Content, content_of, store
from zerosum.data.pack.findings import Report
from zerosum.data.pack.integrity import attributes_hash, document_hash, mark_verified
from zerosum.data.pack.packer import Packed, Packer, PairForm
from zerosum.data.pack.page import page
from zerosum.data.pack.pair_packing import convert_pair, map_form, pair_form
from zerosum.data.parallel import in_order
from zerosum.data.records import Record, Skip, Source
from zerosum.data.scan import Progress, nothing_readable, scan
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Part, Size
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import atomic_folder, refuse_taken, write_atomic, write_json

PACKING_VERSION = 4  # raise it when the same source would be packed into different pixels or facts
_BATCH_PIXELS = 2**20  # of originals that each thread decodes at a time


def prepare(
    source: str | Path,
    out: str | Path,
    size: Size | None = None,
    settings: PackSettings = DEFAULT_SETTINGS,
    strict: bool = False,
    progress: Progress | None = None,
    part: Part = "train",
) -> Report:
    """Check every image of a part of DATA, convert all to one form and pack them into the new folder `out`.

    size: (height, width); None uses the size that all share, or else a power of two. strict: raise an error for the
    first bad image. The folder appears complete or not at all. Raises ConfigError when `out` exists or is inside DATA,
    DataError for bad data, NoTestPart when there is no such part."""
    out = Path(out)
    _refuse_inside(source, out)
    refuse_taken(out)  # before reading the images, which may take minutes
    opened = open_source(source, size, part, settings)
    return pack(opened, out, size, settings, strict, progress)


def _refuse_inside(source: str | Path, out: Path) -> None:
    if Path(source).is_dir() and out.resolve().is_relative_to(folder := Path(source).resolve()):
        where = "is the folder of the images" if out.resolve() == folder else f"lies in {source}"
        raise ConfigError(f"{out} {where}: packed files would be read as images next time. Choose a folder outside it.")


def pack(
    source: Source,
    out: Path,
    size: Size | None = None,
    settings: PackSettings = DEFAULT_SETTINGS,
    strict: bool = False,
    progress: Progress | None = None,
) -> Report:
    """`prepare` for an open source."""
    with own_pixel_cap(), atomic_folder(out) as folder:
        if source.vectors is not None:
            report = _pack_vectors(source, source.vectors(), folder)
        else:
            report = _pack_images(source, folder, size, settings, strict, progress)
        used = report.settings or settings
        document = {"schema": SCHEMA, "info": report.info.to_json(), "settings": used.model_dump()}
        document |= {"attributes": attributes_hash(folder)}
        write_json(folder / "dataset.json", document | {"sha256": document_hash(document)})
        mark_verified(folder, report.info.hash)  # the hash was computed from what was written
        write_json(folder / "report.json", report.to_json())
        write_atomic(folder / "report.html", page(report, load_dataset(folder)))
    return report


def _pack_images(
    source: Source,
    folder: Path,
    size: Size | None,
    settings: PackSettings,
    strict: bool,
    progress: Progress | None,
) -> Report:
    seen = scan(source, settings, progress)
    settings, chosen = choose(source, seen, size or seen.auto_size, settings)
    form = seen.form(size, settings)
    pairs = None if source.pairs is None else pair_form(source, source.pairs, form, settings)
    if pairs is not None and pairs.target_maps:
        form = map_form(form)
    largest = max(math.prod(seen.median_size), math.prod(form.size))
    batch = max(1, min(64, _BATCH_PIXELS // largest))
    skipped: list[Skip] = []
    done = 0
    convert = partial(_convert, form=form, draft=settings.draft)
    if pairs is not None and source.pairs is not None:
        convert = partial(convert_pair, form=form, pairs=pairs, facts=source.pairs, count=settings.labels)
    with Packer(folder, form, source.classes, pairs) as packer:
        labelled = partial(_labelled, convert, bool(source.classes))
        for results in in_order(labelled, source.records(), batch, attrgetter("held")):
            bad = [result for result in results if isinstance(result, Skip)]
            if bad and strict:
                raise DataError(f"{bad[0].name}: {bad[0].reason}. Repair or remove it, or prepare without --strict.")
            skipped.extend(bad)
            packer.add([result for result in results if isinstance(result, Packed)])
            done += len(results)
            if progress:
                progress("packing", done, source.count)
        if not packer.names:
            raise nothing_readable(source, skipped)
        info = packer.finish(source.text)
    duplicates = packer.duplicates()
    content = _content(folder, info, nearly=not source.drawn)
    labels = Counter(packer.labels)
    return Report(
        info,
        tuple(skipped),
        source.ignored,
        packer.changes,
        packer.sizes,
        packer.modes,
        {name: labels[number] for number, name in enumerate(source.classes)},
        _named(duplicates, packer.names),
        _named(_near(content.groups, duplicates), packer.names),
        packer.enlarged,
        packer.opaque,
        packer.stretching(),
        (*source.notes, *chosen, *(_level_notes(pairs) if pairs else ()), *_range_notes(info, settings)),
        packer.highest,
        settings,
    )


def _labelled(convert: Callable[[Record], Packed | Skip], required: bool, record: Record) -> Packed | Skip:
    """What a record is converted to; in a set with classes, those without one are left out."""
    if required and record.label is None:
        return Skip(record.name, "it has no label, as others have")
    return convert(record)


def _range_notes(info: DatasetInfo, settings: PackSettings) -> tuple[str, ...]:
    """A note on the range that `data.range=auto` found."""
    if settings.range != "auto" or info.value_range is None:
        return ()
    low, high = info.value_range
    return (f"data.range=auto: values from {low:,.6g} to {high:,.6g} become black to white.",)


def _level_notes(pairs: PairForm) -> tuple[str, ...]:
    """A note on label maps whose classes are gray levels."""
    if not pairs.levels:
        return ()
    shades = ", ".join(map(str, pairs.levels))
    return (f"The label maps contain only the gray levels {shades}, which are read as {len(pairs.levels)} classes.",)


Groups = tuple[tuple[int, ...], ...]


def _content(folder: Path, info: DatasetInfo, nearly: bool) -> Content:
    """The content of packed images, stored in the set for later splits."""
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    inputs = None if info.input is None else np.load(folder / "inputs.npy", mmap_mode="r", allow_pickle=False)
    maps = bool(info.labels), bool(info.input and info.input.labels)
    content = content_of(images, inputs, maps, nearly)
    store(content, folder)
    return content


def _near(found: np.ndarray, exact: Groups) -> Groups:
    """Groups of indices of near duplicates, each group of exact duplicates represented by one image."""
    others = {place for group in exact for place in group[1:]}
    members = defaultdict(list)
    for place, group in enumerate(found.tolist()):
        if place not in others:
            members[group].append(place)
    return tuple(tuple(group) for group in members.values() if len(group) > 1)


def _named(places: Groups, names: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names[place] for place in group) for group in places)


def _convert(record: Record, form: Form, draft: bool) -> Packed | Skip:
    """Convert one image; runs in worker threads."""
    try:
        decoded = decode(record.open, form.size if draft else None, record.name)
        made = conform(decoded, form)
    except BadImage as reason:
        return Skip(record.name, str(reason))
    header = decoded.header
    return Packed(record, made, (header.height, header.width), header.mode)


def _pack_vectors(source: Source, vectors: np.ndarray, folder: Path) -> Report:
    """Vectors are stored as they are; the report has their number only."""
    np.save(folder / "images.npy", np.ascontiguousarray(vectors, np.float32))
    content = hashlib.sha256(np.ascontiguousarray(vectors, np.float32).data)
    content.update(str(vectors.shape).encode())
    info = DatasetInfo(source.text, len(vectors), vectors.shape[1:], "float32", None, False, (), content.hexdigest())
    return Report(info, (), source.ignored, Counter(), Counter(), Counter(), {}, (), (), 0, False, (), source.notes)
