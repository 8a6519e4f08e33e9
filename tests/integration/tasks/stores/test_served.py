"""The table `served`: its log stays short, and still nothing comes twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tasks.release.rollout.requests import _version
from tasks.stores.lake import delta, maintenance, versions
from tasks.stores.lake.delta import TransactionRows
from tasks.stores.lake.schemas import AT, PROPERTIES, REQUEST, SERVED_DAYS, TableName
from tasks.stores.lake.tables import Lake
from tests.support.ageing import age
from tests.support.world import World, make_world

NAME: TableName = "served"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    world: World = make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)
    return Lake(world.settings, world.pipeline(NAME))


def part(lake: Lake, worker: str, number: int, rows: int = 2) -> TransactionRows:
    found = [{REQUEST: f"{worker}-{number}", "model_version": 1}] * rows
    return TransactionRows(worker, number, pa.Table.from_pylist(found, schema=lake.schema(NAME)), ordered=True)


def put(lake: Lake, worker: str, *numbers: int) -> int:
    return lake.append_parts_once(NAME, [part(lake, worker, number) for number in numbers])


def requests(lake: Lake) -> list[str]:
    return sorted(lake.read(NAME, [REQUEST]).column(REQUEST).to_pylist())[::2]


def opened(lake: Lake) -> delta.Table:
    found = lake.open(NAME)
    assert found is not None
    return found


def log(lake: Lake) -> list[Path]:
    return sorted(Path(lake.url(NAME)).glob("_delta_log/*.json"))


def noted(lake: Lake) -> list[str]:
    """The transactions in the newest checkpoint."""
    path = sorted(Path(lake.url(NAME)).glob("_delta_log/*.checkpoint.parquet"))[-1]
    found = pq.read_table(path, columns=["txn"]).column("txn").drop_null().to_pylist()
    return sorted(one["appId"] for one in found)


def test_of_a_rising_transaction_the_last_version_stands_for_all(lake: Lake) -> None:
    assert put(lake, "a", 1, 2, 3) == 3
    assert put(lake, "b", 1) == 1
    assert put(lake, "a", 2, 3, 4, 4) == 1
    assert put(lake, "a", 1, 4) == 0
    assert requests(lake) == ["a-1", "a-2", "a-3", "a-4", "b-1"]
    assert lake.transactions(NAME, ["a", "b", "c"]) == {"a": 4, "b": 1}
    lines = [json.loads(line) for path in log(lake) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [one["txn"]["version"] for one in lines if "txn" in one] == [3, 1, 4]


def test_transactions_are_forgotten_after_their_days_at_a_checkpoint(lake: Lake) -> None:
    put(lake, "old", 1, 2)
    put(lake, "steady", 1)
    age(Path(lake.url(NAME)), SERVED_DAYS - 1)
    put(lake, "steady", 2)
    put(lake, "new", 1)
    age(Path(lake.url(NAME)), 2)
    assert lake.transactions(NAME, ["old", "steady", "new"]) == {"steady": 2, "new": 1}
    opened(lake).create_checkpoint()
    assert noted(lake) == ["new", "steady"]
    assert requests(lake) == ["new-1", "old-1", "old-2", "steady-1", "steady-2"]


def test_transactions_that_are_not_ordered_stay(lake: Lake) -> None:
    lake.append_parts_once(NAME, [part(lake, "once", 1)._replace(ordered=False)])
    age(Path(lake.url(NAME)), 10 * SERVED_DAYS)
    opened(lake).create_checkpoint()
    assert noted(lake) == ["once"]
    assert lake.append_parts_once(NAME, [part(lake, "once", 7)._replace(ordered=False)]) == 0


def test_the_log_is_cut_and_upkeep_goes_on(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint, as upkeep writes it at any version, then nothing for days, then many commits."""
    url = lake.url(NAME)
    for number in range(1, 12):
        put(lake, "a", number)
    assert maintenance.checkpoint(opened(lake))
    age(Path(url), 5)
    for number in range(12, 101):
        put(lake, "a", number)
    kept = [int(path.stem) for path in log(lake)]
    assert kept == list(range(11, 101))
    assert maintenance.compact(opened(lake)) == 100
    merged = opened(lake)
    since = versions.version_at(merged, versions.timestamps(merged)[-1][1])
    assert since == 11
    assert maintenance.unreferenced_files(url, merged, since, []) == {}
    monkeypatch.setattr(maintenance, "MINIMUM_AGE", timedelta(0))
    freed = maintenance.unreferenced_files(url, merged, merged.version(), [])
    maintenance.delete_files(merged, freed)
    assert (len(freed), len(versions.data_files(merged))) == (100, 1)
    assert put(lake, "a", 100, 101) == 1
    assert len(requests(lake)) == 101


def at(lake: Lake, *moments: datetime) -> None:
    """A commit, and so a file, for each moment, with a row of it."""
    for moment in moments:
        lake.append(NAME, pa.Table.from_pylist([{AT: moment, "model_version": 1}], schema=lake.schema(NAME)))


def test_what_is_asked_from_a_moment_on_needs_no_older_file(lake: Lake) -> None:
    edge = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)
    micro, eastern = timedelta(microseconds=1), timezone(timedelta(hours=-5))
    at(lake, edge - timedelta(hours=1), edge - timedelta(seconds=1))
    older = list(Path(lake.url(NAME)).glob("*.parquet"))
    at(lake, edge - micro, edge, edge + micro, edge + timedelta(days=1))
    for path in older:
        path.unlink()
    asked = _version(1, edge.astimezone(eastern), ("champion",))
    assert lake.read(NAME, [AT], files=asked.files).num_rows in (3, 4)  # statistics may tell milliseconds only
    found = lake.read(NAME, [AT], pc.field(AT) >= pa.scalar(edge), files=asked.files)
    assert sorted(found.column(AT).to_pylist()) == [edge, edge + micro, edge + timedelta(days=1)]
    with pytest.raises(FileNotFoundError):
        lake.read(NAME, [AT])


def test_merged_files_have_groups_of_rows_of_which_few_are_read(lake: Lake) -> None:
    edge = datetime(2026, 3, 1, tzinfo=UTC)
    for half in range(2):
        rows = pa.table({AT: pa.array([edge + timedelta(seconds=120_000 * half + one) for one in range(120_000)])})
        lake.append(NAME, rows.cast(pa.schema([lake.schema(NAME).field(AT)])))
    assert maintenance.compact(opened(lake)) == 2
    (name,) = versions.data_files(opened(lake))
    found = pq.ParquetFile(Path(lake.url(NAME)) / name).metadata
    assert [found.row_group(one).num_rows for one in range(found.num_row_groups)] == [100_000, 100_000, 40_000]
    assert found.row_group(0).column(0).compression == "ZSTD"


def test_it_is_made_with_its_properties_whoever_is_first(lake: Lake) -> None:
    put(lake, "a", 1)
    first = opened(lake).metadata().configuration
    assert PROPERTIES[NAME].items() <= first.items()
    lake.create()
    assert opened(lake).metadata().configuration == first
    labels = delta.open_table(lake.url("observations"))
    assert labels is not None
    assert labels.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
