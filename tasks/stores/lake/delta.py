"""Delta tables by their address. The only module that talks to deltalake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

if TYPE_CHECKING:
    import pyarrow.dataset as pads

# Without these, ordinary appends make versions that models refer to unreadable after thirty days.
_CONFIGURATION = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
}
Table = DeltaTable
# Any trouble with a table: its log or its files are damaged or gone.
Error = DeltaError
_MAX_TRIES = 8
# A transaction of every commit that rewrites files: theirs hold texts as views, which Arrow can't compare with texts.
_REWRITTEN = Transaction("rewritten", 1)
# How merged files are written: whoever wants few rows, or reads piece by piece, must not take a million at once.
MERGED = WriterProperties(max_row_group_size=100_000, compression="ZSTD", compression_level=4)
_ONE_BY_ONE = {"batch_readahead": 1, "fragment_readahead": 0, "use_threads": False}


class LakeConflictError(RuntimeError):
    """Other writers won every one of several tries at one commit."""


class RowStream(NamedTuple):
    """Rows that are made while they are written, as often as a commit is tried."""

    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]


class TransactionRows(NamedTuple):
    """Rows and the application transaction that they are written under.

    Attributes:
        app_id: The transaction's.
        version: Its version.
        rows: The rows.
        rising: Whether versions of `app_id` are written in their order, so that the last one stands for all before it.
            Such a transaction is forgotten when the table's `delta.setTransactionRetentionDuration` has passed.
    """

    app_id: str
    version: int
    rows: pa.Table | RowStream
    ordered: bool = False


def open_table(url: str, version: int | None = None) -> Table | None:
    """A table at a version (newest by default); None where it was never made."""
    try:
        return DeltaTable(url, version=version)
    except TableNotFoundError:
        return None


def create(url: str, schema: pa.Schema, properties: Mapping[str, str] | None = None) -> Table:
    """Make a table, unless it is there, with the retention that models need, or with other properties."""
    return DeltaTable.create(url, schema, mode="ignore", configuration={**_CONFIGURATION, **(properties or {})})


def append(url: str, schema: pa.Schema, rows: pa.Table) -> None:
    """Append rows whose repetition does no harm."""
    write_deltalake(open_table(url) or create(url, schema), rows, mode="append", schema_mode="merge")


def append_once(
    url: str, schema: pa.Schema, parts: Sequence[TransactionRows], properties: Mapping[str, str] | None = None
) -> int:
    """Append several parts in one commit, each under its own application transaction, each once.

    Args:
        url: The table's.
        schema: Its schema, should it not be there yet.
        parts: What is to be appended.
        properties: Its properties beside those of all tables, should it not be there yet.

    Returns:
        How many parts this call wrote; the others were committed before.

    Raises:
        LakeConflictError: others won every try.
    """

    def write(opened: Table, due: Sequence[TransactionRows]) -> None:
        write_deltalake(opened, _rows(due), mode="append", schema_mode="merge", commit_properties=_commit(due))

    return _once(url, schema, parts, write, properties)


def merge_once(url: str, schema: pa.Schema, parts: Sequence[TransactionRows], on: Sequence[str]) -> int:
    """Put parts into a table in one commit, each once: rows take the place of those that are equal in some columns.

    Args:
        url: The table's.
        schema: Its schema, should it not be there yet.
        parts: What is to be put in. No two rows may be equal in the columns `on`.
        on: The columns, none of which is ever missing.

    Returns:
        How many parts this call wrote; the others were committed before.

    Raises:
        LakeConflictError: others won every try.
    """

    def write(opened: Table, due: Sequence[TransactionRows]) -> None:
        equal = " AND ".join(f't."{name}" = s."{name}"' for name in on)
        merge = opened.merge(
            _rows(due),
            equal,
            source_alias="s",
            target_alias="t",
            merge_schema=True,
            commit_properties=_commit(due, _REWRITTEN),
        )
        merge.when_matched_update_all().when_not_matched_insert_all().execute()

    return _once(url, schema, parts, write)


def _once(
    url: str,
    schema: pa.Schema,
    parts: Sequence[TransactionRows],
    write: Callable[[Table, Sequence[TransactionRows]], None],
    properties: Mapping[str, str] | None = None,
) -> int:
    # The transactions are looked up in, and written with, the same open table: a writer that raced with this one makes
    # the commit fail, and the look-up is done again.
    distinct = {(part.app_id, part.version if part.ordered else None): part for part in parts}.values()
    for _ in range(_MAX_TRIES):
        opened = open_table(url) or create(url, schema, properties)
        known = {part.app_id: opened.transaction_version(part.app_id) for part in distinct}
        due = [part for part in distinct if _is_due(part, known[part.app_id])]
        if not due:
            return 0
        try:
            write(opened, due)
        except CommitFailedError:
            continue
        return len(due)
    raise LakeConflictError(f"{url}: {_MAX_TRIES} commits lost against other writers")


def _is_due(part: TransactionRows, known: int | None) -> bool:
    return known is None or (part.ordered and known < part.version)


def _commit(parts: Sequence[TransactionRows], *more: Transaction) -> CommitProperties:
    last = {part.app_id: part for part in sorted(parts, key=lambda part: part.version)}
    now = time.time_ns() // 1_000_000
    written = [Transaction(one.app_id, one.version, now if one.ordered else None) for one in last.values()]
    return CommitProperties(app_transactions=[*written, *more])


def _rows(parts: Sequence[TransactionRows]) -> pa.Table | pa.RecordBatchReader:
    tables = [part.rows for part in parts if isinstance(part.rows, pa.Table)]
    if len(tables) == len(parts):
        return pa.concat_tables(tables)
    streams = [_stream(part.rows) for part in parts]
    return pa.RecordBatchReader.from_batches(
        streams[0].schema, chain.from_iterable(stream.batches() for stream in streams)
    )


def _stream(rows: pa.Table | RowStream) -> RowStream:
    return rows if isinstance(rows, RowStream) else RowStream(rows.schema, lambda: iter(rows.to_batches()))


def delete(opened: Table, where: str) -> int:
    """Delete the rows that an SQL predicate keeps; how many there were. Older versions have them until a vacuum."""
    found = opened.delete(where, commit_properties=_commit((), _REWRITTEN))
    return int(found["num_deleted_rows"] or 0)


def replace(url: str, schema: pa.Schema, rows: pa.Table, where: str) -> None:
    """Put rows in the place of those that an SQL predicate keeps, in one commit.

    Args:
        url: The table's.
        schema: Its schema, should it not be there yet.
        rows: The new rows; the predicate must keep them, too.
        where: The predicate.
    """
    opened = open_table(url) or create(url, schema)
    write_deltalake(
        opened,
        rows,
        mode="overwrite",
        predicate=where,
        schema_mode="merge",
        commit_properties=_commit((), _REWRITTEN),
    )


def _dataset(opened: Table, files: str | None = None, always: Sequence[pa.Field] = ()) -> pads.Dataset:
    """A table's files, all or those that may hold rows of an SQL predicate. On a local disk Arrow alone reads them.

    Arrow's threads would else come back to Python for every byte, and abort a process that ends in that moment.
    """
    address = urlsplit(opened.table_uri)
    place = None
    if address.scheme in ("", "file"):
        folder = unquote(address.path) if address.scheme else opened.table_uri
        place = pafs.SubTreeFileSystem(folder, pafs.LocalFileSystem())
    found = opened.to_pyarrow_dataset(filesystem=place, file_pruning_predicate=files)
    lacking = [field for field in always if field.name not in found.schema.names]
    return found.replace_schema(pa.schema([*found.schema, *lacking])) if lacking else found


def scan(
    opened: Table,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
    *,
    ahead: bool = True,
    files: str | None = None,
    always: Sequence[pa.Field] = (),
) -> Iterator[pa.RecordBatch]:
    """Rows of a table, batch by batch: the named columns, the rows that the filter keeps.

    Args:
        opened: The table.
        columns: Names; those it lacks are left out. All by default.
        where: The filter; all rows by default.
        ahead: Whether what follows is read meanwhile, many batches of it.
        files: An SQL predicate that all rows wanted meet. Files without such a row, as their statistics tell, are left
            alone, which is much sooner done than by the filter where there are thousands.
        always: Columns that an older table may lack: they are there, and empty.
    """
    dataset = _dataset(opened, files, always)
    present = None if columns is None else [name for name in columns if name in dataset.schema.names]
    how = {} if ahead else _ONE_BY_ONE
    if where is None or opened.transaction_version(_REWRITTEN.app_id) is None:
        yield from dataset.to_batches(columns=present, filter=where, **how)
        return
    for fragment in dataset.get_fragments():
        if not any(pa.types.is_string_view(field.type) for field in fragment.physical_schema):
            yield from fragment.to_batches(schema=dataset.schema, columns=present, filter=where, **how)
            continue
        for batch in fragment.to_batches(schema=dataset.schema, **how):
            kept = pa.Table.from_batches([batch]).filter(where)
            yield from (kept if present is None else kept.select(present)).to_batches()


def stream(opened: Table, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All rows, the named columns, one piece after the other: as fast as `scan` for a writer, in a third of memory."""
    dataset = _dataset(opened)
    yield from dataset.to_batches(columns=list(columns), **_ONE_BY_ONE)


def read(
    opened: Table,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
    files: str | None = None,
    always: Sequence[pa.Field] = (),
) -> pa.Table:
    """The rows of `scan` as one table."""
    dataset = _dataset(opened, files, always)
    present = [name for name in columns or dataset.schema.names if name in dataset.schema.names]
    if where is None or opened.transaction_version(_REWRITTEN.app_id) is None:
        return dataset.to_table(columns=present, filter=where)
    schema = pa.schema([dataset.schema.field(name) for name in present])
    return pa.Table.from_batches(scan(opened, columns, where, files=files, always=always), schema)


def records(opened: Table, schema: pa.Schema, where: str | None = None) -> pa.Table:
    """The rows that an SQL predicate keeps, in a schema: columns that an older table lacks are empty.

    Read without pandas, which Arrow's datasets and times import.
    """
    there = pa.schema(opened.schema().to_arrow()).names
    present = [name for name in schema.names if name in there]
    rows = pa.RecordBatchReader.from_stream(opened.scan(present, where)).read_all()
    columns = [
        rows.column(field.name) if field.name in present else pa.nulls(rows.num_rows, field.type) for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)
