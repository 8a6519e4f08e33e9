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
from tasks.ingestion.columnar import FeatherReader, ParquetReader
from tasks.ingestion.csv_rows import CsvReader
from tasks.ingestion.excel import ExcelReader
from tasks.ingestion.json_rows import JsonlReader
from tasks.ingestion.limits import check_rows, refusing
from tasks.ingestion.names import Fields, known_names, match
from tasks.ingestion.raw import Reader
from tasks.ingestion.sniff import NO_ROWS, dialect
from tasks.ingestion.staged import Caster
from tasks.ingestion.unpack import Plain, unpacked
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.lake.staging import EXPORT_COLUMNS

_ENTRY = Column(type="string", nullable=True, required=False)


class Reading:
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
        """What makes a data row's number its line's; known once all batches are read. None: it can't be told."""
        return self._reader.lines

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, none of them empty.

        Raises:
            DataRejectedError: the file as a whole is refused.
        """
        rows, batches = 0, self._batches()
        while True:
            with refusing(self._kind):
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
    others: Collection[str] = (),
    name: str | None = None,
    draft: Path | None = None,
    readmitted: bool = False,
) -> Iterator[Reading]:
    """A landed file as batches of staged rows, while the block runs.

    Args:
        path: The file.
        source: How the source's files are written, and the limits.
        columns: What is to be read, by name.
        timezone: Of moments that carry none.
        policies: What becomes of unknown and of missing columns; by default they are ignored and accepted.
        others: Further columns of the contract, which are neither read nor unknown.
        name: The file's name as it landed, where `path` is a copy.
        draft: Where it may be decompressed to; beside the file by default.
        readmitted: Whether it is one that quarantine gave back: a column says which entry each row comes from. Its
            own ending counts first. One of single rows is as quarantine exports it, with no type but text; one that
            stands for a whole file is as the source's files are.

    Raises:
        DataRejectedError: the file as a whole is refused.
    """
    rules = policies or Policies()
    named = name or path.name
    source = _as_returned(named, source) if readmitted else source
    wanted = _returned(columns) if readmitted else columns
    others = (*others, *EXPORT_COLUMNS) if readmitted else others
    where = draft or path.with_name(f".{uuid4().hex}.opened")
    with unpacked(path, named, source, where) as plain, ExitStack() as stack:
        with refusing(plain.kind):
            reader = _reader(plain, source, wanted, where, stack)
        fields = match(reader.names, wanted, rules, others, reader.hint)
        caster = Caster(wanted, timezone, keep=rules.unknown_columns == "keep")
        yield Reading(plain.kind, reader, fields, caster, source)


def read_file(path: Path, source: Source, columns: Mapping[str, Column], timezone: str) -> pa.Table:
    """A file's staged rows as one table: for files that are known to be small.

    Raises:
        DataRejectedError: the file as a whole is refused.
    """
    with read_batches(path, source, columns, timezone) as reading:
        return pa.Table.from_batches(list(reading), reading.schema)


def _reader(plain: Plain, source: Source, columns: Mapping[str, Column], draft: Path, stack: ExitStack) -> Reader:
    if plain.kind == "csv":
        how = dialect(plain.path, plain.ending, source, columns, known_names(columns))
        return CsvReader(plain.path, how, source)
    if plain.kind == "jsonl":
        return JsonlReader(plain.path, source)
    if plain.kind == "excel":
        return ExcelReader(plain.path, source, stack)
    if plain.kind == "parquet":
        return ParquetReader(plain.path, source.limits, stack)
    # The name is its own: the copying process may outlive this one.
    return FeatherReader(plain.path, source.limits, draft.with_name(f"{draft.stem}.{uuid4().hex}.copy"), stack)


def _returned(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of a file that quarantine gave back: the types there are not those that values came in."""
    return {**{name: one.model_copy(update={"casts": None}) for name, one in columns.items()}, ORIGIN: _ENTRY}


def _as_returned(name: str, source: Source) -> Source:
    """How a file that quarantine gave back is written; its format is left out where the name's ending tells one."""
    from configs.source import COMPRESSIONS, ENDINGS

    endings = [one.lower() for one in Path(name).suffixes[-2:]]
    tells = bool(endings) and (
        endings[-1] in ENDINGS or (endings[-1] in COMPRESSIONS and len(endings) == 2 and endings[0] in ENDINGS)
    )
    plain = source.model_copy(update={"format": None, "compression": None}) if tells else source
    if name.startswith("of-"):
        return plain
    found: dict[str, object] = dict.fromkeys(("delimiter", "encoding", "quote", "sheet"))
    return plain.model_copy(update={**found, "decimal": "."})
