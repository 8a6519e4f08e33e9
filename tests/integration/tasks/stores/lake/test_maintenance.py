"""What is freed of a table, and that every version that is kept can be read row by row afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.errors import UsageError
from tasks.stores.lake import delta, maintenance, versions
from tests.support.ageing import age
from tests.support.world import ROOT

SCHEMA = pa.schema([("a", pa.int64()), ("s", pa.string())])
WIDER = pa.schema([*SCHEMA, ("late", pa.float64())])


def add(url: Path, first: int, last: int, schema: pa.Schema = SCHEMA) -> None:
    """A commit of ten rows for each number, each under its own transaction."""
    for number in range(first, last):
        values = {"a": [number] * 10, "s": [f"row {number}"] * 10, "late": [0.5] * 10}
        rows = pa.table({name: values[name] for name in schema.names}, schema=schema)
        assert delta.append_once(str(url), schema, [delta.TransactionRows(f"batch-{number}", number, rows)]) == 1


def newest(url: Path) -> delta.Table:
    opened = delta.open_table(str(url))
    assert opened is not None
    return opened


def content(url: Path, version: int | None = None) -> list[tuple[object, ...]]:
    found = versions.snapshot(str(url), version)
    assert found is not None
    return sorted(tuple(row.values()) for row in delta.read(found.table, ["a", "s"]).to_pylist())


def keep(url: Path, since: int, kept: tuple[int, ...] = ()) -> dict[str, int]:
    """Free what neither `kept` versions nor those from `since` on have; what was freed."""
    opened = newest(url)
    found = maintenance.unreferenced_files(str(url), opened, since, kept)
    maintenance.delete_files(opened, found)
    return found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve commits of ten rows, the last four with a further column, merged in version 13, all forty days old."""
    url = tmp_path / "t"
    delta.create(str(url), SCHEMA)
    add(url, 0, 8)
    add(url, 8, 12, WIDER)
    assert maintenance.compact(newest(url)) == 12
    age(url, 40)
    return url


def test_merging_changes_no_row_and_no_transaction(table: Path) -> None:
    assert content(table, 13) == content(table, 12)
    assert delta.read(newest(table)).column("late").null_count == 80
    assert len(versions.data_files(newest(table))) == 1
    assert maintenance.checkpoint(newest(table))
    assert [newest(table).transaction_version(f"batch-{one}") for one in range(12)] == list(range(12))
    assert delta.append_once(str(table), SCHEMA, [delta.TransactionRows("batch-3", 3, delta.read(newest(table)))]) == 0


def test_merging_again_finds_nothing(table: Path) -> None:
    before = newest(table).version()
    assert maintenance.compact(newest(table)) == 0
    assert newest(table).version() == before


def test_kept_versions_are_read_row_by_row_though_the_log_is_forty_days_old(table: Path) -> None:
    expected = {version: content(table, version) for version in range(14)}
    maintenance.checkpoint(newest(table))
    freed = keep(table, since=13, kept=(3, 9))
    assert len(freed) == 3  # files of commits 10 to 12: version 9 has those before
    assert sum(freed.values()) > 0
    for version in [*range(10), 13]:
        assert content(table, version) == expected[version]
    for version in (10, 11, 12):
        with pytest.raises(UsageError, match=r"removed by upkeep\. Readable versions: 0-9, 13\."):
            content(table, version)
    assert keep(table, since=13, kept=(3, 9)) == {}


def test_what_nobody_refers_to_is_gone_from_the_disk(table: Path) -> None:
    before = {path.name: path.stat().st_size for path in table.glob("*.parquet")}
    freed = keep(table, since=13)
    after = {path.name for path in table.glob("*.parquet")}
    assert after == set(versions.data_files(newest(table)))
    assert freed == {name: size for name, size in before.items() if name not in after}


