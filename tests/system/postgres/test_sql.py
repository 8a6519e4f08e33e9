"""Rows of PostgreSQL land as files: typed watermarks, large streams, and nothing of the address is shown."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tasks.errors import UsageError
from tasks.ingestion.sql import SqlFeed
from tasks.stores.landing.folder import FileStat
from tasks.stores.landing.source_database import SourceDatabaseError
from tasks.stores.settings import Settings
from tasks.stores.state.contents import Contents
from tasks.stores.state.watermarks import Watermarks
from tests.support.world import World

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Rides:
    """A pipeline on a PostgreSQL database."""

    def __init__(self, world: World, connection: psycopg.Connection[Any]) -> None:
        self.world, self.connection = world, connection
        (world.home / "state").mkdir(parents=True)
        self.folder = world.landing("db")
        self.folder.mkdir(parents=True)
        self.told: list[str] = []

    def of(self, query: str, **changes: object) -> None:
        sql = {"connection": "TRIPS_DB", "query": query, "watermark": "seq", **changes}
        self.config = self.world.pipeline("db", {"source": {"landing": "db", "sql": sql}})

    def do(self, statement: str) -> None:
        self.connection.execute(statement.encode())

    def feed(self, now: datetime = NOW) -> SqlFeed:
        return SqlFeed(self.config, self.world.settings, "observations", now)

    def fetch(self, now: datetime = NOW) -> list[dict[str, Any]]:
        """The rows of the files that one run fetches."""
        before = set(self.folder.iterdir())
        self.feed(now).fetch(self.told.append)
        new = sorted(set(self.folder.iterdir()) - before)
        return [json.loads(line) for file in new for line in file.read_text().splitlines()]


@pytest.fixture
def rides(world: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rides]:
    monkeypatch.setenv("TRIPS_DB", postgres_url.replace("postgresql+psycopg", "postgresql"))
    own = sa.make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own, autocommit=True) as connection:
        yield Rides(world, connection)


@pytest.mark.parametrize(
    ("kind", "marks"),
    [
        ("bigint", ["1", "5000000000", "5000000001"]),
        ("smallint", ["-3", "1", "2"]),
        ("numeric", ["0.1", "0.10000000000000000001", "123456789012345678901234567890.5"]),
        ("double precision", ["0.1", "0.30000000000000004", "1e300"]),
        ("timestamptz", ["'2026-01-01 01:00+02'", "'2026-01-01 00:00:00.000001+00'", "'2026-03-01 12:00+00'"]),
        ("timestamp", ["'2026-01-01 01:00'", "'2026-01-01 01:00:00.000001'", "'2026-03-01 12:00'"]),
        ("date", ["'2026-01-01'", "'2026-01-02'", "'2026-02-28'"]),
        ("text", ["'a'", "'a b/../%:x'", "'ä'"]),
    ],
)
def test_each_row_is_fetched_once_by_watermarks_of_any_type(rides: Rides, kind: str, marks: list[str]) -> None:
    rides.do(f"CREATE TABLE t (id serial, seq {kind})")
    rides.of("SELECT * FROM t")
    for number, mark in enumerate(marks, start=1):
        assert rides.feed().pending() == ""
        rides.do(f"INSERT INTO t (seq) VALUES ({mark})")  # noqa: S608  # our own words
        assert rides.feed().pending()
        assert [row["id"] for row in rides.fetch()] == [number]
    assert rides.fetch() == []
    assert len(list(rides.folder.iterdir())) == 3


@pytest.mark.parametrize(
    ("kind", "taken", "left"),
    [
        ("timestamptz", "2026-03-01 12:59:00+01", "2026-03-01 12:59:01+01"),
        ("timestamp", "2026-03-01 11:59:00", "2026-03-01 11:59:01"),
        ("date", "2026-02-28", "2026-03-01"),
    ],
)
def test_what_is_younger_than_the_lag_waits(rides: Rides, kind: str, taken: str, left: str) -> None:
    rides.do(f"CREATE TABLE t (id serial, seq {kind})")
    rides.do(f"INSERT INTO t (seq) VALUES ('{taken}'), ('{left}'), ('2041-01-01'), (NULL)")  # noqa: S608
    rides.of("SELECT * FROM t", lag_seconds=60.0)
    assert [row["id"] for row in rides.fetch()] == [1]
    assert rides.told[0] == "source.sql: 1 row is not fetched: seq is missing"
    assert rides.feed().pending() == ""
    assert [row["id"] for row in rides.fetch(NOW + timedelta(days=1))] == [2]


def test_values_lose_nothing(rides: Rides) -> None:
    rides.of(
        """
        SELECT 1 AS seq, 12.50::numeric(9, 2) AS price, 0.1234567890123456789::numeric AS fine, 'NaN'::float8 AS nan,
          '-Infinity'::numeric AS low, '2026-01-02 03:04:05.678+00'::timestamptz AS at, '2026-01-02'::date AS day,
          '\\xdead'::bytea AS raw, NULL AS none, true AS yes, '{"a": [1, 2.5]}'::jsonb AS doc, '{x,y}'::text[] AS list,
          '00000000-0000-0000-0000-000000000001'::uuid AS id, '10:30'::time AS clock, ':5% ñ' AS text -- to the end
        """
    )
    (row,) = rides.fetch()
    assert datetime.fromisoformat(row.pop("at")) == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert row == {
        "seq": 1, "price": 12.5, "fine": "0.1234567890123456789", "nan": "NaN", "low": "-Infinity",
        "day": "2026-01-02", "raw": "dead", "none": None, "yes": True, "doc": {"a": [1, 2.5]}, "list": ["x", "y"],
        "id": "00000000-0000-0000-0000-000000000001", "clock": "10:30:00", "text": ":5% ñ",
    }  # fmt: skip


def test_many_rows_are_streamed_in_parts(rides: Rides) -> None:
    rides.of("SELECT seq, repeat('x', 500) AS text FROM generate_series(1, 300000) AS g(seq)", max_rows=200_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rides.feed().fetch(rides.told.append)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024, "300,000 rows are 150 MB"
    assert rides.told == [
        "source.sql: 200000 rows fetched as sql-start-200000.jsonl",
        "source.sql: 100000 rows fetched as sql-200000-300000.jsonl",
    ]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT nothing FROM generate_series(1, 2)", r"source\.sql\.query: the database of TRIPS_DB refused it: col"),
        ("SELECT 1 AS id", r"source\.sql\.watermark: found 'seq'; expected a column of the query: id\.$"),
        ("SELECT 1 AS id, 2 AS seq, 3 AS id", r"source\.sql\.query: found 'id' more than once"),
        ("SELECT nextval('s') AS seq", r"source\.sql\.query: .* cannot execute nextval\(\) in a read-only transaction"),
        ("SELECT 'NaN'::numeric AS seq", r"source\.sql\.watermark: found NaN; expected numbers, times, dates or text"),
        ("SELECT true AS seq", r"source\.sql\.query: .*function max\(boolean\) does not exist"),
    ],
)
def test_a_query_that_can_not_be_used_is_told_in_a_line(rides: Rides, query: str, told: str) -> None:
    rides.do("CREATE SEQUENCE s")
    rides.of(query)
    with pytest.raises(UsageError, match=told) as caught:
        rides.fetch()
    assert "\n" not in str(caught.value)
    assert list(rides.folder.iterdir()) == []


def test_a_password_that_is_wrong_is_not_shown(
    rides: Rides, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rides.of("SELECT 1 AS seq")
    wrong = sa.make_url(postgres_url).set(password="hush/hush")  # noqa: S106  # it is none
    monkeypatch.setenv("TRIPS_DB", wrong.render_as_string(hide_password=False))
    with pytest.raises(SourceDatabaseError, match="the database of TRIPS_DB can't be reached") as caught:
        rides.fetch()
    assert "hush" not in str(caught.value)
    assert "postgresql" not in str(caught.value)


def test_a_connection_that_is_cut_leaves_what_came_and_the_next_run_goes_on(rides: Rides) -> None:
    rides.do("CREATE TABLE t AS SELECT seq FROM generate_series(1, 30) AS g(seq)")
    rides.do(
        "CREATE FUNCTION cut(seq int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN IF seq = 15 AND current_setting("
        "'cut.now', true) = 'yes' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN seq; END $$"
    )
    database = rides.connection.info.dbname
    rides.do(f"ALTER DATABASE \"{database}\" SET cut.now = 'yes'")
    rides.of("SELECT seq, cut(seq) AS id FROM t", max_rows=10)
    with pytest.raises(SourceDatabaseError, match=r"can't be reached \(terminating connection"):
        rides.fetch()
    assert sorted(one.name for one in rides.folder.glob("[!.]*")) == ["sql-start-10.jsonl"]
    rides.do(f'ALTER DATABASE "{database}" RESET cut.now')
    rides.fetch()
    found = [json.loads(line)["seq"] for file in rides.folder.iterdir() for line in file.read_text().splitlines()]
    assert sorted(found) == list(range(1, 31))


def test_a_team_s_state_keeps_watermarks_and_known_contents(team: Callable[..., Settings]) -> None:
    one, other = team("one"), team("other")
    known = Watermarks(one, "db", "observations", "seq")
    known.begin(Decimal("0.1"), "sql-start-0.1.jsonl")
    elsewhere = Watermarks(other, "db", "observations", "seq")
    assert elsewhere.intent() == (None, Decimal("0.1"), "sql-start-0.1.jsonl")
    elsewhere.done(NOW)
    assert (known.last(), known.intent()) == (NOW, None)
    contents = Contents(one, "db", "labels")
    for size in (1, 2):
        contents.record(FileStat("a.csv", size, 1 << 62), "ab", reported=size == 2)
    assert Contents(other, "db", "labels").known() == {FileStat("a.csv", 2, 1 << 62): ("ab", True)}
