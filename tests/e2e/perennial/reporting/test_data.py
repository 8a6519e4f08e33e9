"""perennial data: a table as it is or was, shown or written to a file, and told plainly where it can't be."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.cli.data import moment_or_version
from tasks.errors import UsageError
from tasks.stores.files import tabular
from tests.support.ageing import age
from tests.support.command import Cli
from tests.support.world import World, trips

NAME = "shown"


@pytest.fixture(scope="module")
def world(module_world: World) -> World:
    """Two files of 30 and 20 rows; a bad row in the second; the first came ten days before the second."""
    from tests.support.direct import ingest

    module_world.pipeline(NAME)
    module_world.land(NAME, "one.csv", trips(0, 30, seed=1))
    ingest(NAME)
    for table in (module_world.home / "lake" / NAME).iterdir():
        age(table, 10)
    more = trips(30, 21, seed=2)
    more.loc[0, "x1"] = 5000.0
    module_world.land(NAME, "two.csv", more)
    ingest(NAME)
    return module_world


def days_ago(days: float) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S}"


def test_it_shows_rows_columns_version_and_time(world: World, cli: Cli) -> None:
    told = cli("data", NAME, "--rows", "2").out
    assert re.match(
        rf"{NAME} observations: 50 rows, version 2 of \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n\ncolumn ", told
    )
    assert re.search(r"^x1 +double +\S+ +\S+$", told, re.MULTILINE)
    assert "row 3" not in told


@pytest.mark.parametrize(
    ("as_of", "version", "rows"),
    [("1", 1, 30), ("0", 0, 0), ("ago:5", 1, 30), ("ago:0", 2, 50)],
    ids=lambda one: str(one),
)
def test_it_shows_a_table_as_it_was(world: World, cli: Cli, as_of: str, version: int, rows: int) -> None:
    asked = days_ago(float(as_of[4:])) if as_of.startswith("ago:") else as_of
    if as_of == "ago:0":
        asked = days_ago(-0.01)
    found = cli("data", NAME, "--as-of", asked, "--json").json()
    assert (found["version"], found["rows"], len(found["first"])) == (version, rows, min(rows, 5))
    assert found["columns"]["at"] == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize("table", ["batches", "quarantine", "predictions", "decisions", "duplicates"])
def test_every_table_can_be_shown(world: World, cli: Cli, table: str) -> None:
    found = cli("data", NAME, "--table", table, "--json").json()
    assert found["rows"] == {"batches": 2, "quarantine": 1}.get(table, 0)
    if table == "quarantine":
        assert "x1" in found["first"][0]["reason"]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_it_writes_the_rows_to_a_file(world: World, cli: Cli, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"rows{ending}"
    told = cli("data", NAME, "--as-of", "1", "--columns", "id, y,kind", "--to", str(path))
    assert told.code == 0, told.err
    assert told.out.endswith(f"written to {path}\n")
    assert told.out.startswith(f"{NAME} observations: 30 rows, version 1 of ")
    read: dict[str, Any] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".jsonl": lambda file: pd.read_json(file, lines=True),
    }
    frame: pd.DataFrame = read[ending](path)
    expected = trips(0, 30, seed=1)[["id", "y", "kind"]]
    pd.testing.assert_frame_equal(frame.sort_values("id", ignore_index=True), expected, check_dtype=False)
    assert list(path.parent.iterdir()) == [path]


def test_nested_columns_are_json_in_csv(world: World, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "batches.csv"
    assert cli("data", NAME, "--table", "batches", "--columns", "path,reasons", "--to", str(path)).code == 0
    frame = pd.read_csv(path).sort_values("path")
    assert [json.loads(one) for one in frame["reasons"]] == [[], []]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--as-of", "9"), r"observations: found version 9; expected 0 to 2, which is the newest\."),
        (("--as-of", "2020-01-01"), r"found 2020-01-01 00:00:00 UTC, but its first version, 0, was written at "),
        (("--as-of", "yesterday"), r"--as-of: found 'yesterday'; expected a version, such as 12, or a time"),
        (("--columns", "id,speed"), r"--columns: found speed; version 2 has id, at, x1"),
        (("--table", "labels"), rf"--table: {NAME} has no labels; it has batches, observations"),
        (("--to", "rows.xlsx"), r"rows\.xlsx: found the ending '\.xlsx'; expected one of \.csv, \.parquet, \.jsonl\."),
    ],
    ids=["version", "time", "words", "column", "table", "ending"],
)
def test_what_can_not_be_shown_is_told_plainly(world: World, cli: Cli, words: tuple[str, ...], told: str) -> None:
    said = cli("data", NAME, *words)
    assert said.code == 2
    assert re.search(told, said.err), said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_before_anything_came_in_it_says_how_to_begin(world: World, cli: Cli) -> None:
    world.pipeline("empty")
    said = cli("data", "empty")
    assert (said.code, said.err) == (2, "perennial: empty has no data yet. Land files, then `perennial run empty`.\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12", 12),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T06:00:00+01:00", datetime(2026, 3, 1, 5, tzinfo=UTC)),
        ("2026-03-01 06:00", datetime(2026, 3, 1, 6, tzinfo=UTC)),
    ],
)
def test_a_version_or_a_time(text: str, found: object) -> None:
    assert moment_or_version(text) == found


ODD = pa.table(
    {
        "text": pa.array(['a,"b"', "ü\nz", None], pa.string_view()),
        "number": [1.5, math.nan, math.inf],
        "at": pa.array([0, None, 1_000_001], pa.timestamp("us", tz="UTC")),
        "list": pa.array([["x"], [], None], pa.list_(pa.string_view())),
        "more": pa.array([{"k": "v"}, {}, None], pa.map_(pa.string(), pa.string())),
    }
)


def test_odd_values_are_written_as_each_format_can(tmp_path: Path) -> None:
    for ending in (".csv", ".parquet", ".jsonl"):
        assert tabular.write(tmp_path / f"odd{ending}", ODD.schema, ODD.to_batches(max_chunksize=2)) == 3
    lines = [json.loads(one) for one in (tmp_path / "odd.jsonl").read_text(encoding="utf-8").splitlines()]
    expected: list[dict[str, Any]] = [
        {"text": 'a,"b"', "number": 1.5, "at": "1970-01-01T00:00:00+00:00", "list": ["x"], "more": {"k": "v"}},
        {"text": "ü\nz", "number": None, "at": None, "list": [], "more": {}},
        {"text": None, "number": None, "at": "1970-01-01T00:00:01.000001+00:00", "list": None, "more": None},
    ]
    assert lines == expected
    frame = pd.read_csv(tmp_path / "odd.csv")
    assert frame["text"].tolist()[:2] == ['a,"b"', "ü\nz"]
    assert frame["more"].tolist()[:2] == ['{"k": "v"}', "{}"]
    table = pq.read_table(tmp_path / "odd.parquet")
    assert table.schema.field("text").type == pa.string()
    assert str(table.to_pylist()) == str(ODD.to_pylist())  # as text: not a number is equal to nothing


def test_a_file_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    def breaks() -> Iterator[pa.RecordBatch]:
        yield from ODD.to_batches()
        raise OSError(28, "No space left on device")

    path = tmp_path / "odd.csv"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(UsageError, match=r"odd\.csv can't be written: No space left on device"):
        tabular.write(path, ODD.schema, breaks())
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("odd.csv", "before")]
