"""Rows of parquet and feather files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from configs.source import Limits
from tasks.errors import DataRejectedError
from tasks.ingestion import arrow_copy
from tasks.ingestion.cells import found_type
from tasks.ingestion.limits import check_columns, check_rows, check_unpacked
from tasks.ingestion.names import Fields
from tasks.ingestion.raw import Raw, numbered

_ROWS = 1 << 17
_BUFFER = 1 << 20


class ParquetReader:
    """An open parquet file; see Reader."""

    hint = ""
    lines = None

    def __init__(self, path: Path, limits: Limits, stack: ExitStack) -> None:
        # Read through a small buffer, a row group is not held whole. Moments of 96 bits reach beyond nanoseconds.
        self._file = stack.enter_context(
            pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False, coerce_int96_timestamp_unit="us")
        )
        self.names: Sequence[str] = self._file.schema_arrow.names
        metadata = self._file.metadata
        check_columns(metadata.num_columns, limits)
        check_rows(metadata.num_rows, limits)
        sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
        check_unpacked(sum(sizes), sum(sizes), limits)

    def batches(self, fields: Fields) -> Iterator[Raw]:
        """Its rows; see Reader."""
        wanted = [self.names[place] for place in (*fields.places.values(), *fields.kept.values())]
        number = 1
        for batch in self._file.iter_batches(batch_size=_ROWS, columns=wanted):
            yield _raw(batch, self.names, fields, number)
            number += batch.num_rows


class FeatherReader:
    """An open feather or other Arrow file; see Reader."""

    hint = ""
    lines = None

    def __init__(self, path: Path, limits: Limits, draft: Path, stack: ExitStack) -> None:
        stack.callback(draft.unlink, missing_ok=True)
        _copy(path, draft, limits)
        self._file = pa.ipc.open_file(stack.enter_context(pa.memory_map(str(draft))))
        self.names: Sequence[str] = self._file.schema.names
        check_columns(len(self.names), limits)

    def batches(self, fields: Fields) -> Iterator[Raw]:
        """Its rows; see Reader."""
        number = 1
        for index in range(self._file.num_record_batches):
            batch = self._file.get_batch(index)
            yield _raw(batch, self.names, fields, number)
            number += batch.num_rows


def _copy(path: Path, draft: Path, limits: Limits) -> None:
    """Copy an Arrow file by a process of its own, which may crash; see arrow_copy.

    Raises:
        DataRejectedError: the bytes are at fault.
        OSError: the machine is.
    """
    command = [sys.executable, "-I", arrow_copy.__file__, str(path), str(draft), str(limits.decompressed_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout.splitlines()
    if done.returncode == arrow_copy.MACHINE:
        raise OSError(int(said[0]), os.strerror(int(said[0])))
    if done.returncode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
        raise InterruptedError(errno.EINTR, "the process that copies it was ended from outside")
    if done.returncode == arrow_copy.TOO_LARGE:
        check_unpacked(limits.decompressed_bytes + 1, limits.decompressed_bytes, limits)
    if done.returncode:
        why = said[0][:300] if said else "its bytes make Arrow's reader crash"
        raise DataRejectedError(f"can't be read as feather: {why}")


def _raw(batch: pa.RecordBatch, names: Sequence[str], fields: Fields, number: int) -> Raw:
    columns = {name: _checked(batch.column(names[place])) for name, place in fields.places.items()}
    kept = {name: _checked(batch.column(names[place])) for name, place in fields.kept.items()}
    kinds = {name: frozenset({found_type(values.type)}) for name, values in columns.items()}
    return Raw(numbered(number, batch.num_rows), columns, kept, kinds=kinds)


def _checked(values: pa.Array) -> pa.Array:
    """What a damaged file says is not believed: offsets and texts are looked at."""
    values.validate(full=True)
    return values
