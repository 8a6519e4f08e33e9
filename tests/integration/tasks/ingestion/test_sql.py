"""Rows of a database land as files, each row once: here on SQLite; tests/system/postgres/test_sql.py has PostgreSQL."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import ConfigError
from tasks.errors import PerennialError, UsageError
from tasks.ingestion import sql
from tasks.ingestion.sql import SqlFeed, file_name
from tasks.stores.landing.source_database import SourceDatabaseError
from tasks.stores.state.watermarks import Watermark, Watermarks, decoded, encoded
from tests.support.command import Cli
from tests.support.world import ROOT, World, trips

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUERY = "SELECT id, at, x1, x2, kind, y, seq FROM trips"


class Trips:
    """A pipeline on a SQLite database of trips."""

    def __init__(self, world: World, path: Path, **changes: object) -> None:
        self.world, self.path = world, path
        (world.home / "state").mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("CREATE TABLE IF NOT EXISTS trips (id INTEGER, at, x1, x2, kind, y, seq)")
        self.change(**changes)
        self.folder = world.landing("db")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.told: list[str] = []

    def change(self, **changes: object) -> None:
        own = {"connection": "TRIPS_DB", "query": QUERY, "watermark": "seq", **changes}
        self.config = self.world.pipeline("db", {"source": {"landing": "db", "sql": own}})

    def feed(self, now: datetime = NOW) -> SqlFeed:
        return SqlFeed(self.config, self.world.settings, "observations", now)

    def fetch(self, now: datetime = NOW) -> list[str]:
        """Names of the files that one run fetches."""
        before = {one.name for one in self.folder.iterdir()}
        self.feed(now).fetch(self.told.append)
        return sorted({one.name for one in self.folder.iterdir()} - before)

    def add(self, *marks: object) -> None:
        """Rows of these watermarks."""
        self.database.executemany("INSERT INTO trips (id, seq) VALUES (?, ?)", enumerate(marks))

    def fill(self, first: int, rows: int) -> None:
        frame = trips(first, rows, seed=first)
        frame["at"] = frame["at"].astype(str)
        frame["seq"] = frame["id"]
        self.database.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?, ?, ?)", frame.values.tolist())

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def marks(self) -> list[Any]:
        """The watermarks in all files, in the order of names."""
        return [row["seq"] for file in sorted(self.folder.glob("sql-*.jsonl")) for row in self.rows(file.name)]


@pytest.fixture
def rides(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trips:
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'trips.db'}")
    return Trips(world, tmp_path / "trips.db")


# ------------------------------------------------------------------------------------------------ fetching
def test_each_run_fetches_what_came_since(rides: Trips) -> None:
    assert rides.fetch() == []
    assert rides.feed().pending() == ""
    rides.add(3, 1, 2)
    assert rides.feed().pending() == '["int", "3"]'
    assert rides.fetch() == ["sql-start-3.jsonl"]
    assert [row["seq"] for row in rides.rows("sql-start-3.jsonl")] == [1, 2, 3]
    assert rides.feed().pending() == ""
    assert rides.fetch() == []
    rides.add(4, 10)
    assert rides.fetch() == ["sql-3-10.jsonl"]
    assert rides.marks() == [4, 10, 1, 2, 3]
    assert rides.told == [
        "source.sql: 3 rows fetched as sql-start-3.jsonl",
        "source.sql: 2 rows fetched as sql-3-10.jsonl",
    ]


def test_files_have_at_most_so_many_rows_and_are_cut_between_watermarks(rides: Trips) -> None:
    rides.change(max_rows=3)
    rides.add(1, 2, 2, 2, 3, 5, 5, 5, 5, 6)
    assert rides.fetch() == ["sql-1-2.jsonl", "sql-2-3.jsonl", "sql-3-5.jsonl", "sql-5-6.jsonl", "sql-start-1.jsonl"]
    assert sorted(rides.marks()) == [1, 2, 2, 2, 3, 5, 5, 5, 5, 6]
    assert "4 rows fetched as sql-3-5.jsonl, more than max_rows: they have the same seq" in rides.told[3]


def test_rows_without_a_watermark_are_told_of(rides: Trips) -> None:
    rides.add(None, None)
    assert rides.fetch() == []
    rides.add(1)
    rides.fetch()
    assert rides.told[:2] == ["source.sql: 2 rows are not fetched: seq is missing"] * 2
    assert rides.marks() == [1]


def test_a_query_is_taken_as_it_stands(rides: Trips) -> None:
    rides.database.execute("INSERT INTO trips (id, kind, seq) VALUES (1, '10:30 :x %s', 1)")
    query = "WITH t AS (SELECT *, ':y' AS \"a:b\" FROM trips) SELECT * FROM t WHERE kind LIKE '%:30 :x%' ; -- all\n--"
    rides.change(query=query.replace(" ;", ""))
    assert rides.fetch() == ["sql-start-1.jsonl"]
    assert rides.rows("sql-start-1.jsonl")[0]["a:b"] == ":y"
    rides.change(query=f"{QUERY};\n")
    rides.add(2)
    assert rides.fetch() == ["sql-1-2.jsonl"]


def test_by_another_watermark_all_is_fetched_anew_and_the_old_one_is_remembered(rides: Trips) -> None:
    rides.add(1)
    rides.fetch()
    rides.change(watermark="id")
    assert rides.fetch() == ["sql-start-0.jsonl"]
    rides.change()
    assert rides.fetch() == []


def test_markers_stand_beside_fetched_files_where_they_are_asked_for(rides: Trips) -> None:
    own = {"connection": "TRIPS_DB", "query": QUERY, "watermark": "seq"}
    rides.config = rides.world.pipeline("db", {"source": {"landing": "db", "ready": "marker", "sql": own}})
    rides.add(1)
    assert rides.fetch() == ["sql-start-1.jsonl", "sql-start-1.jsonl.ready"]


# ------------------------------------------------------------------------------------------------ watermarks in time
def test_texts_of_times_wait_for_the_lag_and_for_times_to_come(rides: Trips) -> None:
    rides.change(lag_seconds=60.0)
    rides.add("2026-03-01 11:58:00", "2026-03-01 11:59:30", "2041-01-01 00:00:00")
    assert len(rides.fetch()) == 1
    assert rides.fetch() == []
    assert rides.feed().pending() == ""
    assert len(rides.fetch(NOW + timedelta(seconds=30))) == 1
    assert rides.fetch(NOW + timedelta(days=365)) == []
    assert sorted(rides.marks()) == ["2026-03-01 11:58:00", "2026-03-01 11:59:30"]


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z"),
        ("2026-03-01 12:00:00.000000", "2026-03-01 12:00:00.000001"),
        ("2026-03-01T12:00:00.000000+00:00", "2026-03-01T12:00:00.000001+00:00"),
        ("2026-02-28", "2026-03-01"),
        ("a7", None),
    ],
)
def test_texts_of_any_shape_of_time_are_held_against_the_clock(rides: Trips, taken: str, left: str | None) -> None:
    rides.add(*filter(None, (taken, left)))
    rides.fetch()
    assert rides.marks() == [taken]


def test_times_without_a_zone_are_in_the_contracts(rides: Trips) -> None:
    own = {"connection": "TRIPS_DB", "query": QUERY, "watermark": "seq"}
    changes = {"source": {"landing": "db", "sql": own}, "contract": {"timezone": "Asia/Tokyo"}}
    rides.config = rides.world.pipeline("db", changes)
    rides.add("2026-03-01 21:00:00", "2026-03-01 21:00:01")
    rides.fetch()
    assert rides.marks() == ["2026-03-01 21:00:00"]


def test_a_lag_needs_a_watermark_in_time(rides: Trips) -> None:
    rides.change(lag_seconds=1.0)
    rides.add(1)
    with pytest.raises(UsageError, match=r"^source\.sql\.lag_seconds: found a watermark that is a number"):
        rides.fetch()


# ------------------------------------------------------------------------------------------------ mistakes
def test_an_address_that_is_missing_or_none_is_told(rides: Trips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPS_DB", "")
    with pytest.raises(UsageError, match=r"^source\.sql\.connection: found no environment variable TRIPS_DB"):
        rides.fetch()
    monkeypatch.setenv("TRIPS_DB", "secret nonsense")
    with pytest.raises(UsageError, match=r"^source\.sql\.connection: found no address in TRIPS_DB") as caught:
        rides.fetch()
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("TRIPS_DB", "mysql+nodriver://ana:secret@127.0.0.1/x")
    with pytest.raises(UsageError, match="TRIPS_DB needs a library that is not installed") as caught:
        rides.fetch()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["sqlite:///{path}/none.db", "postgresql://ana:hush%2Fhush@127.0.0.1:1/hidden"])
def test_a_database_that_can_not_be_reached_is_told_without_its_address(
    rides: Trips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("TRIPS_DB", address.format(path=tmp_path))
    with pytest.raises(SourceDatabaseError, match="the database of TRIPS_DB can't be reached") as caught:
        rides.fetch()
    for secret in ("hush", "hidden", str(tmp_path)):
        assert secret not in str(caught.value)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "none.db").exists(), "SQLite would have made one"


def test_a_file_that_is_no_database_is_told(rides: Trips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "junk.db").write_text("junk " * 1000)
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'junk.db'}")
    with pytest.raises(SourceDatabaseError, match="file is not a database"):
        rides.fetch()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"query": "SELECT seq FROM gone"}, r"^source\.sql\.query: the database of TRIPS_DB refused it: no such table"),
        ({"query": "SELEC 1"}, r"^source\.sql\.query: .*syntax error"),
        ({"query": "DELETE FROM trips"}, r"^source\.sql\.query: .*syntax error"),
        ({"query": "SELECT id FROM trips"}, r"^source\.sql\.watermark: found 'seq'; expected a column of .*: id\.$"),
        ({"watermark": "sequence"}, r"^source\.sql\.watermark: found 'sequence'; expected a column of the query: id, "),
    ],
)
def test_a_query_that_can_not_be_run_is_told(rides: Trips, changes: dict[str, str], told: str) -> None:
    rides.add(1)
    rides.change(**changes)
    with pytest.raises(UsageError, match=told) as caught:
        rides.fetch()
    assert "\n" not in str(caught.value)
    assert list(rides.folder.iterdir()) == []
    assert rides.database.execute("SELECT count(*) FROM trips").fetchone() == (1,)


def test_a_watermark_of_another_kind_than_before_is_told(rides: Trips) -> None:
    rides.add(1)
    rides.fetch()
    rides.add("2026-01-01")
    with pytest.raises(UsageError, match="found text, and the last fetched one is a number"):
        rides.fetch()
    rides.database.execute("UPDATE trips SET seq = x'00'")
    with pytest.raises(UsageError, match="found a value of type bytes; expected numbers, times, dates or text"):
        rides.fetch()


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"format": "csv"}, "source.format"),
        ({"compression": "gzip"}, "source.compression"),
        ({"encoding": "utf-16"}, "source.encoding"),
        ({"pattern": "*.csv"}, "source.pattern"),
        ({"landing": "s3://bucket/in"}, "source.landing"),
    ],
)
def test_a_source_that_would_not_take_what_is_fetched_is_a_mistake(
    rides: Trips, source: dict[str, str], field: str
) -> None:
    own = {"connection": "TRIPS_DB", "query": QUERY, "watermark": "seq"}
    with pytest.raises(ConfigError, match=field):
        rides.world.pipeline("db", {"source": {"landing": "db", "sql": own, **source}})


# ------------------------------------------------------------------------------------------------ values
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1 << 70, str(1 << 70)),
        (0.1, "0.1"),
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        (Decimal("12.50"), "12.5"),
        (Decimal("0.1234567890123456789"), '"0.1234567890123456789"'),
        (Decimal("1E+400"), '"1E+400"'),
        (Decimal("NaN"), '"NaN"'),
        (Decimal("sNaN"), '"NaN"'),
        (Decimal("-Infinity"), '"-Infinity"'),
        (datetime.fromisoformat("2026-01-02T03:04:05.000006"), '"2026-01-02T03:04:05.000006"'),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), '"2026-01-02T00:00:00+02:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (timedelta(minutes=1), "60.0"),
        (b"\x00\xff", '"00ff"'),
        pytest.param(memoryview(b"\x01"), '"01"', id="memory"),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        ("Straße\n", '"Stra\\u00dfe\\n"'),
        ([1.5, float("inf"), {"a": Decimal("1")}], '[1.5,"Infinity",{"a":1.0}]'),
    ],
    ids=str,
)
def test_no_value_loses_anything(value: object, text: str) -> None:
    assert sql._line({"a": value}) == f'{{"a":{text}}}\n'.encode()


decimals = st.decimals(allow_nan=False, allow_infinity=False)
marks: st.SearchStrategy[Watermark] = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    decimals,
    st.datetimes(),
    st.datetimes(timezones=st.timezones(), allow_imaginary=False),  # a database has no hour that was skipped
    st.dates(),
    st.text(),
)


@given(decimals)
def test_no_decimal_loses_anything(value: Decimal) -> None:
    assert Decimal(str(json.loads(sql._line({"a": value}), parse_float=Decimal)["a"])) == value


def instant(mark: Watermark) -> Watermark:
    """A time with a zone as that of UTC: Python never takes an hour that comes twice for equal in another zone."""
    return mark.astimezone(UTC) if isinstance(mark, datetime) and mark.tzinfo is not None else mark


@given(marks)
def test_a_watermark_is_read_back_as_it_was(mark: Watermark) -> None:
    found = decoded(encoded(mark))
    assert (type(found), instant(found)) == (type(mark), instant(mark))


@given(st.lists(marks, min_size=2, max_size=2, unique_by=encoded), marks | st.none())
def test_names_of_ranges_are_safe_and_differ(ends: list[Watermark], last: Watermark | None) -> None:
    first, second = (file_name(last, one) for one in ends)
    assert first.isascii()
    assert all(one.isalnum() or one in "._-" for one in first)
    assert len(first) < 200
    if type(ends[0]) is type(ends[1]) and not isinstance(ends[0], Decimal) and ends[0] != ends[1]:
        assert first != second


# ------------------------------------------------------------------------------------------------ exactly once
KILLED = """
import os, signal, sys
from datetime import datetime
from configs.load import load
from tasks.ingestion import sql
from tasks.stores.state import watermarks
from tasks.stores.settings import load_settings

