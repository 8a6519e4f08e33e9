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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.source import Limits
from tasks.errors import DataRejectedError
from tasks.ingestion import arrow_copy
from tasks.ingestion.arrow_types import type_name
from tasks.ingestion.limits import check_columns, check_rows, check_unpacked
from tasks.ingestion.names import Fields
from tasks.ingestion.raw import RawRows, row_numbers
from tasks.ingestion.read_errors import read_error_message

_ROWS = 1 << 17
_BUFFER = 1 << 20
_BYTES = 64 << 20  # of rows that are held at once
_DICTIONARY = 4 << 20  # bytes that a dictionary rarely has


class ParquetReader:
    """An open parquet file; see Reader."""

    hint = ""
    lines = None

    def __init__(self, path: Path, limits: Limits, stack: ExitStack) -> None:
        # Read through a small buffer, a row group is not held whole. Moments of 96 bits reach beyond nanoseconds.
        # Texts that stand in a dictionary are left there: written out, few kilobytes may be more than the memory holds.
        options = {
            "buffer_size": _BUFFER,
            "pre_buffer": False,
            "coerce_int96_timestamp_unit": "us",
            "page_checksum_verification": True,
        }
        with pq.ParquetFile(path, **options) as file:
            dictionaries = _dictionaries(file)
        self._file = stack.enter_context(pq.ParquetFile(path, read_dictionary=dictionaries, **options))
        self._limits = limits
        self.names: Sequence[str] = self._file.schema_arrow.names
        metadata = self._file.metadata
        check_columns(metadata.num_columns, limits)
        check_rows(metadata.num_rows, limits)
        sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
        check_unpacked(sum(sizes), sum(sizes), limits)

    def batches(self, fields: Fields) -> Iterator[RawRows]:
        """Its rows; see Reader."""
        wanted = [self.names[place] for place in (*fields.positions.values(), *fields.kept.values())]
        number = 1
        size = _SizeLimit(self._limits)
        for batch in self._file.iter_batches(batch_size=self._batch_rows(), columns=wanted):
            for piece in size.pieces(batch):
                yield _raw_rows(piece, self.names, fields, number)
                number += piece.num_rows

    def _batch_rows(self) -> int:
        """Rows to read at once: few where they are large."""
        metadata = self._file.metadata
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        widest = max(
            (
                group_metadata.total_byte_size // group_metadata.num_rows
                for group_metadata in groups
                if group_metadata.num_rows
            ),
            default=0,
        )
        return max(1, min(_ROWS, _BYTES // max(widest, 1)))


class FeatherReader:
    """An open feather or other Arrow file; see Reader."""

    hint = ""
    lines = None

    def __init__(self, path: Path, limits: Limits, draft: Path, stack: ExitStack) -> None:
        stack.callback(draft.unlink, missing_ok=True)
        _copy(path, draft, limits)
        self._file = pa.ipc.open_file(stack.enter_context(pa.memory_map(str(draft))))
        self.names: Sequence[str] = self._file.schema.names
        self._limits = limits
        check_columns(len(self.names), limits)

    def batches(self, fields: Fields) -> Iterator[RawRows]:
        """Its rows; see Reader."""
        number = 1
        size = _SizeLimit(self._limits)
        for index in range(self._file.num_record_batches):
            for piece in size.pieces(self._file.get_batch(index)):
                yield _raw_rows(piece, self.names, fields, number)
                number += piece.num_rows


class _SizeLimit:
    """How large rows become once each has its own text, which several may share in the file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0

    def pieces(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Rows in pieces that stay small.

        Raises:
            DataRejectedError: all rows so far have more bytes than the limit on what is decompressed.
        """
        widest = sum(_longest_text(values) for values in batch.columns)
        rows = max(1, min(batch.num_rows, _BYTES // max(widest, 1)))
        for start in range(0, batch.num_rows, rows):
            piece = batch.slice(start, rows)
            if rows < batch.num_rows:
                self._bytes += sum(_decoded_bytes(values) for values in piece.columns)
                check_unpacked(self._bytes, self._bytes, self._limits)
            yield piece


def _longest_text(values: pa.Array) -> int:
    """Bytes of the longest text in a column that shares its texts among rows; 0 for other columns."""
    if not pa.types.is_dictionary(values.type) or not _is_text(values.type.value_type):
        return 0
    return pc.max(pc.binary_length(values.dictionary)).as_py() or 0


def _decoded_bytes(values: pa.Array) -> int:
    """Bytes of such a column's texts once each row has its own."""
    if not _longest_text(values):
        return 0
    return pc.sum(pc.binary_length(values.dictionary).take(values.indices)).as_py() or 0


def _is_text(kind: pa.DataType) -> bool:
    return any(predicate(kind) for predicate in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def _dictionaries(file: pq.ParquetFile) -> list[str]:
    """Columns, by name, whose texts stand in dictionaries and may be far more written out."""
    metadata = file.metadata
    dictionary_columns = set()
    for group in range(metadata.num_row_groups):
        columns = [metadata.row_group(group).column(place) for place in range(metadata.num_columns)]
        dictionary_columns |= {
            column.path_in_schema for column in columns if column.has_dictionary_page and _may_grow(column)
        }
    return [column.name for column in file.schema_arrow if column.name in dictionary_columns and _is_text(column.type)]


def _may_grow(column: pq.ColumnChunkMetaData) -> bool:
    """Whether few bytes may be many written out. A row's place in a dictionary takes less than 4, a text more."""
    size, values = int(column.total_uncompressed_size), int(column.num_values)
    return size * min(values, _ROWS) > _BYTES and (size < _DICTIONARY or size < 4 * values)


def _copy(path: Path, draft: Path, limits: Limits) -> None:
    """Copy an Arrow file by a process of its own, which may crash; see arrow_copy.

    Raises:
        DataRejectedError: the bytes are at fault.
        OSError: the machine is.
    """
    command = [sys.executable, "-I", arrow_copy.__file__, str(path), str(draft), str(limits.decompressed_bytes)]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    output = result.stdout.splitlines()
    if result.returncode == arrow_copy.SYSTEM_ERROR:
        raise OSError(int(output[0]), os.strerror(int(output[0])))
    if result.returncode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
        raise InterruptedError(errno.EINTR, "the process that copies it was terminated from outside")
    if result.returncode == arrow_copy.TOO_LARGE:
        check_unpacked(limits.decompressed_bytes + 1, limits.decompressed_bytes, limits)
    if result.returncode:
        reason = output[0][:300] if output else "its bytes crash Arrow's reader"
        raise DataRejectedError(read_error_message("feather", reason))


def _raw_rows(batch: pa.RecordBatch, names: Sequence[str], fields: Fields, number: int) -> RawRows:
    columns = {name: _validated(batch.column(names[place])) for name, place in fields.positions.items()}
    kept = {name: _validated(batch.column(names[place])) for name, place in fields.kept.items()}
    kinds = {name: frozenset({type_name(values.type)}) for name, values in columns.items()}
    return RawRows(row_numbers(number, batch.num_rows), columns, kept, kinds=kinds)


def _validated(values: pa.Array) -> pa.Array:
    """What a damaged file says is not believed: offsets and texts are looked at."""
    values.validate(full=True)
    return values
