"""The lake's tables: their names, the columns that are ours, and their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from configs.base import ColumnType
from configs.contract import Column
from configs.schema import PipelineConfig

TableName = Literal[
    "batches",
    "observations",
    "quarantine",
    "resolutions",
    "duplicates",
    "expectations",
    "labels",
    "predictions",
    "served",
    "scored",
    "decisions",
]

ROW_ID, SEQ, BATCH, ROW = "_row_id", "_seq", "_batch", "_row"
# Of `served` and `scored`. Columns of a contract begin with a letter; `configs.check` keeps our other names free.
REQUEST, POSITION, AT, ROLE, ERROR = "_request", "_position", "_at", "_role", "_error"
LATENCY_MS, PREDICT_MS, SOURCE = "_latency_ms", "_predict_ms", "_source"
# Column of a file that quarantine gave back: the entry that a row was.
ORIGIN = "_quarantine"
# Columns of a file that the contract does not have, as text by name, where the contract says to keep them.
EXTRA = pa.field("_extra", pa.map_(pa.string(), pa.string()))
TIMESTAMP = pa.timestamp("us", tz="UTC")
# `served` gets thousands of commits a day, and nothing refers to a version of it: what its log says of the past is
# short. Its transactions outlast any file of the service that waits for it.
SERVED_DAYS = 90
PROPERTIES: dict[TableName, dict[str, str]] = {
    "served": {
        "delta.setTransactionRetentionDuration": f"interval {SERVED_DAYS} days",
        "delta.logRetentionDuration": "interval 2 days",
        "delta.enableExpiredLogCleanup": "true",
        "delta.deletedFileRetentionDuration": "interval 1 days",
    }
}
# Days after which a replaced version need not be read any more, where that is less than a pipeline's `keep_days`.
RETENTION_DAYS: dict[TableName, float] = {"served": 1.0}
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
LEDGER = pa.schema(
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
        ("duplicates", pa.int64()),
        ("superseded", pa.int64()),
        ("former", pa.string()),
        ("notes", pa.list_(pa.string())),
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
        ("line", pa.int64()),
        ("expectation", pa.string()),
        ("reason", pa.string()),
        ("key", pa.string()),
        ("content", pa.string()),
        ("at", TIMESTAMP),
    ]
)
# What became of entries of quarantine: `entry` is their id, `into` the batch that a readmitted one came in with.
RESOLUTIONS = pa.schema(
    [
        ("entry", pa.string()),
        ("batch", pa.string()),
        ("row", pa.int64()),
        ("action", pa.string()),
        ("into", pa.string()),
        ("by", pa.string()),
        ("why", pa.string()),
        ("at", TIMESTAMP),
    ]
)
# Rows that another of the same key stands for. kind: identical, older (it came, and lost), superseded (it was in, and
# lost). `by`: the batch that it was found with. Of identical ones, key and content are those of the kept row.
DUPLICATES = pa.schema(
    [
        ("by", pa.string()),
        ("batch", pa.string()),
        ("row", pa.int64()),
        ("feed", pa.string()),
        ("kind", pa.string()),
        ("kept_batch", pa.string()),
        ("kept_row", pa.int64()),
        ("key", pa.string()),
        ("content", pa.string()),
        ("at", TIMESTAMP),
    ]
)
# What each expectation found in each batch. `arguments`, `observed` and `sample` are JSON.
EXPECTATIONS = pa.schema(
    [
        ("batch", pa.string()),
        ("seq", pa.int64()),
        ("path", pa.string()),
        ("feed", pa.string()),
        ("number", pa.int64()),
        ("expectation", pa.string()),
        ("column", pa.string()),
        ("arguments", pa.string()),
        ("severity", pa.string()),
        ("success", pa.bool_()),
        ("rows", pa.int64()),
        ("checked", pa.int64()),
        ("unexpected", pa.int64()),
        ("observed", pa.string()),
        ("sample", pa.string()),
        ("detail", pa.string()),
        ("at", TIMESTAMP),
    ]
)
DECISIONS = pa.schema(
    [
        ("at", TIMESTAMP),
        ("kind", pa.string()),
        ("outcome", pa.string()),
        ("fingerprint", pa.string()),
        ("record", pa.string()),
    ]
)


def column_schema(columns: Mapping[str, Column]) -> pa.Schema:
    """Arrow schema of contract columns, in their order."""
    return pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()])


def schemas(config: PipelineConfig) -> dict[TableName, pa.Schema]:
    """Arrow schema of each of a pipeline's tables."""
    extra = [EXTRA] if config.contract.policies.unknown_columns == "keep" else []
    observations = pa.schema([*column_schema(config.observation_columns), *extra, *PROVENANCE])
    found: dict[TableName, pa.Schema] = {
        "batches": LEDGER,
        "observations": observations,
        "quarantine": QUARANTINE,
        "resolutions": RESOLUTIONS,
        "duplicates": DUPLICATES,
        "expectations": EXPECTATIONS,
        "predictions": prediction_schema(config),
        "served": served_schema(config),
        "scored": scored_schema(config),
        "decisions": DECISIONS,
    }
    if config.labels is not None:
        found["labels"] = pa.schema([*column_schema(config.label_columns), *PROVENANCE])
    return found


