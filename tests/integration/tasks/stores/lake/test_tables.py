"""The lake: rows are written once whoever races, versions stay readable, data is known by its content."""

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from configs import load
from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.records.data import BatchRecord
from tasks.stores.lake.delta import TransactionRows
from tasks.stores.lake.schemas import BATCH, DUPLICATES, ROW, ROW_ID, SEQ, TIMESTAMP, TableName, decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tests.support.world import ROOT

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TABLES: tuple[TableName, ...] = ("batches", "observations", "quarantine", "labels", "predictions", "decisions")

# All wait for one starting shot, then try to write the same ten batches.
RACER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
import pyarrow as pa
from configs import load
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
home = Path(sys.argv[1])
lake = Lake(Settings(home=home, lake_url=str(home / "lake")), load.read(Path(sys.argv[2])))
(home / f"ready-{sys.argv[3]}").touch()
while not (home / "go").exists():
    time.sleep(0.002)
wrote = 0
for number in range(1, 11):
    rows = pa.table({"id": [f"b{number}-{row}" for row in range(5)], "_seq": [number] * 5})
    wrote += lake.append_once("observations", rows, f"batch-{number}", number)
print(wrote)
"""

YAML = """\
name: demand
description: x
task: classification
source: {landing: demand}
labels: {landing: labels}
contract:
  key: [id]
  event_time: at
  target: y
  columns:
    id: {type: string}
    at: {type: timestamp}
    x: {type: number, nullable: true}
    n: {type: integer}
    y: {type: string}
