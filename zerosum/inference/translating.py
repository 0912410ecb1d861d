"""Pictures through a translator, files in and files out: each in its own size and in the form of the run."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from zerosum.data.conditioning.conditions import (
    Condition,
    ConditionValue,
    as_word,
    condition_indices,
    condition_named,
    find_condition,
)
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.conform import Form, conform
from zerosum.data.decode.decoded import MAX_PIXELS, BadImage
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.decode.label_maps import as_labels, decode_map, levels_of
from zerosum.data.layout import is_image_name
from zerosum.data.parallel import in_order
from zerosum.data.records import Record, Skip, Source, counted, listed, printable
from zerosum.data.scan import Progress, nothing_readable
from zerosum.data.settings import PackSettings, Size
from zerosum.data.sources.folders import folder_source
from zerosum.engine.device import plain_memory_errors
from zerosum.inference.sampling import write_image
from zerosum.models.base import Checkpoint
from zerosum.models.loading import load_translator
from zerosum.models.precision import in_precision
from zerosum.models.sample_sheets import shown_inputs, shown_made
from zerosum.models.tiling import in_squares
from zerosum.models.translator import MOST_AT_ONCE, Translator
from zerosum.nn.networks.unet import uses_image_statistics
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError, ZerosumError
from zerosum.utils.files import plain_disk_errors, refuse_to_replace

MOST_CELLS = 400  # pictures on a sheet of looks
LONGEST_STEM = 251  # bytes of a name without its suffix of four; file systems end at 255
CELL = 512  # pixels: the longer side of a picture on a sheet at most
OPTIONS = frozenset(
    (
        "out",
        "seed",
        "style",
        "styles",
        "instances",
        "tile",
        "set",
        "checkpoint",
        "device",
        "precision",
        "overwrite",
        "json",
        "help",
    )
)
"""What has a meaning on the command line: an attribute of such a name is asked for with --set."""


def translate(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    style: int | None = None,
    styles: int | None = None,
    instances: str | Path | None = None,
    tile: int | None = None,
    asked: Mapping[str, ConditionValue | Sequence[ConditionValue] | np.ndarray] | None = None,
    checkpoint: Checkpoint = "latest",
    device: str = "auto",
    precision: str = "fp32",
    overwrite: bool = False,
    warn: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Translate a picture, or every picture of a folder and its sub-folders, of whatever sizes.

    Inputs are brought to the channels and the depth of the run, or are label maps of its classes. out: a folder, or for
    one picture a file; by default `RUN-translated`. Files keep the name of their input, as PNG or TIFF without loss
    (`sampling.write_image`); of inputs that differ in their suffix alone the later ones keep it, too. Label maps become
    palette PNGs whose numbers are the classes. A named file of 8 bits may have any of `pictures.FORMATS`.
    seed: of the noise, of networks that have any, the same for each picture. style: a look, of networks that learnt
    looks. styles: the picture `out` (by default `RUN-translated.png`) with a row for each input, itself and the looks
    0 to styles - 1. instances: the map of the objects of the picture, or a folder of maps under the names of the
    inputs; without it each class is one. tile: as in `Translator.translate`.
    asked: what a picture is to become, {"age": 60}, for runs that change an attribute; several values, {"age": [20,
    60]}, or in words {"ages": "20,60"} and {"ages": "all"}, give the picture `out` with a row for each input, itself
    and what it becomes. Of such runs pictures are brought to the size that the run knows. precision: fp32, bf16, or
    auto, bf16 where it is faster here. overwrite: a file may be replaced, a folder may hold files.
    What cannot be read is left out, and warn is told why. Returns out, images (how many were translated), trained_on
    (images) and skipped (name and reason of each).
    Raises ConfigError when options do not fit the run or each other, or out would write over the inputs; DataError when
    nothing can be read."""
    run, source = Path(run), Path(source)
    _check_options(style, styles, tile)
    inputs = _inputs(source)
    if styles is not None:
        _check_room(inputs, styles, "looks")
    maps = None if instances is None else _maps(Path(instances), source)
    model = in_precision(load_translator(run, device, warn, checkpoint), precision, inputs.count)
    _check_run(model, run, style if styles is None else styles, maps is not None)
    columns, swept = _columns(model, asked or {})
    if swept:
        _check_room(inputs, len(columns), "values")
    sheet = styles is not None or swept
    if out is None:  # beside what the user works on, and not in the run folder, where the user may be
        out = Path(f"{run.resolve().name}-translated{'.png' if sheet else ''}")
    out = Path(out)
    files = _files(inputs, source, out, model.info, sheet)
    _refuse_over(files, [source, *([] if instances is None else [Path(instances)])])
    refuse_to_replace(out, overwrite)
    if maps is None and model.spec.uses_instances:
        one = "each class" if model.input.labels else "each picture"
        warn(f"{run} was shown maps of instances, and there are none here: {one} counts as one object.")
    work = _Work(model, inputs, [], warn, progress, source.is_dir(), tile)
    batches = work.batches(_items(inputs, files, maps))
    ask = partial(_asked, model, seed=seed, tile=tile)
    with own_pixel_cap():
        if swept:
            looks = [(value_of(wishes), partial(ask, wishes=wishes)) for wishes in columns]
            images = _write_sheet(batches, model, looks, out)
        elif styles is not None:
            looks = [(f"style {number}", partial(ask, style=number)) for number in range(styles)]
            images = _write_sheet(batches, model, looks, out)
        else:
            images = _write_files(batches, model, partial(ask, style=style, wishes=columns[0]))
    if not images:
        raise nothing_readable(inputs, work.skipped)
    return {
        "out": str(out),
        "images": images,
        "trained_on": model.images,
        **({"asked": columns} if model.conditions else {}),
        "skipped": [asdict(skip) for skip in work.skipped],
    }


