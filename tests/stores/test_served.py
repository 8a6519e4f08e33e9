"""The table `served`: its log stays short, and still nothing comes twice."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.stores import delta, upkeep, versions
from tasks.stores.delta import Part
from tasks.stores.lake import Lake
from tasks.stores.tables import PROPERTIES, REQUEST, SERVED_DAYS, TableName
from tests.conftest import World, make_world
from tests.stores.ageing import age

NAME: TableName = "served"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    world: World = make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)
    return Lake(world.settings, world.pipeline(NAME))


def part(lake: Lake, worker: str, number: int, rows: int = 2) -> Part:
    found = [{REQUEST: f"{worker}-{number}", "model_version": 1}] * rows
    return Part(worker, number, pa.Table.from_pylist(found, schema=lake.schema(NAME)), rising=True)


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


def test_transactions_that_are_not_rising_stay(lake: Lake) -> None:
    lake.append_parts_once(NAME, [part(lake, "once", 1)._replace(rising=False)])
    age(Path(lake.url(NAME)), 10 * SERVED_DAYS)
    opened(lake).create_checkpoint()
    assert noted(lake) == ["once"]
    assert lake.append_parts_once(NAME, [part(lake, "once", 7)._replace(rising=False)]) == 0


def test_the_log_is_cut_and_upkeep_goes_on(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint, as upkeep writes it at any version, then nothing for days, then many commits."""
    url = lake.url(NAME)
    for number in range(1, 12):
        put(lake, "a", number)
    assert upkeep.checkpoint(opened(lake))
    age(Path(url), 5)
    for number in range(12, 101):
        put(lake, "a", number)
    kept = [int(path.stem) for path in log(lake)]
    assert kept == list(range(11, 101))
    assert upkeep.compact(opened(lake)) == 100
    merged = opened(lake)
    since = versions.version_at(merged, versions.moments(merged)[-1][1])
    assert since == 11
    assert upkeep.unneeded(url, merged, since, []) == {}
    monkeypatch.setattr(upkeep, "LEAST_AGE", timedelta(0))
    freed = upkeep.unneeded(url, merged, merged.version(), [])
    upkeep.free(merged, freed)
    assert (len(freed), len(versions.files(merged))) == (100, 1)
    assert put(lake, "a", 100, 101) == 1
    assert len(requests(lake)) == 101


def test_it_is_made_with_its_properties_whoever_is_first(lake: Lake) -> None:
    put(lake, "a", 1)
    first = opened(lake).metadata().configuration
    assert PROPERTIES[NAME].items() <= first.items()
    lake.create()
    assert opened(lake).metadata().configuration == first
    labels = delta.open_table(lake.url("observations"))
    assert labels is not None
    assert labels.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
