"""What the lake and the disk tell of the tables and files that a stage read and wrote. Reads logs, never rows."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.records.data import ExpectationResult
from tasks.records.stages import StageName
from tasks.stores.lake.schemas import TableName
from tasks.stores.lake.tables import Lake
from tasks.stores.lineage.stage_data import DataStatistics, StageData, TableState
from tasks.stores.settings import Settings

_FEEDS: tuple[TableName, ...] = ("observations", "labels")
_TABLES: dict[StageName, tuple[TableName, ...]] = {
    "ingestion": (*_FEEDS, "quarantine"),
    "features": _FEEDS,
    "training": (),
    "evaluation": ("decisions",),
    "release": ("decisions",),
}


def collect_statistics(settings: Settings, config: PipelineConfig, stage: StageName, data: StageData) -> DataStatistics:
    """What there is to see of a stage's data, at the versions that it worked with."""
    lake = Lake(settings, config)
    tables = {
        name: state
        for name in _TABLES[stage]
        if name in lake.tables and (state := table_state(lake, name, _version(data, name, stage))) is not None
    }
    return DataStatistics(tables=tables, sizes=_sizes(data), expectations=_expectations(lake, data))


def _version(data: StageData, table: TableName, stage: StageName) -> int | None:
    if stage != "features" or data.dataset is None:
        return None
    return data.dataset.observations if table == "observations" else data.dataset.labels


def table_state(lake: Lake, table: TableName, version: int | None = None) -> TableState | None:
    """A table as its log tells; None where it was never made."""
    opened = lake.open(table, version)
    if opened is None:
        return None
    files = pa.table(opened.get_add_actions()).to_pylist()
    counts = [one["num_records"] for one in files]
    return TableState(
        version=opened.version(),
        rows=None if None in counts else sum(counts),
        files={one["path"]: one["size_bytes"] for one in files},
        nulls=_nulls([one.get("null_count") or {} for one in files]),
    )


def _nulls(counts: list[dict[str, Any]]) -> dict[str, int]:
    """Missing values of the columns that every file tells of."""
    counted = [{name: count for name, count in one.items() if isinstance(count, int)} for one in counts]
    everywhere = set.intersection(*map(set, counted)) if counted else set()
    return {name: sum(one[name] for one in counted) for name in sorted(everywhere)}


def _sizes(data: StageData) -> dict[str, int]:
    if data.training_set is None:
        return {}
    files = {side: Path(data.training_set.folder) / f"{side}.arrow" for side in ("train", "holdout")}
    return {side: path.stat().st_size for side, path in files.items() if path.is_file()}


def _expectations(lake: Lake, data: StageData) -> dict[str, tuple[ExpectationResult, ...]]:
    """What the expectations found in each batch, when it was validated last."""
    if not data.batches:
        return {}
    rows = lake.read("expectations", where=pc.field("batch").isin([one.batch for one in data.batches])).to_pylist()
    newest: dict[str, Any] = {}
    for row in rows:
        newest[row["batch"]] = max(row["at"], newest.get(row["batch"], row["at"]))
    found: dict[str, list[ExpectationResult]] = defaultdict(list)
    for row in sorted(rows, key=lambda one: one["number"]):
        if row["at"] == newest[row["batch"]]:
            found[row["batch"]].append(_result(row))
    return {batch: tuple(results) for batch, results in found.items()}


def _result(row: dict[str, Any]) -> ExpectationResult:
    return ExpectationResult(
        expectation=row["expectation"],
        column=row["column"] or "",
        arguments=json.loads(row["arguments"] or "{}"),
        severity=row["severity"],
        success=row["success"],
        checked=row["checked"] or 0,
        unexpected=row["unexpected"],
        observed=json.loads(row["observed"] or "null"),
        detail=row["detail"] or "",
    )