def write_made(file: Path, made: np.ndarray, info: DatasetInfo) -> None:
    """What a translator made of a picture, (H, W, C) as `Translator.translate` gives it, as a file, whole.

    Label maps are palette images: the numbers are the classes, the colours are those of `pictures.palette`; or gray
    ones, where shades of gray stood for the classes in the training set."""
    with plain_disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    if not info.labels and file.suffix == suffix_of(info):
        write_image(file.with_suffix(""), made, info.alpha)
        return
    numbers = made[..., 0] if made.shape[2] == 1 else made
    if levels := levels_of(info.labels):
        numbers = np.asarray(levels, np.uint8)[numbers]
    picture = Image.fromarray(numbers)
    if info.labels and not levels:
        picture.putpalette(pictures.palette(len(info.labels)).tobytes())
    pictures.save_picture(picture, file)


def suffix_of(info: DatasetInfo) -> str:
    """How the files are called that hold what a run makes without loss: as `sampling.write_image` calls them."""
    known = info.dtype != "float32" and info.shape[2] - info.alpha in (1, 3)
    return ".png" if info.labels or known else ".tif"


def _check_options(style: int | None, styles: int | None, tile: int | None) -> None:
    if style is not None and styles is not None:
        raise ConfigError("Give either --style, one look, or --styles, a sheet of looks; not both.")
    for name, value, least in (("style", style, 0), ("styles", styles, 1), ("tile", tile, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}.")


def _check_run(model: Translator, run: Path, looks: int | None, has_maps: bool) -> None:
    if looks is not None and find_condition("style", model.conditions):
        raise ConfigError("--style is the number of a look: ask for the attribute with --set style=VALUE.")
    if looks is not None and not model.spec.has_styles:
        raise ConfigError(
            f"{run} learnt no looks to choose from. Leave --style and --styles out, or train a run that does: "
            "`zerosum train pix2pixhd DATA features.enabled=true`."
        )
    if has_maps and not model.spec.uses_instances:
        raise ConfigError(
            f"{run} was trained without maps of instances, and has no use for any: leave --instances out."
        )


def value_of(wishes: Mapping[str, str]) -> str:
    """What a picture is to become, in words."""
    return " and ".join(wishes.values())


def _columns(
    model: Translator, asked: Mapping[str, ConditionValue | Sequence[ConditionValue] | np.ndarray]
) -> tuple[list[dict[str, str]], bool]:
    """What is asked for, once or for each of several values, and whether it is several. Raises ConfigError for what
    cannot be asked for, and for what is missing."""
    if not model.conditions:
        if asked:
            raise ConfigError(
                f"--{next(iter(asked))} is no option of translate, and {model.recipe.name} changes no attribute: see "
                "`zerosum translate --help`."
            )
        return [{}], False
    columns: list[dict[str, str]] = [{}]
    several = False
    for name, wish in asked.items():
        plural = not find_condition(name, model.conditions) and name.lower().endswith("s")
        plural = plural and find_condition(name[:-1], model.conditions) is not None
        condition = condition_named(name[:-1] if plural else name, model.conditions, "asked for")
        if any(condition.name in wishes for wishes in columns):
            raise ConfigError(f"{condition.name} is asked for twice; give one value, or several for one sheet.")
        one = isinstance(wish, str) or not isinstance(wish, Sequence | np.ndarray)
        values = [as_word(name, value) for value in _each(wish)]
        if one and values[0].lower() == "all" and values[0] not in condition.values:
            one, values = False, list(condition.values)
        elif one and plural:
            one, values = False, [part.strip() for part in values[0].split(",")]
        several = several or not one
        columns = [wishes | {condition.name: value} for wishes in columns for value in values]
    for wishes in columns or [{}]:
        places = condition_indices(wishes, model.conditions)
        if missing := [condition for condition in model.conditions if condition.name not in places]:
            raise ConfigError(_say_which(missing[0]))
    return columns, several


def _each(wish: ConditionValue | Sequence[ConditionValue] | np.ndarray) -> Sequence[ConditionValue]:
    if isinstance(wish, np.ndarray):
        return list(wish.flat)
    return [wish] if isinstance(wish, str) or not isinstance(wish, Sequence) else wish


def _say_which(condition: Condition) -> str:
    name, option = condition.name, f"--{condition.name.replace(' ', '-')}"
    one, sheet = f"{option} with", f"{option}s all"
    if name in OPTIONS:
        one, sheet = f"--set {name}=VALUE, since --{name} has another meaning, with", f"--set {name}=all"
    values = listed(condition.values)
    return f"Say which {name} to make: {one} one of {values}{f', or {sheet} for a sheet' if condition.ordered else ''}."


def _check_room(inputs: Source, count: int, kind: str) -> None:
    if inputs.count * (count + 1) > MOST_CELLS:
        raise ConfigError(
            f"A sheet has room for {MOST_CELLS} pictures; {counted(inputs.count, 'input')} with {count} {kind} each "
            f"need {inputs.count * (count + 1):,}. Give fewer, or ask for one of them at a time."
        )


def _inputs(source: Path) -> Source:
    """The picture, or all pictures of the folder."""
    if not source.exists():
        raise DataError(f"There is no {printable(str(source))}. Give a picture, or a folder of pictures.")
    if source.is_dir():
        found = folder_source(str(source), source, part=None)
        if not found.count:
            raise DataError(f"There are no images in {printable(str(source))}.")
        return found
    record = Record(printable(source.name), None, partial(_open, source))
    return Source(str(source), "", 1, lambda: iter([record]))


def _open(path: Path) -> BinaryIO:
    return open(path, "rb")


def _maps(path: Path, source: Path) -> dict[str, Record]:
    """Maps of instances by the names of the inputs that they belong to, without suffix."""
    if source.is_dir() and path.is_file():
        raise ConfigError(
            f"{path} is one map of instances, and {source} a folder: give a folder of maps under the same names."
        )
    found = _inputs(path)
    return {_stem(record.name if path.is_dir() else printable(source.name)): record for record in found.records()}


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _files(inputs: Source, source: Path, out: Path, info: DatasetInfo, sheet: bool) -> list[Path]:
    """What is to be written: a file for each input, or for all of them the sheet. Raises ConfigError where out cannot
    be that."""
    if sheet:
        pictures.picture_format(out)
        return [out] * inputs.count
    if is_image_name(out.name) and not out.is_dir():
        if source.is_dir():
            raise ConfigError(f"{out} is named as a picture, and {source} is a folder: give a folder for its pictures.")
        _check_file(out, info)
        return [out]
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, where a folder for the pictures is to be. Choose another name.")
    if not source.is_dir() and out.resolve() == source.resolve().parent:
        raise ConfigError(f"{out} is the folder of {source} itself. Name a file there, or choose another folder.")
    return [out / f"{stem}{suffix_of(info)}" for stem in _stems(record.name for record in inputs.records())]


def _stems(names: Iterable[str]) -> Iterator[str]:
    """Each name without its suffix, or with it where the rest is taken: there are file systems that know no case."""
    taken: set[str] = set()
    for name in names:
        stem = _stem(name)
        while len(os.fsencode(PurePosixPath(stem).name)) > LONGEST_STEM:  # of names whose odd bytes are written out
            stem = stem[:-1]
        while stem.casefold() in taken:
            stem += PurePosixPath(name).suffix
        taken.add(stem.casefold())
        yield stem


def _check_file(out: Path, info: DatasetInfo) -> None:
    """Raises ConfigError when a file of that name does not hold what the run makes."""
    kind, usual = pictures.picture_format(out), suffix_of(info)
    holds = info.dtype == "uint8" and usual == ".png" and not info.labels and not (kind == "JPEG" and info.alpha)
    if not holds and out.suffix != usual:
        made = "label maps" if info.labels else f"{info.dtype} of {info.shape[2]} channels"
        raise ConfigError(f"{out} cannot hold what the run makes, {made}: name it {out.with_suffix(usual)}.")


def _refuse_over(files: Sequence[Path], sources: Sequence[Path]) -> None:
    """Raises ConfigError when one of the files would be one of the sources, or lie in one that is a folder."""
    folders = {folder: folder.resolve() for folder in {file.parent for file in files}}
    for source in sources:
        real = source.resolve()
        for file in files:
            within = source.is_dir() and folders[file.parent].is_relative_to(real)
            if within or (file.exists() and not source.is_dir() and file.samefile(source)):
                raise ConfigError(
                    f"{file} would be written {f'into {source}, among' if within else 'over'} what is read. "
                    "Choose another place with --out."
                )


@dataclass(frozen=True)
class _Item:
    """A picture that is to be read. file: what is made of it. instances: the map of its objects; alone: it has none
    where others have one."""

    record: Record
    file: Path
    instances: Record | None
    alone: bool


@dataclass(frozen=True)
class _Ready:
    """A picture as the run takes it, pixels (H, W, C), with the map of its objects (H, W, 1)."""

    name: str
    file: Path
    pixels: np.ndarray
    instances: np.ndarray | None


def _items(inputs: Source, files: Sequence[Path], maps: dict[str, Record] | None) -> Iterator[_Item]:
    for record, file in zip(inputs.records(), files, strict=True):
        found = None if maps is None else maps.get(_stem(record.name))
        yield _Item(record, file, found, maps is not None and found is None)


def _read(item: _Item, side: Side, data: PackSettings, size: Size | None, fill: bool) -> _Ready | Skip:
    """A picture in the form of the run, in whatever thread."""
    try:
        if item.alone:
            raise BadImage("no map of instances of that name")
        pixels = _pixels(item.record, side, data, size)
        ids = np.zeros((*pixels.shape[:2], 1), np.int32) if fill else None
        if item.instances is not None:
            ids = decode_map(item.instances.open, item.instances.name)[..., None]
            if ids.shape[:2] != pixels.shape[:2]:
                own, other = ("x".join(map(str, shape[:2])) for shape in (pixels.shape, ids.shape))
                raise BadImage(f"{own} pixels (height x width), but the map of its instances has {other}")
    except BadImage as reason:
        large = f"{MAX_PIXELS // 10**6} megapixels" in str(reason)
        return Skip(item.record.name, f"{reason}; cut it into pieces" if large else str(reason))
    return _Ready(item.record.name, item.file, pixels, ids)


def _pixels(record: Record, side: Side, data: PackSettings, size: Size | None) -> np.ndarray:
    """As the run takes them, and in this size, or in their own."""
    if side.labels:
        return as_labels(decode_map(record.open, record.name), len(side.labels), levels_of(side.labels))[..., None]
    decoded = decode(record.open, name=record.name)
    size = size or (decoded.pixels.shape[0], decoded.pixels.shape[1])
    form = Form(size, side.channels, side.alpha, side.dtype, data.placing, data.background, resample=data.sampling)
    return conform(decoded, form).pixels


_Ask = Callable[[Sequence[_Ready]], np.ndarray]
"""Pictures of one size to what is made of them, (N, H, W, C)."""


@dataclass(frozen=True)
class _Work:
    """Reading what a model is to translate. skipped: what cannot be read, so far."""

    model: Translator
    inputs: Source
    skipped: list[Skip]
    warn: Callable[[str], None]
    progress: Progress | None
    many: bool
    tile: int | None

    def batches(self, items: Iterable[_Item]) -> Iterator[list[_Ready]]:
        """Neighbours of one size, as many as the network takes at once. Raises DataError when one picture is all there
        is to read, and cannot be."""
        done, unlike = 0, uses_image_statistics(self.model.network)
        for batch in _alike(self._readable(items)):
            height, width = batch[0].pixels.shape[:2]
            if unlike and in_squares(height, width, self.tile):
                unlike = False  # once is enough
                self.warn(
                    f"{batch[0].name} has {height}x{width} pixels and goes through in squares, each normalised by its "
                    "own means: what is made differs from that in one piece, also in colour. "
                    f"--tile {max(height, width)} takes it in one piece, if the memory suffices."
                )
            yield batch
            done += len(batch)
            if self.progress:
                self.progress("translating", done + len(self.skipped), self.inputs.count)

    def _readable(self, items: Iterable[_Item]) -> Iterator[_Ready]:
        model = self.model
        fill = model.spec.uses_instances and not model.input.labels  # nothing else says where objects are
        size = (model.info.shape[0], model.info.shape[1]) if model.spec.fixed_size else None
        read = partial(_read, side=model.input, data=model.settings.data, size=size, fill=fill)
        for (result,) in in_order(read, items, batch=1):  # which may have a hundred megapixels
            if not isinstance(result, Skip):
                yield result
            elif self.many:
                self.skipped.append(result)
                self.warn(f"{result.name}: {result.reason}")
            else:
                raise DataError(f"{printable(self.inputs.text)}: {result.reason}.")


def _alike(found: Iterable[_Ready]) -> Iterator[list[_Ready]]:
    """Neighbours of one shape, as many as the network takes at once."""
    batch: list[_Ready] = []
    for ready in found:
        height, width = ready.pixels.shape[:2]
        if batch and (ready.pixels.shape != batch[0].pixels.shape or (len(batch) + 1) * height * width > MOST_AT_ONCE):
            yield batch
            batch = []
        batch.append(ready)
    if batch:
        yield batch


def _asked(
    model: Translator,
    batch: Sequence[_Ready],
    seed: int,
    tile: int | None,
    style: int | None = None,
    wishes: Mapping[str, str] | None = None,
) -> np.ndarray:
    """What the model makes of pictures of one size, (N, H, W, C)."""
    ids = [ready.instances for ready in batch if ready.instances is not None]
    try:
        with plain_memory_errors():
            return model.translate(
                np.stack([ready.pixels for ready in batch]),
                instances=np.stack(ids) if ids else None,
                seed=seed,
                style=style,
                tile=tile,
                asked=wishes,
            )
    except ZerosumError as error:
        if not isinstance(error.__cause__, RuntimeError | MemoryError):
            raise
        height, width = batch[0].pixels.shape[:2]
        raise ZerosumError(
            f"Not enough memory for {batch[0].name}, {height}x{width} pixels: {error.__cause__}. Translate it in "
            "smaller squares, such as --tile 512."
        ) from error


def _write_files(batches: Iterable[list[_Ready]], model: Translator, ask: _Ask) -> int:
    """A file for each picture. Returns how many there are."""
    images = 0
    for batch in batches:
        for ready, made in zip(batch, ask(batch), strict=True):
            write_made(ready.file, made, model.info)
        images += len(batch)
    return images


def _write_sheet(
    batches: Iterable[list[_Ready]], model: Translator, looks: Sequence[tuple[str, _Ask]], out: Path
) -> int:
    """A row for each picture: itself, and each look of it, under their names. Larger ones are reduced, and all take the
    size of the first. Returns the number of rows."""
    cells: list[np.ndarray] = []
    size = (0, 0)
    for batch in batches:
        inputs = np.stack([ready.pixels for ready in batch])
        columns = [shown_inputs(inputs, model.info), *(shown_made(look(batch), model.info) for _, look in looks)]
        height, width = inputs.shape[1:3]
        if not cells:
            scale = min(1, CELL / max(height, width))
            size = max(1, round(width * scale)), max(1, round(height * scale))
        for row in zip(*columns, strict=True):
            cells += [np.asarray(ImageOps.pad(Image.fromarray(shown), size, color="white")) for shown in row]
    if cells:
        across = len(looks) + 1
        sheet = pictures.grid(np.stack(cells), len(cells) // across, across)
        pictures.save_picture(pictures.headed(sheet, ["input", *(name for name, _ in looks)]), out)
    return len(cells) // (len(looks) + 1)
