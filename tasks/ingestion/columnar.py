"""Rows of parquet and feather files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from configs.source import Limits
from tasks.ingestion.cells import found_type
from tasks.ingestion.limits import check_columns, check_rows, check_unpacked
from tasks.ingestion.names import Fields
from tasks.ingestion.raw import Raw, numbered

_ROWS = 1 << 17
_FEATHER_1 = b"FEA1"
_FEATHER_2 = b"ARROW1"


class ParquetReader:
    """An open parquet file; see Reader."""

    hint = ""
    lines = None

    def __init__(self, path: Path, limits: Limits, stack: ExitStack) -> None:
        # Unbuffered and mapped, a row group is not held whole. Moments of 96 bits reach beyond nanoseconds.
        self._file = stack.enter_context(
            pq.ParquetFile(path, memory_map=True, pre_buffer=False, coerce_int96_timestamp_unit="us")
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

    def __init__(self, path: Path, limits: Limits, stack: ExitStack) -> None:
        self._path, self._limits = path, limits
        self._source = stack.enter_context(pa.memory_map(str(path)))
        self._magic = self._source.read(8)
        self._source.seek(0)
        self._schema = self._opened(None).schema
        self.names: Sequence[str] = self._schema.names
        check_columns(len(self.names), limits)

    def batches(self, fields: Fields) -> Iterator[Raw]:
        """Its rows; see Reader."""
        places = sorted({*fields.places.values(), *fields.kept.values()})
        number = 1
        for batch in self._record_batches(places):
            for start in range(0, batch.num_rows, _ROWS):
                part = batch.slice(start, _ROWS)
                yield _raw(part, self.names, fields, number)
                number += part.num_rows

    def _record_batches(self, places: list[int]) -> Iterator[pa.RecordBatch]:
        opened = self._opened(places)
        if isinstance(opened, pa.ipc.RecordBatchFileReader):
            for index in range(opened.num_record_batches):
                yield opened.get_batch(index)
        elif isinstance(opened, pa.Table):
            yield from opened.to_batches()
        else:
            yield from opened

    def _opened(
        self, places: list[int] | None
    ) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader | pa.Table:
        self._source.seek(0)
        if self._magic.startswith(_FEATHER_1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of the old format, which is why it is read so
                return pa.feather.read_table(self._source)
        options = pa.ipc.IpcReadOptions(included_fields=places or [])
        if self._magic.startswith(_FEATHER_2):
            return pa.ipc.open_file(self._source, options=options)
        return pa.ipc.open_stream(self._source, options=options)


def _raw(batch: pa.RecordBatch, names: Sequence[str], fields: Fields, number: int) -> Raw:
    columns = {name: _checked(batch.column(names[place])) for name, place in fields.places.items()}
    kept = {name: _checked(batch.column(names[place])) for name, place in fields.kept.items()}
    kinds = {name: frozenset({found_type(values.type)}) for name, values in columns.items()}
    return Raw(numbered(number, batch.num_rows), columns, kept, kinds=kinds)


def _checked(values: pa.Array) -> pa.Array:
    """What a damaged file says is not believed: offsets and texts are looked at."""
    values.validate(full=True)
    return values
