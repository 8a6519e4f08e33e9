"""What came of a version: its predictions, their labels, and what watching said. Read without pandas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from perennial.reporting.lineage.records import LabelFile, MonitoringCheck, PredictedFile, PredictionSummary
from tasks.records.data import BatchRecord
from tasks.stores.lake import delta
from tasks.stores.lake.schemas import BATCH, ROW_ID, SEQ, TableName
from tasks.stores.lake.tables import Lake

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def predictions(config: PipelineConfig, lake: Lake, ledger: Sequence[BatchRecord], version: int) -> PredictionSummary:
    """What a version predicted, and how much of it has a label by now."""
    wanted = {BATCH: pa.string(), SEQ: pa.int64(), ROW_ID: pa.int64(), "scored_at": pa.int64()}
    rows = _scan(lake, "predictions", wanted, f"model_version = {version}")
    if rows.num_rows == 0:
        return PredictionSummary()
    paths = {one.batch: one.path for one in ledger}
    labels = _labels(config, lake)
    has = pc.is_in(rows.column(ROW_ID), value_set=labels.column(ROW_ID).combine_chunks())
    each = rows.append_column("labelled", has.cast(pa.int64())).group_by([SEQ, BATCH])
    found = each.aggregate([(ROW_ID, "count"), ("labelled", "sum"), ("scored_at", "min"), ("scored_at", "max")])
    files = tuple(_file(one, paths) for one in found.sort_by(SEQ).to_pylist())
    return PredictionSummary(
        rows=rows.num_rows,
        labelled=sum(one.labelled for one in files),
        first=min(one.first for one in files),
        last=max(one.last for one in files),
        files=files,
        labels=() if config.labels is None else _label_files(labels, rows, paths),
    )


def _file(row: Mapping[str, object], paths: Mapping[str, str]) -> PredictedFile:
    return PredictedFile(
        batch=str(row[BATCH]),
        path=paths.get(str(row[BATCH]), ""),
        rows=int(str(row[f"{ROW_ID}_count"])),
        labelled=int(str(row["labelled_sum"])),
        first=_timestamp(row["scored_at_min"]),
        last=_timestamp(row["scored_at_max"]),
    )


def _labels(config: PipelineConfig, lake: Lake) -> pa.Table:
    """Rows whose target is known, wherever it came from."""
    table: TableName = "observations" if config.labels is None else "labels"
    return _scan(lake, table, {ROW_ID: pa.int64(), BATCH: pa.string()}, f'"{config.contract.target}" IS NOT NULL')


def _label_files(labels: pa.Table, predicted: pa.Table, paths: Mapping[str, str]) -> tuple[LabelFile, ...]:
    matched = labels.filter(pc.is_in(labels.column(ROW_ID), value_set=predicted.column(ROW_ID).combine_chunks()))
    counts = {one["values"]: one["counts"] for one in matched.column(BATCH).value_counts().to_pylist()}
    ordered = [batch for batch in paths if batch in counts]
    return tuple(LabelFile(batch=batch, path=paths[batch], rows=counts[batch]) for batch in ordered)


def monitoring_checks(lake: Lake, version: int) -> tuple[MonitoringCheck, ...]:
    """Every look at a version while it was champion, oldest first."""
    wanted = {"at": pa.int64(), "kind": pa.string(), "record": pa.string()}
    # A scan has no order, and both looks of a run are of one moment.
    found = _scan(lake, "decisions", wanted, "kind = 'drift' OR kind = 'performance'").sort_by(
        [("at", "ascending"), ("kind", "ascending")]
    )
    records = [(row, json.loads(row["record"])) for row in found.to_pylist()]
    return tuple(
        MonitoringCheck(
            kind=row["kind"], at=_timestamp(row["at"]), state=record["state"], reasons=tuple(record["reasons"])
        )
        for row, record in records
        if record["champion"] == version
    )


def _scan(lake: Lake, table: TableName, columns: Mapping[str, pa.DataType], where: str) -> pa.Table:
    """Some columns of the rows that an SQL predicate keeps; a table that is not there has none."""
    schema = pa.schema(list(columns.items()))
    opened = lake.open(table)
    if opened is None:
        return schema.empty_table()
    return delta.records(opened, schema, where)


def _timestamp(micros: object) -> datetime:
    return _EPOCH + timedelta(microseconds=int(str(micros)))