def own_columns(config: PipelineConfig, schema: pa.Schema) -> tuple[pa.Field, ...]:
    """The columns of a table's schema that are no columns of the contract, nor of files."""
    return tuple(field for field in schema if field.name not in config.contract.columns and field.name != EXTRA.name)


# A row of a request and one version's answer. role: champion or canary: it was returned; shadow or control: kept only,
# of the challenger or of the champion for a row that the challenger answered. `_latency_ms` is from the request's
# arrival, `_predict_ms` within the model. `_error`: why there is no prediction; empty where there is one.
_SERVED = (
    pa.field(REQUEST, pa.string()),
    pa.field(POSITION, pa.int64()),
    pa.field(AT, TIMESTAMP),
    pa.field(ROLE, pa.string()),
    pa.field("model_version", pa.int64()),
    pa.field(LATENCY_MS, pa.float64()),
    pa.field(PREDICT_MS, pa.float64()),
    pa.field(ERROR, pa.string()),
)
# Rows of files that were scored into the lake: `_source` is the file's digest, `_row` its number there, from 1.
_SCORED = (
    pa.field(SOURCE, pa.string()),
    pa.field(ROW, pa.int64()),
    pa.field("model_version", pa.int64()),
    pa.field("scored_at", TIMESTAMP),
)


def prediction_type(config: PipelineConfig) -> pa.DataType:
    """Arrow type of a prediction."""
    return (
        pa.float64()
        if config.task == "regression"
        else ARROW_TYPES[config.contract.columns[config.contract.target].type]
    )


def served_schema(config: PipelineConfig) -> pa.Schema:
    """Arrow schema of what the service answered: the rows asked, without what is left out, and the answers.

    Class probabilities merge in as classes are known.
    """
    log = config.serving.log
    used = {*config.contract.key, *(config.feature_columns if log.inputs else ())} - {*log.leave_out}
    columns = {name: column for name, column in config.contract.columns.items() if name in used}
    return pa.schema([*_SERVED, pa.field("prediction", prediction_type(config)), *column_schema(columns)])


def scored_schema(config: PipelineConfig) -> pa.Schema:
    """Arrow schema of files scored into the lake, without the class probabilities."""
    keys = {name: config.contract.columns[name] for name in config.contract.key}
    return pa.schema([*_SCORED, pa.field("prediction", prediction_type(config)), *column_schema(keys)])


def prediction_schema(config: PipelineConfig) -> pa.Schema:
    """Arrow schema of stored predictions, without the class probabilities, which merge in as classes are known."""
    keys = {name: config.contract.columns[name] for name in config.contract.key}
    provenance = [("prediction", prediction_type(config)), ("model_version", pa.int64()), ("scored_at", TIMESTAMP)]
    return pa.schema([*column_schema(keys), *PROVENANCE, *[pa.field(name, kind) for name, kind in provenance]])


def decision_row(at: object, kind: str, outcome: str, fingerprint: str, record: str) -> pa.Table:
    """One row for `decisions`."""
    row = {"at": at, "kind": kind, "outcome": outcome, "fingerprint": fingerprint, "record": record}
    return pa.Table.from_pylist([row], schema=DECISIONS)
