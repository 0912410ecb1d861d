"""Writing .npy files row by row, with the number of rows known only at the end; opening .npz files safely."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np


@contextmanager
def opened_npz(path: Path) -> Iterator[Any]:
    """The arrays of an .npz file, by name. Nothing is unpickled; damaged files are closed too."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
        yield stored


class ArrayWriter:
    """Append arrays (n, *shape); on leaving the block the header gets the number of rows.

    A stream rather than a writable memory map: on a full disk a write raises an error, whereas touching a mapped page
    kills the process."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.rows = 0

    def __enter__(self) -> "ArrayWriter":
        self._file = open(self.path, "wb")
        self._write_header()
        self._start = self._file.tell()
        return self

    def append(self, rows: np.ndarray) -> None:
        """Write rows (n, *shape) of the writer's type; ValueError for anything else."""
        if rows.shape[1:] != self.shape or rows.dtype != self.dtype:
            raise ValueError(f"rows of {rows.dtype} {rows.shape[1:]} where the file holds {self.dtype} {self.shape}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                if self._file.tell() != self._start:
                    raise AssertionError("the header grew")  # NumPy leaves room for any number of rows

    def _write_header(self) -> None:
        header = {
            "shape": (self.rows, *self.shape),
            "fortran_order": False,
            "descr": np.lib.format.dtype_to_descr(self.dtype),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