def test_versions_of_yesterday_stay_though_a_checkpoint_has_forgotten_what_was_removed(tmp_path: Path) -> None:
    """Written a hundred days ago, merged ten days ago: deltalake's own vacuum of thirty days frees the files."""
    url = tmp_path / "t"
    delta.create(str(url), SCHEMA)
    add(url, 0, 12)
    age(url, 90)
    maintenance.compact(newest(url))
    age(url, 10)
    assert maintenance.checkpoint(newest(url))
    add(url, 12, 13)
    by_vacuum = newest(url).vacuum(30 * 24, dry_run=True, full=True)
    assert len(by_vacuum) == 12, "no longer so: unneeded() need not read the log itself"
    expected = {version: content(url, version) for version in range(5, 13)}
    assert keep(url, since=5) == {}
    assert {version: content(url, version) for version in range(5, 13)} == expected


def test_young_files_are_left_whatever_is_kept(tmp_path: Path) -> None:
    """A write that is under way has files that no version has yet."""
    url = tmp_path / "t"
    delta.create(str(url), SCHEMA)
    add(url, 0, 3)
    maintenance.compact(newest(url))
    writing = url / "part-00000-under-way-c000.snappy.parquet"
    writing.write_bytes(b"not whole yet")
    assert keep(url, since=4) == {}
    old = time.time() - 2 * 3600
    os.utime(writing, (old, old))
    assert list(keep(url, since=4)) == [writing.name]


def test_files_of_another_kind_are_not_ours_to_free(table: Path) -> None:
    for name in ("README.txt", "_notes.parquet", "sub/data.csv"):
        path = table / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept", encoding="utf-8")
    age(table, 1)
    keep(table, since=13)
    assert all((table / name).is_file() for name in ("README.txt", "_notes.parquet", "sub/data.csv"))


def test_a_log_with_a_hole_frees_nothing(table: Path) -> None:
    maintenance.checkpoint(newest(table))
    (table / "_delta_log" / f"{11:020}.json").unlink()
    files = sorted(table.glob("*.parquet"))
    with pytest.raises(maintenance.UpkeepError, match=r"no commit before version 12 .* Nothing was freed"):
        keep(table, since=2)
    assert sorted(table.glob("*.parquet")) == files


def test_a_kept_version_that_was_lost_before_is_told_and_the_rest_of_it_kept(table: Path) -> None:
    (table / next(iter(versions.data_files(at(table, 1))))).unlink()
    assert maintenance.count_missing_files(str(table), 4) == 1
    keep(table, since=13, kept=(4,))
    assert maintenance.count_missing_files(str(table), 4) == 1


def at(url: Path, version: int) -> delta.Table:
    opened = delta.open_table(str(url), version)
    assert opened is not None
    return opened


def test_a_checkpoint_is_written_once_for_some_commits(tmp_path: Path) -> None:
    url = tmp_path / "t"
    delta.create(str(url), SCHEMA)
    add(url, 0, 5)
    assert not maintenance.checkpoint(newest(url))
    add(url, 5, 11)
    assert maintenance.checkpoint(newest(url))
    assert not maintenance.checkpoint(newest(url))


KILLED = """
import sys, pyarrow as pa
from tasks.stores.lake import delta
schema = pa.schema([("a", pa.int64())])
rows = pa.table({"a": range(2_000_000)})
delta.create(sys.argv[1], schema)
print("ready", flush=True)
while True:
    delta.append(sys.argv[1], schema, rows)
"""


def test_what_killed_writes_leave_is_found_once_it_is_old(tmp_path: Path) -> None:
    url = tmp_path / "t"
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(url)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        left = stopped_in_a_write(run, url)
    finally:
        run.kill()
        run.communicate()
    assert maintenance.leftover_drafts(str(url)) == {}, "young: it may be a write that is under way"
    age(url, 1)
    assert maintenance.leftover_drafts(str(url)) == {str(path): path.stat().st_size for path in left}
    assert maintenance.leftover_drafts("s3://bucket/t") == {}


def stopped_in_a_write(run: subprocess.Popen[str], url: Path) -> list[Path]:
    """Stop a process that writes while it has a file half written; these files."""
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any("#" in path.name for path in url.iterdir()):
            run.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, run.pid, os.WSTOPPED)
            left = [path for path in url.iterdir() if "#" in path.name]
            if left:
                return left
            run.send_signal(signal.SIGCONT)
    raise AssertionError("no stop met a write")
