"""The lake: one set of Delta tables a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.records.base import digest, read_row
from tasks.records.data import BatchRecord, DatasetRef, Feed
from tasks.stores.lake import delta
from tasks.stores.lake.delta import TransactionRows
from tasks.stores.lake.schemas import BATCH, LEDGER, PROPERTIES, ROW_ID, TableName, own_columns, schemas
from tasks.stores.lake.versions import AsOf, snapshot
from tasks.stores.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The newest ledger read, by its URL: the table's id and version, and its batches. A run reads it many times.
_ledgers: dict[str, tuple[tuple[str, int], tuple[BatchRecord, ...]]] = {}


class Lake:
    """The Delta tables of one pipeline.

    Args:
        settings: Says where the lake is.
        config: Says what columns the tables have.
    """

    def __init__(self, settings: Settings, config: PipelineConfig) -> None:
        self.pipeline = config.name
        self._root = f"{settings.lake.rstrip('/')}/{config.name}"
        self._schemas = schemas(config)
        self._always = {name: own_columns(config, schema) for name, schema in self._schemas.items()}
        self._target = config.contract.target
        self._target_always = not config.contract.columns[config.contract.target].nullable
        self._event_time = config.contract.event_time or ""

    def schema(self, table: TableName) -> pa.Schema:
        """Arrow schema of a table, as it is made."""
        return self._schemas[table]

    @property
    def tables(self) -> tuple[TableName, ...]:
        """The names of the tables."""
        return tuple(self._schemas)

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The tables that files come in to."""
        return ("observations", "labels") if "labels" in self._schemas else ("observations",)

    def url(self, table: TableName) -> str:
        """Where a table lies."""
        return f"{self._root}/{table}"

    def create(self) -> None:
        """Make the tables that are not there yet, with the retention that models need.

        Raises:
            UsageError: a table has a column of another type than the contract says now.
        """
        for name, schema in self._schemas.items():
            opened = self.open(name)
            if opened is None:
                delta.create(self.url(name), schema, PROPERTIES.get(name))
            else:
                self._refuse_other_types(name, schema, opened)

    def _refuse_other_types(self, name: TableName, schema: pa.Schema, opened: delta.Table) -> None:
        """Delta would cast new values to the old type, and lose what does not fit."""
        present = {field.name: field.type for field in pa.schema(opened.schema().to_arrow())}
        for field in schema:
            found = present.get(field.name, field.type)
            if not _same_type(found, field.type):
                raise UsageError(
                    f"contract.columns.{field.name}: found type {field.type}, but it is {found} in {self.url(name)}. "
                    "Keep the type, or give the column a new name."
                )

    def open(self, table: TableName, version: AsOf | None = None) -> delta.Table | None:
        """A table as of a version or a moment (newest by default); None where it was never made.

        Raises:
            UsageError: there is no such version, or it can't be read any more.
        """
        if version is None:
            return delta.open_table(self.url(table))
        found = snapshot(self.url(table), version)
        return None if found is None else found.table

    def transactions(self, table: TableName, app_ids: Iterable[str]) -> dict[str, int]:
        """The versions that application transactions were committed with; those that never were are left out."""
        opened = self.open(table)
        if opened is None:
            return {}
        found = {app_id: opened.transaction_version(app_id) for app_id in app_ids}
        return {app_id: version for app_id, version in found.items() if version is not None}

    def append_once(self, table: TableName, rows: pa.Table, app_id: str, version: int) -> bool:
        """Append rows under an application transaction, unless it was committed before.

        Returns:
            Whether this call wrote the rows.

        Raises:
            LakeConflictError: others won every try.
        """
        return self.append_parts_once(table, [TransactionRows(app_id, version, rows)]) == 1

    def append_parts_once(self, table: TableName, parts: Sequence[TransactionRows]) -> int:
        """Append several parts in one commit, each once; how many this call wrote.

        Raises:
            LakeConflictError: others won every try.
        """
        return delta.append_once(self.url(table), self._schemas[table], parts, PROPERTIES.get(table))

    def merge_parts_once(self, table: TableName, parts: Sequence[TransactionRows], on: Sequence[str]) -> int:
        """Put parts into a table in one commit, each once, in place of rows equal in `on`; how many this call wrote.

        Raises:
            LakeConflictError: others won every try.
        """
        return delta.merge_once(self.url(table), self._schemas[table], parts, on)

    def replace(self, table: TableName, rows: pa.Table, where: str) -> None:
        """Put rows in the place of those that an SQL predicate keeps, in one commit; it must keep the new ones, too."""
        delta.replace(self.url(table), self._schemas[table], rows, where)

    def append(self, table: TableName, rows: pa.Table) -> None:
        """Append rows whose repetition does no harm."""
        delta.append(self.url(table), self._schemas[table], rows)

    def delete(self, table: TableName, where: str) -> int:
        """Delete the rows that an SQL predicate keeps; how many there were. Older versions have them until upkeep."""
        opened = self.open(table)
        return 0 if opened is None else delta.delete(opened, where)

    def read(
        self,
        table: TableName,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        version: AsOf | None = None,
        *,
        files: str | None = None,
    ) -> pa.Table:
        """Rows of a table: the named columns, the rows that the filter keeps.

        Of columns that an older table lacks, those of the contract are left out, and those of our own are empty.
        `files` is as of delta's `scan`.

        Raises:
            UsageError: there is no such version, or it can't be read any more.
        """
        opened = self.open(table, version)
        if opened is None:
            return self._schemas[table].empty_table()
        return delta.read(opened, columns, where, files, self._always[table])

    def scan(
        self,
        table: TableName,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        *,
        ahead: bool = True,
        files: str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `read`, batch by batch, for a table that may be larger than memory, as of delta's `scan`."""
        opened = self.open(table)
        if opened is None:
            return iter(())
        return delta.scan(opened, columns, where, ahead=ahead, files=files, always=self._always[table])

    def ledger(self) -> list[BatchRecord]:
        """Every batch ever taken, oldest first, each with its newest verdict."""
        opened = self.open("batches")
        if opened is None:
            return []
        version = (str(opened.metadata().id), int(opened.version()))
        known = _ledgers.get(self.url("batches"))
        if known is None or known[0] != version:
            known = _ledgers[self.url("batches")] = (version, self._parse_ledger(opened))
        return list(known[1])

    def _parse_ledger(self, opened: delta.Table) -> tuple[BatchRecord, ...]:
        timestamps = [field.name for field in LEDGER if pa.types.is_timestamp(field.type)]
        plain = pa.schema([(one.name, pa.int64() if one.name in timestamps else one.type) for one in LEDGER])
        rows = delta.records(opened, plain).sort_by("seq").to_pylist()
        newest = {(row["feed"], row["batch"]): row for row in rows}
        records = [{**row, **{name: _timestamp(row[name]) for name in timestamps}} for row in newest.values()]
        place = f"The ledger {self.url('batches')}"
        return tuple(sorted((read_row(BatchRecord, row, place) for row in records), key=lambda one: one.seq))

    def append_ledger(self, records: Sequence[BatchRecord]) -> int:
        """Write batches into the ledger, each once under its rules; how many were new to it."""
        parts = [
            TransactionRows(
                f"{one.batch}:{one.rules}", one.seq, pa.Table.from_pylist([one.model_dump()], schema=LEDGER)
            )
            for one in records
        ]
        return self.append_parts_once("batches", parts)

    def dataset(self, ledger: Sequence[BatchRecord]) -> DatasetRef:
        """The accepted data as of now. Its digest is made of the accepted batches' hashes alone."""
        accepted = [batch for batch in ledger if batch.verdict == "accepted"]
        rows = sum(batch.accepted - batch.superseded for batch in accepted if batch.feed == "observations")
        return DatasetRef(
            pipeline=self.pipeline,
            digest=dataset_digest(ledger),
            observations=self._version("observations"),
            labels=self._version("labels") if "labels" in self._schemas else None,
            through_seq=max((batch.seq for batch in accepted), default=0),
            rows=rows,
            labelled=self._labelled(rows),
        )

    def _labelled(self, rows: int) -> int:
        """Observations whose target is known."""
        if rows == 0:
            return 0
        known = pc.is_valid(pc.field(self._target))
        if "labels" not in self._schemas:
            return rows if self._target_always else self.read("observations", [ROW_ID], where=known).num_rows
        labels = self.read("labels", [ROW_ID], where=known).column(ROW_ID).combine_chunks()
        found = pc.is_in(self.read("observations", [ROW_ID]).column(ROW_ID), value_set=labels)
        return int(pc.sum(found).as_py() or 0)

    def orphans(self, feed: Feed, ledger: Sequence[BatchRecord]) -> list[dict[str, object]]:
        """Batches that came in though the ledger does not know them: batch, seq, rows there, replaced, first, last."""
        opened = self.open(feed)
        known = [batch for batch in ledger if batch.feed == feed and batch.verdict == "accepted"]
        rows = sum(batch.accepted - batch.superseded for batch in known)
        # The records of duplicates, too: a batch whose rows all took the place of others leaves the count as it was.
        if opened is None or (opened.count() == rows and self.duplicates_match_ledger(ledger)):
            return []
        return self._orphans(feed, pa.array([batch.batch for batch in known], pa.string()))

    def _orphans(self, feed: Feed, known: pa.Array) -> list[dict[str, object]]:
        times = [self._event_time] if self._event_time in self._schemas[feed].names else []
        rows = self.read(feed, [BATCH, *times], where=~pc.field(BATCH).isin(known))
        wanted = [(BATCH, "count"), *((name, how) for name in times for how in ("min", "max"))]
        there = {one[BATCH]: one for one in rows.group_by(BATCH).aggregate(wanted).to_pylist()}
        others = (pc.field("feed") == feed) & ~pc.field("by").isin(known)
        records = self.read("duplicates", ["by", "batch", "kind"], where=others)
        replaced = (
            records.filter(pc.equal(records.column("kind"), "superseded")).column("by").value_counts().to_pylist()
        )
        counts = {one["values"]: one["counts"] for one in replaced}
        # Of some, no row is there: others stand for them all, from the first or since.
        names = {*records.column("by").to_pylist(), *records.column("batch").to_pylist()} - set(known.to_pylist())
        return [
            {
                "batch": batch,
                "seq": seq,
                "rows": there.get(batch, {}).get(f"{BATCH}_count", 0),
                "replaced": counts.get(batch, 0),
                "first": there.get(batch, {}).get(f"{self._event_time}_min"),
                "last": there.get(batch, {}).get(f"{self._event_time}_max"),
            }
            for batch, seq in self.transactions(feed, sorted({*there, *names})).items()
        ]

    def duplicates_match_ledger(self, ledger: Sequence[BatchRecord]) -> bool:
        """Whether there are as many records of duplicates as the ledger says."""
        opened = self.open("duplicates")
        expected = sum(batch.duplicates + batch.superseded for batch in ledger if batch.verdict == "accepted")
        return opened is None or opened.count() == expected

    def _version(self, table: TableName) -> int | None:
        opened = self.open(table)
        return None if opened is None else int(opened.version())


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    texts = (pa.string(), pa.large_string(), pa.string_view())
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) or pa.types.is_large_list(found))
    return bool(found == wanted or (found in texts and wanted in texts))


def _timestamp(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def dataset_digest(ledger: Sequence[BatchRecord]) -> str:
    """Identity of the accepted data: digest of the accepted batches' hashes."""
    return digest(sorted(f"{batch.feed}:{batch.batch}" for batch in ledger if batch.verdict == "accepted"))
