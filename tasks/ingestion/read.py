"""Landed files as batches of staged rows, whatever their format, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from configs.contract import Column, Policies
from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.caster import Caster
from tasks.ingestion.columnar import FeatherReader, ParquetReader
from tasks.ingestion.csv_rows import CsvReader
from tasks.ingestion.excel import ExcelReader
from tasks.ingestion.json_rows import JsonlReader
from tasks.ingestion.limits import check_rows, rejecting_read_errors
from tasks.ingestion.names import Fields, known_names, match_columns
from tasks.ingestion.raw import Reader
from tasks.ingestion.sniff import NO_ROWS, dialect
from tasks.ingestion.unpack import PlainFile, unpacked
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.lake.staging import EXPORT_COLUMNS

_ENTRY = Column(type="string", nullable=True, required=False)


class StagedRowReader:
    """A file that is being read: batches of staged rows, once.

    Attributes:
        schema: The batches'.
        notes: What a person should know of how it is read.
    """

    def __init__(self, kind: str, reader: Reader, fields: Fields, caster: Caster, source: Source) -> None:
        self.schema: pa.Schema = caster.schema
        self.notes = fields.notes
        self._kind, self._reader, self._fields = kind, reader, fields
        self._caster, self._limits = caster, source.limits

    @property
    def lines(self) -> int | None:
        """What makes a data row's number its line's; known once all batches are read. None: it can't be determined."""
        return self._reader.lines

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, none of them empty.

        Raises:
            DataRejectedError: the file as a whole is refused.
        """
        rows, batches = 0, self._batches()
        while True:
            with rejecting_read_errors(self._kind):
                batch = next(batches, None)
            if batch is None:
                break
            rows += batch.num_rows
            check_rows(rows, self._limits)
            if batch.num_rows:
                yield batch
        if not rows:
            raise DataRejectedError(NO_ROWS)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for raw in self._reader.batches(self._fields):
            yield self._caster.staged(raw)


@contextmanager
def read_batches(
    path: Path,
    source: Source,
    columns: Mapping[str, Column],
    timezone: str,
    *,
    policies: Policies | None = None,
    other_names: Collection[str] = (),
    name: str | None = None,
    draft: Path | None = None,
    readmitted: bool = False,
) -> Iterator[StagedRowReader]:
    """A landed file as batches of staged rows, while the block runs.

    Args:
        path: The file.
        source: How the source's files are written, and the limits.
        columns: What is to be read, by name.
        timezone: Of moments that carry none.
        policies: What becomes of unknown and of missing columns; by default they are ignored and accepted.
        other_names: Further columns of the contract, which are neither read nor unknown.
        name: The file's name as it landed, where `path` is a copy.
        draft: Where it may be decompressed to; beside the file by default.
        readmitted: Whether it is one that quarantine gave back: a column says which entry each row comes from. Its
            own ending counts first. One of single rows is as quarantine exports it, with no type but text; one that
            stands for a whole file is as the source's files are.

    Raises:
        DataRejectedError: the file as a whole is refused.
    """
    rules = policies or Policies()
    file_name = name or path.name
    source = _readmitted_source(file_name, source) if readmitted else source
    read_columns = _readmitted_columns(columns) if readmitted else columns
    other_names = (*other_names, *EXPORT_COLUMNS) if readmitted else other_names
    draft_path = draft or path.with_name(f".{uuid4().hex}.opened")
    with unpacked(path, file_name, source, draft_path) as plain_file, ExitStack() as stack:
        with rejecting_read_errors(plain_file.kind):
            reader = _reader(plain_file, source, read_columns, draft_path, stack)
        fields = match_columns(reader.names, read_columns, rules, other_names, reader.hint)
        caster = Caster(read_columns, timezone, keep=rules.unknown_columns == "keep")
        yield StagedRowReader(plain_file.kind, reader, fields, caster, source)


def read_file(path: Path, source: Source, columns: Mapping[str, Column], timezone: str) -> pa.Table:
    """A file's staged rows as one table: for files that are known to be small.

    Raises:
        DataRejectedError: the file as a whole is refused.
    """
    with read_batches(path, source, columns, timezone) as reading:
        return pa.Table.from_batches(list(reading), reading.schema)


def _reader(
    plain_file: PlainFile, source: Source, columns: Mapping[str, Column], draft: Path, stack: ExitStack
) -> Reader:
    if plain_file.kind == "csv":
        csv_dialect = dialect(plain_file.path, plain_file.ending, source, columns, known_names(columns))
        return CsvReader(plain_file.path, csv_dialect, source)
    if plain_file.kind == "jsonl":
        return JsonlReader(plain_file.path, source)
    if plain_file.kind == "excel":
        return ExcelReader(plain_file.path, source, stack)
    if plain_file.kind == "parquet":
        return ParquetReader(plain_file.path, source.limits, stack)
    # The name is its own: the copying process may outlive this one.
    return FeatherReader(plain_file.path, source.limits, draft.with_name(f"{draft.stem}.{uuid4().hex}.copy"), stack)


def _readmitted_columns(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of a file that quarantine gave back: the types there are not those that values came in."""
    return {**{name: column.model_copy(update={"casts": None}) for name, column in columns.items()}, ORIGIN: _ENTRY}


def _readmitted_source(name: str, source: Source) -> Source:
    """How a file that quarantine gave back is written; its format is left out where the name's ending tells one."""
    from configs.source import COMPRESSIONS, ENDINGS

    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    has_format = bool(suffixes) and (
        suffixes[-1] in ENDINGS or (suffixes[-1] in COMPRESSIONS and len(suffixes) == 2 and suffixes[0] in ENDINGS)
    )
    unforced = source.model_copy(update={"format": None, "compression": None}) if has_format else source
    if name.startswith("of-"):
        return unforced
    unset: dict[str, object] = dict.fromkeys(("delimiter", "encoding", "quote", "sheet"))
    return unforced.model_copy(update={**unset, "decimal": "."})
