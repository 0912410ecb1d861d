"""Translate picture files: each at its own size, converted to the format of the run."""

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
from zerosum.models.precision import with_precision
from zerosum.models.sample_sheets import displayed_inputs, displayed_outputs
from zerosum.models.tiling import needs_tiling
from zerosum.models.translator import MOST_AT_ONCE, Translator
from zerosum.nn.networks.unet import uses_image_statistics
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError, ZerosumError
from zerosum.utils.files import distinct_stems, plain_disk_errors, refuse_to_replace

MOST_CELLS = 400  # pictures on a sheet
CELL = 512  # pixels: the maximum longer side of a picture on a sheet
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
"""Options of the command line; an attribute with the same name needs --set."""


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
    """Translate a picture, or every picture of a folder and its sub-folders, of any sizes.

    Inputs are converted to the channels and bit depth of the run, or are label maps of its classes. out: a folder, or a
    file for a single picture; by default `RUN-translated`. Files keep the name of their input, as lossless PNG or TIFF
    (`sampling.write_image`); if inputs differ only in their suffix, the later ones keep it too. Label maps become
    palette PNGs whose values are the classes. A single 8-bit output may have any of `pictures.FORMATS`.
    seed: of the noise, the same for each picture. style: a style number, for networks with styles. styles: write one
    picture `out` (by default `RUN-translated.png`) with one row per input: the input, then styles 0 to styles - 1.
    instances: an instance map, or a folder of maps with the names of the inputs; by default each class is one instance.
    tile: as in `Translator.translate`.
    asked: for runs that edit an attribute, its value, {"age": 60}; several values, {"age": [20, 60]}, or as text
    {"ages": "20,60"} or {"ages": "all"}, give one picture `out` with one row per input: the input, then each value.
    Pictures are resized to the training size for such runs. precision: fp32, bf16, or auto (bf16 if it is faster here).
    overwrite: allow replacing a file, or writing into a folder that is not empty.
    Unreadable pictures are skipped with a warning. Returns out, images (the number translated), trained_on (images),
    skipped (name and reason of each) and, for runs whose inputs were computed from images, what they expect.
    Raises ConfigError if options do not fit the run or each other, or out would overwrite the inputs; DataError if
    nothing can be read."""
    run, source = Path(run), Path(source)
    _check_options(style, styles, tile)
    inputs = _inputs(source)
    if styles is not None:
        _check_room(inputs, styles, "styles")
    maps = None if instances is None else _maps(Path(instances), source)
    model = with_precision(load_translator(run, device, warn, checkpoint), precision, inputs.count)
    _check_run(model, run, style if styles is None else styles, maps is not None)
    columns, swept = _columns(model, asked or {})
    if swept:
        _check_room(inputs, len(columns), "values")
    sheet = styles is not None or swept
    if out is None:  # in the working directory; the run folder may be that directory
        out = Path(f"{run.resolve().name}-translated{'.png' if sheet else ''}")
    out = Path(out)
    files = _files(inputs, source, out, model.info, sheet)
    _refuse_overwriting_inputs(files, [source, *([] if instances is None else [Path(instances)])])
    refuse_to_replace(out, overwrite)
    if maps is None and model.spec.uses_instances:
        one = "each class" if model.input.labels else "each picture"
        warn(f"{run} was trained with instance maps, and none are given: {one} counts as one instance.")
    work = _Work(model, inputs, [], warn, progress, source.is_dir(), tile)
    batches = work.batches(_items(inputs, files, maps))
    translate_one = partial(_translate_batch, model, seed=seed, tile=tile)
    with own_pixel_cap():
        if swept:
            variants = [
                (value_text(conditions), partial(translate_one, conditions=conditions)) for conditions in columns
            ]
            images = _write_sheet(batches, model, variants, out)
        elif styles is not None:
            variants = [(f"style {number}", partial(translate_one, style=number)) for number in range(styles)]
            images = _write_sheet(batches, model, variants, out)
        else:
            images = _write_files(batches, model, partial(translate_one, style=style, conditions=columns[0]))
    if not images:
        raise nothing_readable(inputs, work.skipped)
    return {
        "out": str(out),
        "images": images,
        "trained_on": model.images,
        **({"asked": columns} if model.conditions else {}),
        **({"expects": model.spec.expects} if model.spec.expects else {}),
        "skipped": [asdict(skip) for skip in work.skipped],
    }


