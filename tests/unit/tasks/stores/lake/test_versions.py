"""Which version was current when, and which can still be read, given in the same words every time."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.errors import UsageError
from tasks.stores.lake import delta, versions
from tests.support.ageing import age

SCHEMA = pa.schema([("a", pa.int64())])


def rows(*numbers: int) -> pa.Table:
    return pa.table({"a": list(numbers)}, schema=SCHEMA)


def grow(url: Path, first: int, last: int) -> None:
    """A commit of one row for each number."""
    for number in range(first, last):
        delta.append(str(url), SCHEMA, rows(number))


def newest(url: Path) -> delta.Table:
    opened = delta.open_table(str(url))
    assert opened is not None
    return opened


def content(url: Path, as_of: versions.AsOf | None = None) -> list[int]:
    found = versions.snapshot(str(url), as_of)
    assert found is not None
    return sorted(delta.read(found.table).column("a").to_pylist())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Version 0 empty, forty days old; 1 and 2 ten days old; 3 to 5 of now. Version n has rows 0 to n - 1."""
    url = tmp_path / "t"
    delta.create(str(url), SCHEMA)
    age(url, 30)
    grow(url, 0, 2)
    age(url, 10)
    grow(url, 2, 5)
    return url


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def test_a_version_has_the_rows_that_it_had(table: Path) -> None:
    assert [content(table, version) for version in range(6)] == [list(range(version)) for version in range(6)]


@pytest.mark.parametrize(
    ("days", "version"), [(39.9, 0), (10.1, 0), (9.9, 2), (0.1, 2), (-1, 5)], ids=lambda value: str(value)
)
def test_a_moment_is_the_version_that_was_current_then(table: Path, days: float, version: int) -> None:
    found = versions.snapshot(str(table), ago(days))
    assert found is not None
    assert found.version == version
    assert content(table, ago(days)) == list(range(version))


def test_a_moment_without_a_zone_is_utc(table: Path) -> None:
    assert content(table, ago(5).replace(tzinfo=None)) == [0, 1]


def test_a_moment_means_the_same_after_the_lake_was_copied(table: Path, tmp_path: Path) -> None:
    """deltalake itself goes by the times of the log's files, which a copy does not keep."""
    copy = tmp_path / "copy"
    shutil.copytree(table, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path)
    assert content(copy, ago(5)) == [0, 1]


def test_the_exact_moment_of_a_commit_has_it(table: Path) -> None:
    times = dict(versions.timestamps(newest(table)))
    assert versions.version_at(newest(table), times[2]) == 2
    assert versions.version_at(newest(table), times[1] - timedelta(milliseconds=1)) == 0


def test_a_moment_before_the_first_version_is_told_with_that_of_the_first(table: Path) -> None:
    made = dict(versions.timestamps(newest(table)))[0]
    with pytest.raises(UsageError, match=rf"first version, 0, was written at {made:%Y-%m-%d %H:%M:%S} UTC"):
        versions.snapshot(str(table), ago(41))


@pytest.mark.parametrize("version", [6, 99, -1])
def test_a_version_that_never_was_is_told_with_those_that_are(table: Path, version: int) -> None:
    with pytest.raises(UsageError, match=rf"found version {version}; expected 0 to 5"):
        versions.snapshot(str(table), version)


def test_a_table_that_was_never_made_is_none(tmp_path: Path) -> None:
    assert versions.snapshot(str(tmp_path / "none"), 3) is None


def test_a_version_whose_files_are_gone_is_told_with_those_that_can_be_read(table: Path) -> None:
    opened = newest(table)
    before = versions.data_files(opened)
    opened.optimize.compact()
    (table / next(iter(versions.data_files(delta_at(table, 1))))).unlink()
    assert len(before) == 5
    with pytest.raises(UsageError, match=r"version 3 can't be read any more: 1 of its 3 files .* versions: 0, 6\.$"):
        versions.snapshot(str(table), 3)
    assert content(table) == [0, 1, 2, 3, 4]


def delta_at(url: Path, version: int) -> delta.Table:
    opened = delta.open_table(str(url), version)
    assert opened is not None
    return opened


def test_a_long_history_is_looked_through(tmp_path: Path) -> None:
    url = tmp_path / "long"
    delta.create(str(url), SCHEMA)
    grow(url, 0, 3)
    age(url, 10)
    grow(url, 3, 73)
    assert versions.version_at(newest(url), ago(5)) == 3
    assert versions.readable_versions(newest(url)) == list(range(74))


@pytest.mark.parametrize(
    ("found", "told"),
    [([], "none"), ([4], "4"), ([0, 1, 2], "0-2"), ([0, 2, 3, 9], "0, 2-3, 9")],
    ids=["none", "one", "a span", "several"],
)
def test_versions_in_words(found: list[int], told: str) -> None:
    assert versions.format_ranges(found) == told