moment, step = sys.argv[1:]
def dies(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
owner = {"begin": watermarks.Watermarks, "done": watermarks.Watermarks, "replace": sql.Path, "fsync": sql.os}[step]
real = getattr(owner, step)
def then(*given, **named):
    if moment == "after":
        real(*given, **named)
    dies()
setattr(owner, step, then)
now = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
sql.SqlFeed(load("db"), load_settings(), "observations", now).fetch(print)
"""


def killed(moment: str, step: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, moment, step], cwd=ROOT, env=os.environ, check=False)
    assert done.returncode == -9


@pytest.mark.parametrize("step", ["begin", "fsync", "replace", "done"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_at_any_step_is_healed_by_the_next(rides: Trips, step: str, moment: str) -> None:
    rides.add(1, 2, 3)
    killed(moment, step)
    rides.add(4, 5)  # what comes meanwhile changes nothing in the range that was begun
    rides.fetch()
    begun = (moment, step) != ("before", "begin")
    files = ["sql-3-5.jsonl", "sql-start-3.jsonl"] if begun else ["sql-start-5.jsonl"]
    assert sorted(one.name for one in rides.folder.iterdir()) == files
    assert sorted(rides.marks()) == [1, 2, 3, 4, 5]
    assert rides.fetch() == []


def test_a_range_that_was_begun_is_work_to_do_and_one_whose_file_is_there_is_settled(rides: Trips) -> None:
    rides.add(1, 2)
    known = Watermarks(rides.world.settings, "db", "observations", "seq")
    known.begin(2, "sql-start-2.jsonl")
    assert rides.feed().pending() == "sql-start-2.jsonl"
    (rides.folder / "sql-start-2.jsonl").touch()
    assert rides.fetch() == []
    assert (known.intent(), known.last()) == (None, 2)
    assert rides.rows("sql-start-2.jsonl") == [], "a file in its place is never written again"
    known.begin(3, "sql-2-3.jsonl")
    (rides.folder / "sql-2-3.jsonl").touch()
    rides.feed().commit_range()
    assert (known.intent(), known.last()) == (None, 3)
    assert rides.feed().pending() == ""


def test_a_range_whose_rows_moved_on_leaves_no_file(rides: Trips) -> None:
    rides.add(1)
    Watermarks(rides.world.settings, "db", "observations", "seq").begin(1, "sql-start-1.jsonl")
    rides.database.execute("UPDATE trips SET seq = 2")
    assert rides.fetch() == ["sql-1-2.jsonl"]
    assert rides.marks() == [2]


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_whatever_comes_between_runs_each_row_is_fetched_once(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("story")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPS_DB", f"sqlite:///{base / 'trips.db'}")
        (base / "configs").mkdir()
        rides = Trips(World(base / "home", base / "configs"), base / "trips.db", max_rows=data.draw(st.integers(1, 4)))
        steps = data.draw(st.lists(st.lists(st.integers(0, 4), max_size=8), max_size=4))
        added: list[int] = []
        for step in steps:
            first = max(added, default=0) + 1
            rides.add(*(first + gap for gap in step))
            added += [first + gap for gap in step]
            rides.fetch()
        assert sorted(rides.marks()) == sorted(added)
        rides.database.close()


# ------------------------------------------------------------------------------------------------ in a pipeline
Ingest = Callable[[], list[tuple[str, str, int, int]]]


@pytest.fixture
def story(module_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trips:
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'trips.db'}")
    return Trips(module_world, tmp_path / "trips.db")


def test_a_database_feeds_a_pipeline(story: Trips, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.lifecycle.due import due, is_idle
    from tests.support.direct import ingest

    def taken() -> list[tuple[str, str, int, int]]:
        return [(one.path, one.verdict, one.accepted, one.quarantined) for one in ingest("db", now=NOW).batches]

    def reasons() -> list[str]:
        return [one.reason for one in due(story.config, story.world.settings) if one.flow == "ingest"]

    story.fill(0, 60)
    assert reasons() == ["the database has new rows"]
    assert taken() == [("sql-start-59.jsonl", "accepted", 60, 0)]
    assert (taken(), reasons()) == ([], [])
    story.fill(60, 10)
    story.database.execute("UPDATE trips SET kind = 'boat' WHERE id = 65")
    assert taken() == [("sql-59-69.jsonl", "accepted", 9, 1)]
    assert len(story.world.row_ids("db")) == 69

    assert cli("run", "db").code == 0
    assert is_idle(story.config, story.world.settings)
    story.fill(70, 5)
    assert not is_idle(story.config, story.world.settings)
    monkeypatch.delenv("TRIPS_DB")
    said = cli("run", "db")
    assert (said.code, "Traceback" in said.err) == (2, False)
    assert "source.sql.connection: found no environment variable TRIPS_DB" in said.err
    with pytest.raises(PerennialError):
        is_idle(story.config, story.world.settings)
    story.world.land("db", "by_hand.jsonl", trips(100, 5, seed=9))
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{story.path}")
    assert sorted(taken()) == [("by_hand.jsonl", "accepted", 5, 0), ("sql-69-74.jsonl", "accepted", 5, 0)]