features: {numeric: [x]}
split: {kind: random}
training: {estimator: sklearn.linear_model.LogisticRegression}
evaluation: {primary: log_loss}
"""


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "demand.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture(scope="module")
def config(config_path: Path) -> PipelineConfig:
    return load.read(config_path)


def lake_in(folder: Path, config: PipelineConfig) -> Lake:
    return Lake(Settings(home=folder, lake_url=str(folder / "lake")), config)


@pytest.fixture
def lake(tmp_path: Path, config: PipelineConfig) -> Lake:
    return lake_in(tmp_path, config)


def observations(batch: str, seq: int, values: list[float | None]) -> pa.Table:
    n = len(values)
    return pa.table(
        {
            "id": [f"{batch}-{row}" for row in range(n)],
            "at": pa.array([NOW] * n, TIMESTAMP),
            "x": pa.array(values, pa.float64()),
            "n": pa.array(range(n), pa.int64()),
            ROW_ID: pa.array(range(seq * 100, seq * 100 + n), pa.int64()),
            SEQ: pa.array([seq] * n, pa.int64()),
            BATCH: [batch] * n,
            ROW: pa.array(range(1, n + 1), pa.int64()),
        }
    )


def record(seq: int, batch: str, **changes: Any) -> BatchRecord:
    base = {
        "seq": seq,
        "batch": batch,
        "feed": "observations",
        "path": f"{batch}.csv",
        "size": 10,
        "mtime_ns": 1_700_000_000_000_000_001,
        "verdict": "accepted",
        "rules": "r",
        "reasons": (),
        "rows": 10,
        "accepted": 8,
        "quarantined": 2,
        "event_time_min": NOW,
        "event_time_max": None,
        "ingested_at": NOW,
    }
    return BatchRecord.model_validate({**base, **changes})


def test_every_table_keeps_its_history(lake: Lake) -> None:
    lake.create()
    for name in TABLES:
        opened = lake.open(name)
        assert opened is not None, name
        settings = opened.metadata().configuration
        assert settings["delta.logRetentionDuration"] == "interval 3650 days", name
        assert settings["delta.enableExpiredLogCleanup"] == "false", name


@pytest.mark.parametrize("name", TABLES)
def test_a_table_first_made_by_an_append_keeps_its_history_too(lake: Lake, name: TableName) -> None:
    lake.append(name, pa.table({"path": ["x"]}) if name == "quarantine" else lake.read(name))
    opened = lake.open(name)
    assert opened is not None
    assert opened.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"


def test_making_tables_again_changes_nothing(lake: Lake) -> None:
    lake.create()
    lake.append_once("observations", observations("a", 1, [1.0]), "a", 1)
    lake.create()
    assert lake.read("observations").num_rows == 1


def test_labels_have_a_table_only_where_they_land_apart(tmp_path: Path, config: PipelineConfig) -> None:
    together = lake_in(tmp_path, config.model_copy(update={"labels": None}))
    together.create()
    assert together.open("labels") is None
    assert "y" in together.read("observations").column_names
    assert "y" not in lake_in(tmp_path / "other", config).read("observations").column_names


def test_a_table_that_was_never_made_is_empty(lake: Lake) -> None:
    assert lake.open("observations") is None
    assert lake.transactions("observations", ["a"]) == {}
    empty = lake.read("observations")
    assert empty.num_rows == 0
    assert {"id", "x", SEQ, ROW_ID} <= set(empty.column_names)
    assert lake.ledger() == []


def test_an_append_happens_once(lake: Lake) -> None:
    lake.create()
    rows = observations("a", 3, [1.0, None])
    assert lake.transactions("observations", ["a", "b"]) == {}
    assert lake.append_once("observations", rows, "a", 3) is True
    assert lake.append_once("observations", rows, "a", 3) is False
    assert lake.append_once("observations", rows, "a", 4) is False
    assert lake.transactions("observations", ["a", "b"]) == {"a": 3}
    assert lake.append_once("observations", rows, "b", 3) is True
    assert lake.read("observations").num_rows == 4


def test_what_is_written_is_read(lake: Lake) -> None:
    rows = observations("a", 1, [1.5, None, -0.25])
    lake.append_once("observations", rows, "a", 1)
    assert lake.read("observations", rows.column_names).sort_by(ROW).equals(rows)


def test_of_several_parts_those_that_are_new_are_written_in_one_commit(lake: Lake) -> None:
    lake.create()
    lake.append_once("observations", observations("b", 2, [5.0]), "b", 2)
    before = lake.dataset([]).observations
    parts = [TransactionRows(name, seq, observations(name, seq, [1.0, 2.0])) for seq, name in enumerate("abc", start=1)]
    assert lake.append_parts_once("observations", parts) == 2
    assert lake.append_parts_once("observations", parts) == 0
    assert lake.transactions("observations", ["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 3}
    written = lake.read("observations", [BATCH, "x"]).to_pylist()
    assert sorted((row[BATCH], row["x"]) for row in written) == [("a", 1), ("a", 2), ("b", 5), ("c", 1), ("c", 2)]
    after = lake.dataset([]).observations
    assert before is not None
    assert after == before + 1


def test_the_same_part_twice_in_one_call_is_written_once(lake: Lake) -> None:
    part = TransactionRows("a", 1, observations("a", 1, [1.0]))
    lake.append_parts_once("observations", [part, part])
    assert lake.read("observations").num_rows == 1


def test_a_transaction_is_of_one_table(lake: Lake) -> None:
    lake.append_once("observations", observations("a", 1, [1.0]), "a", 1)
    assert lake.transactions("quarantine", ["a"]) == {}
    assert lake.append_once("quarantine", pa.table({"batch": ["a"]}), "a", 1) is True


def test_two_open_lakes_write_once(tmp_path: Path, config: PipelineConfig) -> None:
    first, second = lake_in(tmp_path, config), lake_in(tmp_path, config)
    first.create()
    rows = observations("a", 1, [1.0])
    assert [one.append_once("observations", rows, "a", 1) for one in (first, second, first)] == [True, False, False]


@pytest.mark.parametrize("made", [True, False], ids=["into a table", "into no table yet"])
def test_racing_processes_write_each_batch_once(
    made: bool, tmp_path: Path, config: PipelineConfig, config_path: Path
) -> None:
    lake = lake_in(tmp_path, config)
    if made:
        lake.create()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(config_path), str(number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    while not all((tmp_path / f"ready-{one}").exists() or racers[one].poll() is not None for one in range(3)):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    told = [one.communicate(timeout=120) for one in racers]
    assert [one.returncode for one in racers] == [0, 0, 0], [error[-600:] for _, error in told]
    assert sum(int(out) for out, _ in told) == 10
    ids = lake.read("observations", ["id"]).column("id").to_pylist()
    assert sorted(ids) == sorted(f"b{number}-{row}" for number in range(1, 11) for row in range(5))


def test_an_older_version_reads_as_it_was(lake: Lake) -> None:
    lake.create()
    lake.append_once("observations", observations("a", 1, [1.0, 2.0]), "a", 1)
    before = lake.dataset([record(1, "a")]).observations
    lake.append_once("observations", observations("b", 2, [3.0]), "b", 2)
    assert sorted(lake.read("observations", ["x"], version=before).column("x").to_pylist()) == [1.0, 2.0]
    assert sorted(lake.read("observations", ["x"]).column("x").to_pylist()) == [1.0, 2.0, 3.0]


def test_an_older_version_is_readable_after_many_checkpoints(lake: Lake) -> None:
    lake.create()
    for number in range(1, 13):
        lake.append_once("decisions", decision_row(NOW, "drift", "ok", "", str(number)), str(number), number)
    DeltaTable(lake.url("decisions")).create_checkpoint()
    DeltaTable(lake.url("decisions")).cleanup_metadata()
    assert lake.read("decisions", version=1).num_rows == 1
    assert lake.read("decisions", version=5).num_rows == 5


def test_columns_and_rows_can_be_chosen(lake: Lake) -> None:
    lake.append_once("observations", observations("a", 1, [1.0, 2.0, None]), "a", 1)
    lake.append_once("observations", observations("b", 2, [9.0]), "b", 2)
    found = lake.read("observations", ["x", "no_such"], where=pc.field(SEQ) == 1)
    assert found.column_names == ["x"]
    assert found.column("x").to_pylist() == [1.0, 2.0, None]


def test_a_new_column_merges_in(lake: Lake) -> None:
    lake.append_once("observations", observations("a", 1, [1.0]), "a", 1)
    wider = observations("b", 2, [2.0]).append_column("extra", pa.array([7.0]))
    lake.append_once("observations", wider, "b", 2)
    rows = lake.read("observations", [SEQ, "extra"]).sort_by(SEQ).to_pylist()
    assert rows == [{SEQ: 1, "extra": None}, {SEQ: 2, "extra": 7.0}]


def test_the_ledger_gives_back_what_it_took(lake: Lake) -> None:
    second = record(2, "b", verdict="rejected", reasons=("no", "ü; not"), accepted=0)
    first = record(1, "a")
    assert lake.append_ledger([second]) == 1
    assert lake.append_ledger([second, first]) == 1
    assert lake.append_ledger([first, second]) == 0
    assert lake.append_ledger([]) == 0
    assert lake.ledger() == [first, second]


def test_a_dataset_counts_what_was_accepted(lake: Lake) -> None:
    ledger = [
        record(1, "a"),
        record(2, "b", feed="labels", accepted=5),
        record(3, "c", verdict="rejected", accepted=0),
        record(4, "d", accepted=1),
    ]
    apart = lake.dataset(ledger)
    assert (apart.rows, apart.labelled, apart.through_seq) == (9, 0, 4)
    assert (apart.observations, apart.labels) == (None, None)
    assert lake.dataset(ledger[:3]).through_seq == 2
    assert lake.dataset([]).through_seq == 0


def test_only_labels_that_meet_an_observation_count(lake: Lake) -> None:
    lake.append_once("observations", observations("a", 1, [1.0, 2.0, 3.0]), "a", 1)
    known = lake.read("observations", [ROW_ID]).column(ROW_ID).to_pylist()
    ids = [known[0], known[2], 424242]
    rows = pa.table({"id": ["x", "y", "z"], "y": ["yes", None, "no"], ROW_ID: ids, SEQ: [2] * 3})
    lake.append_once("labels", rows, "l", 2)
    ledger = [record(1, "a", accepted=3), record(2, "l", feed="labels", accepted=3)]
    assert lake.dataset(ledger).labelled == 1


def test_a_table_of_another_type_is_refused(tmp_path: Path, config: PipelineConfig) -> None:
    lake_in(tmp_path, config).create()
    columns = {**config.contract.columns, "n": config.contract.columns["n"].model_copy(update={"type": "number"})}
    contract = config.contract.model_copy(update={"columns": columns})
    changed = config.model_copy(update={"contract": contract})
    with pytest.raises(UsageError, match=r"contract.columns.n: found type double, but it is int64"):
        lake_in(tmp_path, changed).create()
    lake_in(tmp_path, config).create()


def test_rows_the_ledger_does_not_know_are_told(lake: Lake) -> None:
    lake.append_once("observations", observations("a", 1, [1.0, 2.0]), "a", 1)
    lake.append_ledger([record(1, "a", accepted=2)])
    assert lake.orphans("observations", lake.ledger()) == []
    lake.append_once("observations", observations("b", 2, [3.0]), "b", 2)
    assert lake.orphans("observations", lake.ledger()) == [
        {"batch": "b", "seq": 2, "rows": 1, "first": NOW, "last": NOW, "replaced": 0}
    ]


def test_a_batch_judged_anew_shows_its_newest_verdict(lake: Lake) -> None:
    refused, taken = record(1, "a", verdict="rejected", rules="old"), record(2, "a", rules="new")
    assert lake.append_ledger([refused]) == 1
    assert lake.append_ledger([taken]) == 1
    assert lake.ledger() == [taken]


LEDGER = [record(seq, f"b{seq}", feed="labels" if seq % 3 == 0 else "observations") for seq in range(1, 9)]


@given(st.integers(0, 2**32))
def test_a_dataset_is_known_by_its_content_whatever_the_order(seed: int) -> None:
    lake = Lake(Settings(lake_url="no-such-folder"), load.load("transit_delay"))
    expected = lake.dataset(LEDGER).digest
    shuffled = Random(seed).sample(LEDGER, len(LEDGER))  # noqa: S311  # an order, no secret
    renumbered = [one.model_copy(update={"seq": place, "path": "x"}) for place, one in enumerate(shuffled, start=1)]
    assert lake.dataset(renumbered).digest == expected


def test_another_batch_is_another_dataset(lake: Lake) -> None:
    digests = {
        lake.dataset(ledger).digest
        for ledger in (
            [],
            LEDGER,
            LEDGER[:-1],
            [*LEDGER[:-1], record(8, "other")],
            [*LEDGER[:-1], LEDGER[-1].model_copy(update={"feed": "labels"})],
        )
    }
    assert len(digests) == 5


def test_a_refused_batch_is_no_part_of_the_dataset(lake: Lake) -> None:
    refused = record(9, "x", verdict="rejected")
    with_it = lake.dataset([*LEDGER, refused])
    assert with_it == lake.dataset(LEDGER)
    assert with_it.through_seq == 8


def test_compaction_leaves_the_dataset_what_it_is(lake: Lake) -> None:
    for number, batch in enumerate(("a", "b", "c"), start=1):
        lake.append_once("observations", observations(batch, number, [1.0, 2.0]), batch, number)
        lake.append_ledger([record(number, batch)])
    before = lake.dataset(lake.ledger())
    DeltaTable(lake.url("observations")).optimize.compact()
    after = lake.dataset(lake.ledger())
    assert after.digest == before.digest
    assert after.observations != before.observations
    assert lake.append_once("observations", observations("a", 1, [1.0]), "a", 1) is False


def rows(batch: str, ids: list[int]) -> pa.Table:
    table = observations(batch, 1, [0.0] * len(ids))
    return table.set_column(table.schema.get_field_index(ROW_ID), ROW_ID, pa.array(ids, pa.int64()))


def test_a_merge_takes_the_place_of_equal_rows_once(lake: Lake) -> None:
    lake.create()
    lake.append_once("observations", rows("a", [1, 2, 3]), "a", 1)
    table = rows("b", [3, 4])
    assert lake.merge_parts_once("observations", [TransactionRows("b", 2, table)], [ROW_ID]) == 1
    assert lake.merge_parts_once("observations", [TransactionRows("b", 2, table)], [ROW_ID]) == 0
    found = lake.read("observations", [ROW_ID, BATCH]).sort_by(ROW_ID).to_pydict()
    assert found == {ROW_ID: [1, 2, 3, 4], BATCH: ["a", "a", "b", "b"]}


def test_a_merged_table_is_filtered_by_texts_like_any_other(lake: Lake) -> None:
    lake.create()
    lake.append_once("observations", rows("a", [1, 2, 3]), "a", 1)
    lake.merge_parts_once("observations", [TransactionRows("b", 2, rows("b", [3, 4]))], [ROW_ID])
    lake.append_once("observations", rows("c", [5]), "c", 3)
    kept = lake.read("observations", [ROW_ID], where=pc.field(BATCH).isin(["b", "c"]))
    assert kept.column_names == [ROW_ID]
    assert sorted(kept.column(ROW_ID).to_pylist()) == [3, 4, 5]
    assert lake.read("observations", [BATCH], where=pc.field(BATCH) == "nothing").num_rows == 0


def test_a_batch_that_replaced_as_many_rows_as_it_has_is_told_all_the_same(lake: Lake) -> None:
    lake.create()
    lake.append_once("observations", rows("a", [1, 2, 3]), "a", 1)
    lake.append_ledger([record(1, "a", rows=3, accepted=3, quarantined=0)])
    old = {"by": "b", "batch": "a", "row": 1, "feed": "observations", "kind": "superseded", "at": NOW}
    lake.append_once("duplicates", pa.Table.from_pylist([old], schema=DUPLICATES), "b:r", 2)
    lake.merge_parts_once("observations", [TransactionRows("b", 2, rows("b", [1]))], [ROW_ID])
    (found,) = lake.orphans("observations", lake.ledger())
    assert (found["batch"], found["rows"], found["replaced"]) == ("b", 1, 1)
    lake.append_ledger([record(2, "b", rows=1, accepted=1, quarantined=0, superseded=1)])
    assert lake.orphans("observations", lake.ledger()) == []