def write_output(file: Path, output: np.ndarray, info: DatasetInfo) -> None:
    """Write an output (H, W, C) of `Translator.translate` to a file, atomically.

    Label maps become palette images: the values are the classes, the colours those of `pictures.palette`. If the
    training set encoded classes as shades of gray, they become gray images."""
    with plain_disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    if not info.labels and file.suffix == suffix_of(info):
        write_image(file.with_suffix(""), output, info.alpha)
        return
    numbers = output[..., 0] if output.shape[2] == 1 else output
    if levels := levels_of(info.labels):
        numbers = np.asarray(levels, np.uint8)[numbers]
    picture = Image.fromarray(numbers)
    if info.labels and not levels:
        picture.putpalette(pictures.palette(len(info.labels)).tobytes())
    pictures.save_picture(picture, file)


def suffix_of(info: DatasetInfo) -> str:
    """The suffix of lossless output files of a run, as used by `sampling.write_image`."""
    known = info.dtype != "float32" and info.shape[2] - info.alpha in (1, 3)
    return ".png" if info.labels or known else ".tif"


def _check_options(style: int | None, styles: int | None, tile: int | None) -> None:
    if style is not None and styles is not None:
        raise ConfigError("Give either --style (one style) or --styles (a sheet of styles), not both.")
    for name, value, least in (("style", style, 0), ("styles", styles, 1), ("tile", tile, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}.")


def _check_run(model: Translator, run: Path, styles: int | None, has_maps: bool) -> None:
    if styles is not None and find_condition("style", model.conditions):
        raise ConfigError("--style selects a style by number; set the attribute with --set style=VALUE.")
    if styles is not None and not model.spec.has_styles:
        raise ConfigError(
            f"{run} has no styles. Leave --style and --styles out, or train a run with styles: "
            "`zerosum train pix2pixhd DATA features.enabled=true`."
        )
    if has_maps and not model.spec.uses_instances:
        raise ConfigError(f"{run} was trained without instance maps: leave --instances out.")


def value_text(conditions: Mapping[str, str]) -> str:
    """The requested values, as text."""
    return " and ".join(conditions.values())


def _columns(
    model: Translator, asked: Mapping[str, ConditionValue | Sequence[ConditionValue] | np.ndarray]
) -> tuple[list[dict[str, str]], bool]:
    """The requested conditions, one mapping per column of a sheet, and whether several values were requested. Raises
    ConfigError for unknown or missing conditions."""
    if not model.conditions:
        if asked:
            raise ConfigError(
                f"--{next(iter(asked))} is not an option of translate, and {model.recipe.name} edits no attribute: see "
                "`zerosum translate --help`."
            )
        return [{}], False
    columns: list[dict[str, str]] = [{}]
    several = False
    for name, value in asked.items():
        plural = not find_condition(name, model.conditions) and name.lower().endswith("s")
        plural = plural and find_condition(name[:-1], model.conditions) is not None
        condition = condition_named(name[:-1] if plural else name, model.conditions, "requested")
        if any(condition.name in conditions for conditions in columns):
            raise ConfigError(f"{condition.name} is given twice; give one value, or several values for a sheet.")
        one = isinstance(value, str) or not isinstance(value, Sequence | np.ndarray)
        values = [as_word(name, value) for value in _each(value)]
        if one and values[0].lower() == "all" and values[0] not in condition.values:
            one, values = False, list(condition.values)
        elif one and plural:
            one, values = False, [part.strip() for part in values[0].split(",")]
        several = several or not one
        columns = [conditions | {condition.name: value} for conditions in columns for value in values]
    for conditions in columns or [{}]:
        indices = condition_indices({**model.spec.defaults, **conditions}, model.conditions)
        if missing := [condition for condition in model.conditions if condition.name not in indices]:
            raise ConfigError(_missing_condition(missing[0]))
    return columns, several


def _each(value: ConditionValue | Sequence[ConditionValue] | np.ndarray) -> Sequence[ConditionValue]:
    if isinstance(value, np.ndarray):
        return list(value.flat)
    return [value] if isinstance(value, str) or not isinstance(value, Sequence) else value


def _missing_condition(condition: Condition) -> str:
    name, option = condition.name, f"--{condition.name.replace(' ', '-')}"
    one, sheet = f"{option} with", f"{option}s all"
    if name in OPTIONS:
        one, sheet = f"--set {name}=VALUE (since --{name} has another meaning) with", f"--set {name}=all"
    values = listed(condition.values)
    instead = f", or {sheet} for a sheet" if condition.ordered else ""
    return f"Condition {name!r} is missing: give {one} one of {values}{instead}."


def _check_room(inputs: Source, count: int, kind: str) -> None:
    if inputs.count * (count + 1) > MOST_CELLS:
        raise ConfigError(
            f"A sheet can have {MOST_CELLS} pictures; {counted(inputs.count, 'input')} with {count} {kind} each "
            f"need {inputs.count * (count + 1):,}. Give fewer inputs or fewer {kind}."
        )


def _inputs(source: Path) -> Source:
    """The input picture, or all pictures of the input folder."""
    if not source.exists():
        raise DataError(f"{printable(str(source))} does not exist. Give a picture, or a folder of pictures.")
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
    """Instance maps by the names of their inputs, without suffix."""
    if source.is_dir() and path.is_file():
        raise ConfigError(
            f"{path} is one instance map, and {source} is a folder: give a folder of maps with the same names."
        )
    found = _inputs(path)
    return {_stem(record.name if path.is_dir() else printable(source.name)): record for record in found.records()}


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _files(inputs: Source, source: Path, out: Path, info: DatasetInfo, sheet: bool) -> list[Path]:
    """The output file of each input, or the sheet for all of them. Raises ConfigError if out is unsuitable."""
    if sheet:
        pictures.picture_format(out)
        return [out] * inputs.count
    if is_image_name(out.name) and not out.is_dir():
        if source.is_dir():
            raise ConfigError(f"{out} is a file name, and {source} is a folder: give an output folder.")
        _check_file(out, info)
        return [out]
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; give an output folder.")
    if not source.is_dir() and out.resolve() == source.resolve().parent:
        raise ConfigError(f"{out} is the folder of {source} itself. Give a file name, or another folder.")
    return [out / f"{stem}{suffix_of(info)}" for stem in distinct_stems(record.name for record in inputs.records())]


def _check_file(out: Path, info: DatasetInfo) -> None:
    """Raises ConfigError if the file format cannot hold the output of the run."""
    kind, usual = pictures.picture_format(out), suffix_of(info)
    holds = info.dtype == "uint8" and usual == ".png" and not info.labels and not (kind == "JPEG" and info.alpha)
    if not holds and out.suffix != usual:
        kind_of_output = "label maps" if info.labels else f"{info.dtype} of {info.shape[2]} channels"
        raise ConfigError(
            f"{out} cannot store the output of this run, {kind_of_output}: name it {out.with_suffix(usual)}."
        )


def _refuse_overwriting_inputs(files: Sequence[Path], sources: Sequence[Path]) -> None:
    """Raises ConfigError if an output file is one of the inputs, or lies in an input folder."""
    folders = {folder: folder.resolve() for folder in {file.parent for file in files}}
    for source in sources:
        real = source.resolve()
        for file in files:
            within = source.is_dir() and folders[file.parent].is_relative_to(real)
            if within or (file.exists() and not source.is_dir() and file.samefile(source)):
                raise ConfigError(
                    f"{file} would be written {f'into the input folder {source}' if within else 'over an input'}. "
                    "Choose another location with --out."
                )


@dataclass(frozen=True)
class _Item:
    """A picture to translate. file: the output. instances: its instance map. map_missing: maps were given, but not for
    this picture."""

    record: Record
    file: Path
    instances: Record | None
    map_missing: bool


@dataclass(frozen=True)
class _Prepared:
    """A picture converted for the network, pixels (H, W, C), with its instance map (H, W, 1)."""

    name: str
    file: Path
    pixels: np.ndarray
    instances: np.ndarray | None


def _items(inputs: Source, files: Sequence[Path], maps: dict[str, Record] | None) -> Iterator[_Item]:
    for record, file in zip(inputs.records(), files, strict=True):
        instances = None if maps is None else maps.get(_stem(record.name))
        yield _Item(record, file, instances, maps is not None and instances is None)


def _read(item: _Item, side: Side, data: PackSettings, size: Size | None, fill: bool) -> _Prepared | Skip:
    """Read and convert a picture (in any thread)."""
    try:
        if item.map_missing:
            raise BadImage("no instance map of that name")
        pixels = _pixels(item.record, side, data, size)
        ids = np.zeros((*pixels.shape[:2], 1), np.int32) if fill else None
        if item.instances is not None:
            ids = decode_map(item.instances.open, item.instances.name)[..., None]
            if ids.shape[:2] != pixels.shape[:2]:
                own, other = ("x".join(map(str, shape[:2])) for shape in (pixels.shape, ids.shape))
                raise BadImage(f"{own} pixels (height x width), but its instance map has {other}")
    except BadImage as reason:
        large = f"{MAX_PIXELS // 10**6} megapixels" in str(reason)
        return Skip(item.record.name, f"{reason}; cut it into pieces" if large else str(reason))
    return _Prepared(item.record.name, item.file, pixels, ids)


def _pixels(record: Record, side: Side, data: PackSettings, size: Size | None) -> np.ndarray:
    """Pixels converted for the network, at the given size or their own."""
    if side.labels:
        return as_labels(decode_map(record.open, record.name), len(side.labels), levels_of(side.labels))[..., None]
    decoded = decode(record.open, name=record.name)
    size = size or (decoded.pixels.shape[0], decoded.pixels.shape[1])
    form = Form(size, side.channels, side.alpha, side.dtype, data.placing, data.background, resample=data.sampling)
    return conform(decoded, form).pixels


_Translate = Callable[[Sequence[_Prepared]], np.ndarray]
"""Pictures of one size to their translations (N, H, W, C)."""


@dataclass(frozen=True)
class _Work:
    """Reads and batches the inputs of a model. skipped: the unreadable ones so far."""

    model: Translator
    inputs: Source
    skipped: list[Skip]
    warn: Callable[[str], None]
    progress: Progress | None
    many: bool
    tile: int | None

    def batches(self, items: Iterable[_Item]) -> Iterator[list[_Prepared]]:
        """Batches of consecutive inputs of one size. Raises DataError if the only picture cannot be read."""
        done, tiles_differ = 0, uses_image_statistics(self.model.network)
        for batch in _batches_of_one_size(self._readable(items)):
            height, width = batch[0].pixels.shape[:2]
            if tiles_differ and needs_tiling(height, width, self.tile, self.model.spec.scale):
                tiles_differ = False  # warn once
                self.warn(
                    f"{batch[0].name} has {height}x{width} pixels and is translated in tiles, each normalised by "
                    "its own statistics: the result differs from that of the whole picture, also in colour. "
                    f"--tile {max(height, width)} translates it as a whole, if there is enough memory."
                )
            yield batch
            done += len(batch)
            if self.progress:
                self.progress("translating", done + len(self.skipped), self.inputs.count)

    def _readable(self, items: Iterable[_Item]) -> Iterator[_Prepared]:
        model = self.model
        fill = model.spec.uses_instances and not model.input.labels  # instances come from maps alone
        size = model.info.input_size if model.spec.fixed_size else None
        read = partial(_read, side=model.input, data=model.settings.data, size=size, fill=fill)
        for (result,) in in_order(read, items, batch=1):  # one at a time: a picture may have a hundred megapixels
            if not isinstance(result, Skip):
                yield result
            elif self.many:
                self.skipped.append(result)
                self.warn(f"{result.name}: {result.reason}")
            else:
                raise DataError(f"{printable(self.inputs.text)}: {result.reason}.")


def _batches_of_one_size(found: Iterable[_Prepared]) -> Iterator[list[_Prepared]]:
    """Batches of consecutive pictures of one shape, up to MOST_AT_ONCE pixels."""
    batch: list[_Prepared] = []
    for prepared in found:
        height, width = prepared.pixels.shape[:2]
        if batch and (
            prepared.pixels.shape != batch[0].pixels.shape or (len(batch) + 1) * height * width > MOST_AT_ONCE
        ):
            yield batch
            batch = []
        batch.append(prepared)
    if batch:
        yield batch


def _translate_batch(
    model: Translator,
    batch: Sequence[_Prepared],
    seed: int,
    tile: int | None,
    style: int | None = None,
    conditions: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Translate pictures of one size: (N, H, W, C)."""
    ids = [prepared.instances for prepared in batch if prepared.instances is not None]
    try:
        with plain_memory_errors():
            return model.translate(
                np.stack([prepared.pixels for prepared in batch]),
                instances=np.stack(ids) if ids else None,
                seed=seed,
                style=style,
                tile=tile,
                asked=conditions,
            )
    except ZerosumError as error:
        if not isinstance(error.__cause__, RuntimeError | MemoryError):
            raise
        height, width = batch[0].pixels.shape[:2]
        raise ZerosumError(
            f"Not enough memory for {batch[0].name}, {height}x{width} pixels: {error.__cause__}. Translate it in "
            "smaller tiles, such as --tile 512."
        ) from error


def _write_files(batches: Iterable[list[_Prepared]], model: Translator, translate_one: _Translate) -> int:
    """Write one file per picture. Returns their number."""
    images = 0
    for batch in batches:
        for prepared, output in zip(batch, translate_one(batch), strict=True):
            write_output(prepared.file, output, model.info)
        images += len(batch)
    return images


def _write_sheet(
    batches: Iterable[list[_Prepared]], model: Translator, variants: Sequence[tuple[str, _Translate]], out: Path
) -> int:
    """Write a sheet with one row per picture: the input and its variants, with headings. All cells have the size of the
    first, reduced if it is large. Returns the number of rows."""
    cells: list[np.ndarray] = []
    size = (0, 0)
    for batch in batches:
        inputs = np.stack([prepared.pixels for prepared in batch])
        columns = [
            displayed_inputs(inputs, model.info),
            *(displayed_outputs(run(batch), model.info) for _, run in variants),
        ]
        height, width = inputs.shape[1:3]
        if not cells:
            scale = min(1, CELL / max(height, width))
            size = max(1, round(width * scale)), max(1, round(height * scale))
        for row in zip(*columns, strict=True):
            cells += [np.asarray(ImageOps.pad(Image.fromarray(shown), size, color="white")) for shown in row]
    if cells:
        across = len(variants) + 1
        sheet = pictures.grid(np.stack(cells), len(cells) // across, across)
        pictures.save_picture(pictures.headed(sheet, ["input", *(name for name, _ in variants)]), out)
    return len(cells) // (len(variants) + 1)
