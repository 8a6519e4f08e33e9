"""The lake's tables as an older or a newer version of Perennial left them: read, appended to, replaced, merged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from configs import load
from configs.schema import PipelineConfig
from tasks.records.base import NewerRecordError
from tasks.records.data import BatchRecord
from tasks.stores.lake import delta, maintenance
from tasks.stores.lake.delta import TransactionRows
from tasks.stores.lake.schemas import DUPLICATES, LEDGER, TableName, own_columns
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings

AT = datetime(2026, 1, 5, tzinfo=UTC)
LATER = pa.field("of_a_newer_version", pa.string())
OWN: tuple[TableName, ...] = (
    "batches",
    "quarantine",
    "resolutions",
    "duplicates",
    "expectations",
    "decisions",
    "predictions",
    "served",
    "scored",
)
YAML = """\
name: demand
description: x
task: regression
source: {landing: demand}
contract:
  key: [id]
  target: y
  columns: {id: {type: string}, x: {type: number}, y: {type: number}}
features: {numeric: [x]}
split: {kind: random}
training: {estimator: sklearn.linear_model.Ridge}
evaluation: {primary: mae}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    path = tmp_path_factory.mktemp("configs") / "demand.yaml"
    path.write_text(YAML, encoding="utf-8")
    return load.read(path)


@pytest.fixture
def lake(tmp_path: Path, config: PipelineConfig) -> Lake:
    return Lake(Settings(home=tmp_path, lake_url=str(tmp_path / "lake")), config)


def row(schema: pa.Schema, text: str) -> pa.Table:
    """One row with a value in each column."""
    values: dict[pa.DataType, Any] = {pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): True, pa.string(): text}
    cells = {one.name: [text] if pa.types.is_list(one.type) else values.get(one.type, AT) for one in schema}
    return pa.Table.from_pylist([cells], schema=schema)


def put(lake: Lake, table: TableName, schema: pa.Schema, text: str) -> None:
    delta.append_once(lake.url(table), schema, [TransactionRows(text, 1, row(schema, text))])


@pytest.mark.parametrize("table", OWN)
def test_columns_that_an_older_table_lacks_are_empty(lake: Lake, config: PipelineConfig, table: TableName) -> None:
    whole = lake.schema(table)
    own = own_columns(config, whole)
    assert own
    lacking = own[-1]
    put(lake, table, pa.schema([one for one in whole if one != lacking]), "old")
    assert lake.read(table).column(lacking.name).to_pylist() == [None]
    assert lake.read(table, [lacking.name]).to_pylist() == [{lacking.name: None}]
    assert lake.read(table, where=pc.field(lacking.name).is_valid()).num_rows == 0
    assert [one.num_rows for one in lake.scan(table, [lacking.name], pc.field(lacking.name).is_null())] == [1]
    opened = lake.open(table)
    assert opened is not None
    assert delta.records(opened, pa.schema([lacking])).to_pylist() == [{lacking.name: None}]
    put(lake, table, whole, "new")
    assert sorted(lake.read(table).column(lacking.name).is_valid().to_pylist()) == [False, True]


@pytest.mark.parametrize("table", OWN)
def test_columns_of_a_newer_table_stay_and_are_empty_in_our_rows(lake: Lake, table: TableName) -> None:
    whole = lake.schema(table)
    put(lake, table, pa.schema([*whole, LATER]), "new")
    put(lake, table, whole, "old")
    assert lake.read(table, whole.names).schema.names == whole.names
    opened = lake.open(table)
    assert opened is not None
    assert maintenance.compact(opened) == 2
    assert sorted(map(str, lake.read(table, [LATER.name]).column(0).to_pylist())) == ["None", "new"]


def record(seq: int, **changes: Any) -> BatchRecord:
    base: dict[str, Any] = {"seq": seq, "batch": f"b{seq}", "feed": "observations", "path": f"{seq}.csv", "size": 1}
    base |= {"mtime_ns": 1, "verdict": "accepted", "rules": "r", "reasons": ("why",), "rows": 3, "accepted": 3}
    base |= {"quarantined": 0, "event_time_min": AT, "event_time_max": None, "ingested_at": AT}
    return BatchRecord.model_validate({**base, **changes})


def ledger_of(lake: Lake, schema: pa.Schema, *records: BatchRecord, **more: str) -> None:
    for one in records:
        rows = pa.Table.from_pylist([{**one.model_dump(), **more}], schema=schema)
        delta.append_once(lake.url("batches"), schema, [TransactionRows(one.batch, one.seq, rows)])


def test_the_ledger_of_an_older_version_is_read_and_gone_on_with(lake: Lake) -> None:
    older = pa.schema([one for one in LEDGER if one.name not in ("duplicates", "superseded", "former", "notes")])
    ledger_of(lake, older, record(1))
    assert lake.ledger() == [record(1)]
    lake.create()
    lake.append_ledger([record(2, notes=("read as utf-16",), superseded=2, former="b0")])
    assert lake.ledger() == [record(1), record(2, notes=("read as utf-16",), superseded=2, former="b0")]


def test_the_ledger_of_a_newer_version_is_read_and_gone_on_with(lake: Lake) -> None:
    ledger_of(lake, pa.schema([*LEDGER, LATER]), record(1), of_a_newer_version="x")
    lake.create()
    lake.append_ledger([record(2)])
    assert lake.ledger() == [record(1), record(2)]


def test_a_verdict_of_a_newer_version_is_told_as_such(lake: Lake) -> None:
    rows = pa.Table.from_pylist([{**record(1).model_dump(), "verdict": "postponed"}], schema=LEDGER)
    lake.append("batches", rows)
    with pytest.raises(
        NewerRecordError, match=r"The ledger .*/batches has a row .*'postponed'. A newer version wrote it"
    ):
        lake.ledger()


@pytest.mark.parametrize("change", ["older", "newer"])
def test_rows_of_another_version_are_replaced(lake: Lake, change: str) -> None:
    other = pa.schema([*DUPLICATES, LATER]) if change == "newer" else pa.schema(list(DUPLICATES)[:-1])
    for text in ("a", "b"):
        put(lake, "duplicates", other, text)
    lake.replace("duplicates", row(DUPLICATES, "a"), "by IN ('a')")
    found = {one["by"]: one for one in lake.read("duplicates").to_pylist()}
    assert found["a"]["at"] == AT
    assert found["b"]["at"] == (AT if change == "newer" else None)
    assert found["b"].get(LATER.name) == ("b" if change == "newer" else None)
