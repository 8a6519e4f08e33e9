"""The lake: one set of Delta tables a pipeline. The only module that talks to deltalake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from configs.base import ColumnType
from configs.contract import Column
from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.refs import BatchRecord, DatasetRef, Feed, digest
from tasks.stores.settings import Settings

TableName = Literal["batches", "observations", "quarantine", "labels", "predictions", "decisions"]

ROW_ID, SEQ, BATCH, ROW = "_row_id", "_seq", "_batch", "_row"
TIMESTAMP = pa.timestamp("us", tz="UTC")
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
}
PROVENANCE = (
    pa.field(ROW_ID, pa.int64()),
    pa.field(SEQ, pa.int64()),
    pa.field(BATCH, pa.string()),
    pa.field(ROW, pa.int64()),
)
# Without these, ordinary appends make versions that models refer to unreadable after thirty days.
_CONFIGURATION = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
}
_LEDGER = pa.schema(
    [
        ("seq", pa.int64()),
        ("batch", pa.string()),
        ("feed", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("verdict", pa.string()),
        ("rules", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("rows", pa.int64()),
        ("accepted", pa.int64()),
        ("quarantined", pa.int64()),
        ("event_time_min", TIMESTAMP),
        ("event_time_max", TIMESTAMP),
        ("ingested_at", TIMESTAMP),
    ]
)
QUARANTINE = pa.schema(
    [
        ("batch", pa.string()),
        ("path", pa.string()),
        ("feed", pa.string()),
        ("kind", pa.string()),
        ("row", pa.int64()),
        ("expectation", pa.string()),
        ("reason", pa.string()),
        ("key", pa.string()),
        ("content", pa.string()),
        ("at", TIMESTAMP),
    ]
)
_DECISIONS = pa.schema(
    [
        ("at", TIMESTAMP),
        ("kind", pa.string()),
        ("outcome", pa.string()),
        ("fingerprint", pa.string()),
        ("record", pa.string()),
    ]
)
_MAX_TRIES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LakeConflictError(RuntimeError):
    """Other writers won every one of several tries at one commit."""


def column_schema(columns: Mapping[str, Column]) -> pa.Schema:
    """Arrow schema of contract columns, in their order."""
    return pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()])


class Part(NamedTuple):
    """Rows and the application transaction that they are written under."""

    app_id: str
    version: int
    rows: pa.Table


class Lake:
    """The Delta tables of one pipeline.

    Args:
        settings: Says where the lake is.
        config: Says what columns the tables have.
    """

    def __init__(self, settings: Settings, config: PipelineConfig) -> None:
        self.pipeline = config.name
        self._root = f"{settings.lake.rstrip('/')}/{config.name}"
        self._schemas = _schemas(config)
        self._target = config.contract.target
        self._target_always = not config.contract.columns[config.contract.target].nullable
        self._event_time = config.contract.event_time or ""

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
                DeltaTable.create(self.url(name), schema, mode="ignore", configuration=dict(_CONFIGURATION))
            else:
                self._refuse_other_types(name, schema, opened)

    def _refuse_other_types(self, name: TableName, schema: pa.Schema, opened: DeltaTable) -> None:
        """Delta would cast new values to the old type, and lose what does not fit."""
        present = {field.name: field.type for field in pa.schema(opened.schema().to_arrow())}
        for field in schema:
            found = present.get(field.name, field.type)
            if not _same_type(found, field.type):
                raise UsageError(
                    f"contract.columns.{field.name}: found type {field.type}, but it is {found} in {self.url(name)}. "
                    "Keep the type, or give the column a new name."
                )

    def open(self, table: TableName, version: int | None = None) -> DeltaTable | None:
        """A table at a version (newest by default); None where it was never made."""
        try:
            return DeltaTable(self.url(table), version=version)
        except TableNotFoundError:
            return None

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
        return self.append_parts_once(table, [Part(app_id, version, rows)]) == 1

    def append_parts_once(self, table: TableName, parts: Sequence[Part]) -> int:
        """Append several parts in one commit, each under its own application transaction, each once.

        The transactions are looked up in, and written with, the same open table: a writer that raced with this one
        makes the commit fail, and the look-up is done again.

        Returns:
            How many parts this call wrote; the others were committed before.

        Raises:
            LakeConflictError: others won every try.
        """
        distinct = {part.app_id: part for part in parts}.values()
        for _ in range(_MAX_TRIES):
            opened = self._open_or_create(table)
            due = [part for part in distinct if opened.transaction_version(part.app_id) is None]
            if not due:
                return 0
            try:
                write_deltalake(
                    opened,
                    pa.concat_tables([part.rows for part in due]),
                    mode="append",
                    schema_mode="merge",
                    commit_properties=CommitProperties(
                        app_transactions=[Transaction(part.app_id, part.version) for part in due]
                    ),
                )
            except CommitFailedError:
                continue
            return len(due)
        raise LakeConflictError(f"{self.url(table)}: {_MAX_TRIES} commits lost against other writers")

    def append(self, table: TableName, rows: pa.Table) -> None:
        """Append rows whose repetition does no harm."""
        write_deltalake(self._open_or_create(table), rows, mode="append", schema_mode="merge")

    def read(
        self,
        table: TableName,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows of a table: the named columns, the rows that the filter keeps. Columns it lacks are left out."""
        opened = self.open(table, version)
        if opened is None:
            return self._schemas[table].empty_table()
        dataset = opened.to_pyarrow_dataset()
        present = None if columns is None else [name for name in columns if name in dataset.schema.names]
        return dataset.to_table(columns=present, filter=where)

    def ledger(self) -> list[BatchRecord]:
        """Every batch ever taken, oldest first, each with its newest verdict.

        Read without pandas, which Arrow's datasets and times import.
        """
        opened = self.open("batches")
        if opened is None:
            return []
        found = pa.RecordBatchReader.from_stream(opened.scan()).read_all().select(_LEDGER.names)
        moments = [field.name for field in _LEDGER if pa.types.is_timestamp(field.type)]
        plain = pa.schema([(one.name, pa.int64() if one.name in moments else one.type) for one in _LEDGER])
        rows = found.cast(plain).sort_by("seq").to_pylist()
        newest = {(row["feed"], row["batch"]): row for row in rows}
        records = [{**row, **{name: _moment(row[name]) for name in moments}} for row in newest.values()]
        return sorted((BatchRecord.model_validate(row) for row in records), key=lambda one: one.seq)

    def enter(self, records: Sequence[BatchRecord]) -> int:
        """Write batches into the ledger, each once under its rules; how many were new to it."""
        parts = [
            Part(f"{one.batch}:{one.rules}", one.seq, pa.Table.from_pylist([one.model_dump()], schema=_LEDGER))
            for one in records
        ]
        return self.append_parts_once("batches", parts)

    def dataset(self, ledger: Sequence[BatchRecord]) -> DatasetRef:
        """The accepted data as of now. Its digest is made of the accepted batches' hashes alone."""
        accepted = [batch for batch in ledger if batch.verdict == "accepted"]
        rows = sum(batch.accepted for batch in accepted if batch.feed == "observations")
        return DatasetRef(
            pipeline=self.pipeline,
            digest=digest(sorted(f"{batch.feed}:{batch.batch}" for batch in accepted)),
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
        """Batches whose rows are in a table though the ledger does not know them: batch, seq, rows, first, last."""
        opened = self.open(feed)
        known = [batch for batch in ledger if batch.feed == feed and batch.verdict == "accepted"]
        if opened is None or opened.count() == sum(batch.accepted for batch in known):
            return []
        times = [self._event_time] if self._event_time in self._schemas[feed].names else []
        where = ~pc.field(BATCH).isin(pa.array([batch.batch for batch in known], pa.string()))
        rows = self.read(feed, [BATCH, SEQ, *times], where=where)
        wanted = [(SEQ, "max"), (SEQ, "count"), *((name, how) for name in times for how in ("min", "max"))]
        return [
            {
                "batch": one[BATCH],
                "seq": one[f"{SEQ}_max"],
                "rows": one[f"{SEQ}_count"],
                "first": one.get(f"{self._event_time}_min"),
                "last": one.get(f"{self._event_time}_max"),
            }
            for one in rows.group_by(BATCH).aggregate(wanted).to_pylist()
        ]

    def _version(self, table: TableName) -> int | None:
        opened = self.open(table)
        return None if opened is None else int(opened.version())

    def _open_or_create(self, table: TableName) -> DeltaTable:
        opened = self.open(table)
        if opened is not None:
            return opened
        return DeltaTable.create(
            self.url(table), self._schemas[table], mode="ignore", configuration=dict(_CONFIGURATION)
        )


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    texts = (pa.string(), pa.large_string(), pa.string_view())
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) or pa.types.is_large_list(found))
    return bool(found == wanted or (found in texts and wanted in texts))


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def _schemas(config: PipelineConfig) -> dict[TableName, pa.Schema]:
    observations = pa.schema([*column_schema(config.observation_columns), *PROVENANCE])
    schemas: dict[TableName, pa.Schema] = {
        "batches": _LEDGER,
        "observations": observations,
        "quarantine": QUARANTINE,
        "predictions": prediction_schema(config),
        "decisions": _DECISIONS,
    }
    if config.labels is not None:
        schemas["labels"] = pa.schema([*column_schema(config.label_columns), *PROVENANCE])
    return schemas


def prediction_schema(config: PipelineConfig) -> pa.Schema:
    """Arrow schema of stored predictions, without the class probabilities, which merge in as classes are known."""
    target = config.contract.columns[config.contract.target]
    predicted = pa.float64() if config.task == "regression" else ARROW_TYPES[target.type]
    keys = {name: config.contract.columns[name] for name in config.contract.key}
    provenance = [("prediction", predicted), ("model_version", pa.int64()), ("scored_at", TIMESTAMP)]
    return pa.schema([*column_schema(keys), *PROVENANCE, *[pa.field(name, kind) for name, kind in provenance]])


def decision_row(at: object, kind: str, outcome: str, fingerprint: str, record: str) -> pa.Table:
    """One row for `decisions`."""
    row = {"at": at, "kind": kind, "outcome": outcome, "fingerprint": fingerprint, "record": record}
    return pa.Table.from_pylist([row], schema=_DECISIONS)
