"""Parquet files, and data sets of the Hugging Face Hub, which are folders of them (extra `hub`)."""

import glob
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum.data.records import Record, Source, listed, printable
from zerosum.data.settings import Part
from zerosum.data.sources.split_files import files_of_part, fingerprint
from zerosum.utils.cache import cache_folder
from zerosum.utils.errors import ConfigError, DataError, error_text

if TYPE_CHECKING:
    import pyarrow.parquet

CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps data sets of other formats as Parquet files."""

AT_ONCE = 64  # rows read at a time
LABELS = ("label", "labels", "class", "category")


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are used. image: holds files, in a field `bytes` if nested; label: an integer or a
    word, with the names of the classes if the table has them; others: attributes."""

    image: str
    nested: bool
    label: str | None
    names: tuple[str, ...]
    others: tuple[str, ...]


def parquet_source(text: str, pattern: str, part: Part = "train") -> Source:
    """The images of the Parquet files that match a glob pattern, or lie in a folder. Columns are recognised by the
    feature types that the `datasets` library writes, or by their types and names.

    Raises DataError when there are none, when they cannot be read, or have no column of image files; ConfigError
    without pyarrow; NoTestPart for a test part that no file belongs to."""
    files = _files(text, pattern)
    chosen, notes = files_of_part(text, files, part)
    tables = [_opened(path) for path in chosen]
    columns = _columns(chosen[0], tables[0].schema_arrow)
    for path, table in zip(chosen, tables, strict=True):
        if not table.schema_arrow.equals(tables[0].schema_arrow):
            raise DataError(f"{path} has other columns than {chosen[0]}; name files of one kind.")
    classes = columns.names or _words(tables, columns.label)
    if columns.others:
        notes.append(f"Columns used as attributes: {listed(columns.others)}.")
    return Source(
        text,
        f"parquet {fingerprint(chosen)}",
        sum(table.metadata.num_rows for table in tables),
        partial(_records, chosen, columns),
        classes=tuple(map(printable, classes)),
        notes=tuple(notes),
    )


def hub_source(text: str, part: Part = "train") -> Source:
    """`hf:NAME[@REVISION]`: the Parquet files of a data set of the Hub, downloaded into the Hub's own cache; `hf:` and
    a folder with the same layout likewise."""
    name = text.removeprefix("hf:")
    if Path(name).is_dir():
        return parquet_source(text, name, part)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise ConfigError(f"{text} needs huggingface_hub: pip install 'zerosum[hub]'.") from error
    disable_progress_bars()  # packing shows progress
    name, _, revision = name.partition("@")
    for branch in [revision] if revision else [None, CONVERTED]:
        try:
            folder = snapshot_download(
                name,
                repo_type="dataset",
                revision=branch,
                allow_patterns=["*.parquet"],
                cache_dir=cache_folder() / "hub",
                endpoint=os.environ.get("HF_ENDPOINT"),  # of a mirror; at the time of the call
            )
        except HFValidationError as error:
            raise DataError(f"{printable(text)} is not the name of a data set, such as hf:ylecun/mnist.") from error
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
            if isinstance(error, RevisionNotFoundError) and branch == CONVERTED:
                break
            if isinstance(error, RepositoryNotFoundError):
                raise DataError(
                    f"The Hub has no data set {printable(name)} that is public, or that your token (`hf auth login`) "
                    "gives access to."
                ) from error
            reason = error_text(error).partition("\n")[0].rstrip(".")
            raise DataError(
                f"{printable(text)} could not be downloaded ({reason}). Without a network, download its "
                "Parquet files elsewhere and pass parquet:FOLDER."
            ) from error
        if glob.glob(f"{folder}/**/*.parquet", recursive=True):
            return parquet_source(text, folder, part)
    raise DataError(f"{printable(text)} has no Parquet files, on its branch {CONVERTED} neither.")


def _files(text: str, pattern: str) -> list[Path]:
    path = Path(pattern)
    names = [str(one) for one in path.rglob("*.parquet")] if path.is_dir() else glob.glob(pattern, recursive=True)
    files = sorted(Path(name) for name in names if Path(name).is_file())
    if not files:
        raise DataError(f"There are no Parquet files at {printable(text)}.")
    return files


def _opened(path: Path) -> "pyarrow.parquet.ParquetFile":
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(f"{path} needs pyarrow: pip install 'zerosum[hub]'.") from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a Parquet file: {error_text(error)}. Is it complete?") from error


def _columns(path: Path, schema: Any) -> Columns:
    import pyarrow.types as types

    features = _features(schema)
    images = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
    images += [name for name in schema.names if name not in images and _holds_files(schema.field(name).type)]
    if not images:
        known = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise DataError(
            f"{path} has no column of image files (binary, or a struct with a binary field bytes); it has {known}."
        )
    image = images[0]
    names: tuple[str, ...] = ()
    label = next((name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"), None)
    if label is not None:
        names = tuple(map(str, features[label].get("names") or ()))
    else:
        label = next((name for name in LABELS if name in schema.names), None)
    scalar = (types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_large_string)
    others = [
        field.name for field in schema if field.name not in (image, label) and any(fits(field.type) for fits in scalar)
    ]
    return Columns(image, types.is_struct(schema.field(image).type), label, names, tuple(others))


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """The feature types by column, as the `datasets` library stores them beside the schema."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {name: kind for name, kind in found.items() if isinstance(kind, dict)} if isinstance(found, dict) else {}


def _holds_files(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_files(field.type) for field in kind.fields)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _words(tables: Sequence[Any], label: str | None) -> tuple[str, ...]:
    """The distinct values of a column without class names, in order."""
    if label is None:
        return ()
    values: set[Any] = set()
    for table in tables:
        values.update(table.read([label]).column(0).unique().to_pylist())
    values.discard(None)
    return tuple(str(value) for value in sorted(values, key=lambda value: (isinstance(value, str), value)))


def _records(files: Sequence[Path], columns: Columns) -> Iterator[Record]:
    wanted = [columns.image, *([columns.label] if columns.label else []), *columns.others]
    for path in files:
        number = 0
        for batch in _opened(path).iter_batches(AT_ONCE, columns=wanted):
            for row in batch.to_pylist():
                name = f"{path.name}/{number}"
                number += 1
                found = row[columns.image]
                content = found.get("bytes") if columns.nested and found is not None else found
                value = row.get(columns.label) if columns.label else None
                attributes = {key: row[key] for key in columns.others if row[key] is not None}
                yield Record(
                    printable(name),
                    _class(value, columns.names),
                    partial(_open, content),
                    attributes,
                    held=len(content or b""),
                )


def _class(value: Any, names: Sequence[str]) -> str | None:
    if value is None:
        return None
    if names:
        return printable(names[value]) if isinstance(value, int) and 0 <= value < len(names) else None
    return printable(str(value))


def _open(content: bytes | None) -> io.BytesIO:
    if content is None:
        raise ValueError("the row has no image, or only the path of one")
    return io.BytesIO(content)
