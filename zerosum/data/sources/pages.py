"""Files with several pages, such as slices of a stack or frames of a film, beyond the first page."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import numpy as np
from PIL import Image

from zerosum.data.decode import pillow, tiff
from zerosum.data.decode.decoded import BadImage
from zerosum.data.decode.images import closed_afterwards, own_pixel_cap, plain_reasons
from zerosum.data.parallel import in_order
from zerosum.data.records import Opened, Record, Source, counted
from zerosum.data.settings import Pages
from zerosum.utils.errors import ConfigError


def paged(source: Source, pages: Pages) -> Source:
    """The source with each page of its files as an image, or with all pages of a file as the channels of one image;
    unchanged for `first` and for arrays. Raises ConfigError for pairs, whose two sides would have to agree."""
    if pages == "first" or source.vectors is not None or source.header is not None:
        return source
    if source.pairs is not None:
        raise ConfigError(f"data.pages={pages} applies to single images, not to pairs: save the pages as files.")
    fingerprint = f"{pages} {source.fingerprint}"
    if pages == "channels":
        return replace(source, records=lambda: map(_joined, source.records()), fingerprint=fingerprint)
    with own_pixel_cap():
        counts = [count for batch in in_order(_count, source.records()) for count in batch]

    def records() -> Iterator[Record]:
        for record, count in zip(source.records(), counts, strict=True):
            for number in range(count):
                opener = partial(_page, record.open, number)
                yield record if count == 1 else replace(record, name=f"{record.name} page {number + 1}", open=opener)

    several = sum(count > 1 for count in counts)
    said = f"{counted(sum(counts), 'page')} of {counted(len(counts), 'file')} are images of their own."
    notes = (*source.notes, *([said] if several else []))
    return replace(source, records=records, count=sum(counts), fingerprint=fingerprint, notes=notes)


def _joined(record: Record) -> Record:
    return replace(record, open=partial(_channels, record.open))


def _count(record: Record) -> int:
    """The number of pages of a file; 1 if it cannot be read, which is reported when it is packed."""
    try:
        with plain_reasons(), closed_afterwards(record.open()) as opened:
            return 1 if isinstance(opened, np.ndarray) else _frames(opened)
    except BadImage:
        return 1


def _frames(opened: BinaryIO | Image.Image) -> int:
    if not isinstance(opened, Image.Image):
        if tiff.has_pages(opened):
            return tiff.count_pages(opened)
        opened = pillow.open_image(opened)
    return 1 if opened.format == "MPO" else int(getattr(opened, "n_frames", 1))  # phones store a preview in MPO


def _page(open_image: Callable[[], Opened], number: int) -> Opened:
    """One page, as an array or a Pillow image."""
    with plain_reasons(), closed_afterwards(open_image()) as opened:
        if isinstance(opened, np.ndarray):
            return opened
        if not isinstance(opened, Image.Image):
            if tiff.has_pages(opened):
                return tiff.page(opened, number)
            opened = pillow.open_image(opened)
        opened.seek(number)
        return opened.copy()


def _channels(open_image: Callable[[], Opened]) -> Opened:
    """All pages of a file as the channels of one image; a file with a single page unchanged."""
    with plain_reasons(), closed_afterwards(open_image()) as opened:
        count = 1 if isinstance(opened, np.ndarray) else _frames(opened)
    if count == 1:
        return open_image()
    pages = [_page(open_image, number) for number in range(count)]
    return np.concatenate([_pixels(page) for page in pages], axis=2)


def _pixels(page: Opened) -> np.ndarray:
    array = pillow.decode_image(page, None).pixels if isinstance(page, Image.Image) else page
    assert isinstance(array, np.ndarray)
    return array if array.ndim == 3 else array[..., None]
