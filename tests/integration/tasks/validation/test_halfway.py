"""A run that dies between two writes: the next one goes on, whatever has landed or changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accounts, crash_child
from tasks.records.data import BatchRecord, StagedBatch
from tasks.stores.lake.partial_commits import delete_orphan_duplicates
from tasks.stores.lake.tables import Lake
from tests.support.validation.batches import Home, pipeline
from tests.support.world import write

pytestmark = pytest.mark.system
HEADER = "id,place,at,x\n"
LATEST = "{duplicate_key: keep_last}"
WRITES = ("duplicates", "observations", "quarantine", "expectations", "batches")


class DiedError(Exception):
    """The run ended here."""


@contextmanager
def dying(table: str) -> Iterator[None]:
    """A run that dies as it begins to write to a table."""
    kept = {name: getattr(Lake, name) for name in ("append_parts_once", "merge_parts_once")}

    def until(name: str) -> Any:
        def write(lake: Lake, where: str, *arguments: Any) -> Any:
            if where == table:
                raise DiedError
            return kept[name](lake, where, *arguments)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for name in kept:
            patch.setattr(Lake, name, until(name))
        with pytest.raises(DiedError):
            yield


def rows(*lines: str) -> str:
    return HEADER + "".join(f"{line}\n" for line in lines)


def faults(home: Home) -> list[str]:
    return accounts.faults(home.config, home.settings)


def by_path(records: list[BatchRecord]) -> dict[str, BatchRecord]:
    return {one.path: one for one in records}


OLD = rows("1,a,2026-01-01,1", "2,a,2026-01-01,2", "3,a,2026-01-01,3")
MINE = rows("1,a,2026-01-02,11", "2,a,2026-01-01,2", "4,a,2026-01-02,4", "4,a,2026-01-02,4", "5,a,2026-01-02,500")
THEIRS = rows("1,a,2026-01-03,21", "3,a,2026-01-02,23", "4,a,2026-01-03,24", "6,a,2026-01-01,6")
ALL = [("1", 21.0), ("2", 2.0), ("3", 23.0), ("4", 24.0), ("6", 6.0)]


def values(home: Home) -> list[tuple[str, object]]:
    return [(str(key), x) for key, x in home.observations(("id", "x"))]


@pytest.mark.parametrize("table", WRITES)
@pytest.mark.parametrize("first", [True, False])
def test_another_file_lands_before_the_next_run(tmp_path: Path, table: str, first: bool) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    home.land("old.csv", OLD)
    mine = home.staged("mine.csv", MINE)
    with dying(table):
        home.commit_batches(mine)
    theirs = home.staged("theirs.csv", THEIRS)
    home.commit_batches(*([theirs, mine] if first else [mine, theirs]))
    assert values(home) == ALL
    assert faults(home) == []
    assert by_path(home.lake.ledger())["mine.csv"].quarantined == 1


@pytest.mark.parametrize("table", WRITES)
def test_another_file_is_taken_in_before_the_one_that_was_left(tmp_path: Path, table: str) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    home.land("old.csv", OLD)
    mine = home.staged("mine.csv", MINE)
    with dying(table):
        home.commit_batches(mine)
    home.land("theirs.csv", THEIRS)
    home.commit_batches(mine)
    assert values(home) == ALL
    assert faults(home) == []


@pytest.mark.parametrize("table", WRITES)
def test_a_run_that_dies_twice(tmp_path: Path, table: str) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    home.land("old.csv", OLD)
    mine, theirs = home.staged("mine.csv", MINE), home.staged("theirs.csv", THEIRS)
    with dying("batches"):
        home.commit_batches(mine)
    with dying(table):
        home.commit_batches(mine, theirs)
    home.commit_batches(theirs, mine)
    assert values(home) == ALL
    assert faults(home) == []


@pytest.mark.parametrize(
    ("table", "maximum", "count"), [("duplicates", 3, 3), ("quarantine", 3, 4), ("batches", 3, 4), ("batches", 900, 4)]
)
def test_other_rules_hold_for_the_next_run(tmp_path: Path, table: str, maximum: int, count: int) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    home.land("old.csv", OLD)
    mine = home.staged("mine.csv", MINE)
    with dying(table):
        home.commit_batches(mine)
    columns = dict(home.config.contract.columns)
    columns["x"] = columns["x"].model_copy(update={"maximum": float(maximum)})
    contract = home.config.contract.model_copy(update={"columns": columns})
    home.config = home.config.model_copy(update={"contract": contract})
    home.commit_batches(mine)
    assert len(values(home)) == count
    assert faults(home) == []


def test_a_file_that_can_not_be_read_any_more_came_in_all_the_same(tmp_path: Path) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    home.land("old.csv", OLD)
    mine = home.staged("mine.csv", MINE)
    with dying("batches"):
        home.commit_batches(mine)
    (record,) = home.commit_batches(StagedBatch(file=mine.file, refusal="too large by the limits of now"))
    assert (record.verdict, record.accepted, record.duplicates, record.superseded) == ("accepted", 2, 2, 1)
    assert "too large by the limits of now" in record.notes[-1]
    assert home.lake.dataset(home.lake.ledger()).rows == len(values(home)) == 4


def test_records_of_duplicates_go_with_a_file_that_never_came_in(tmp_path: Path) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    home.land("old.csv", OLD)
    with dying("observations"):
        home.commit_batches(home.staged("mine.csv", MINE))
    assert home.lake.read("duplicates").num_rows == 3
    assert delete_orphan_duplicates(home.lake, home.lake.ledger()) == 3
    assert delete_orphan_duplicates(home.lake, home.lake.ledger()) == 0
    home.land("theirs.csv", THEIRS)
    assert faults(home) == []


@pytest.mark.parametrize("gone", [False, True])
def test_a_run_for_one_file_goes_on_with_what_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    home = Home(tmp_path, pipeline(tmp_path, LATEST))
    monkeypatch.setenv("PERENNIAL_HOME", str(home.settings.home))
    for name, content in {"old.csv": OLD, "mine.csv": MINE}.items():
        write(home.settings.root / "landing" / "trips" / name, content)
    crash_child.ingest(home.config, home.settings, only=["old.csv"])
    with dying("quarantine"):
        crash_child.ingest(home.config, home.settings)
    draft = home.settings.state / "staging" / f".trips-{'0' * 64}.arrow.1"  # as kill -9 in the midst of reading leaves
    draft.touch()
    if gone:
        (home.settings.root / "landing" / "trips" / "mine.csv").unlink()
    write(home.settings.root / "landing" / "trips" / "theirs.csv", THEIRS)
    crash_child.ingest(home.config, home.settings, only=["theirs.csv"])
    ledger = by_path(home.lake.ledger())
    mine = next(one for path, one in ledger.items() if path.startswith("(gone)" if gone else "mine"))
    assert (mine.accepted, mine.duplicates, mine.superseded) == (2, 2, 1)
    assert mine.quarantined == (0 if gone else 1)
    assert values(home) == ALL
    assert not draft.exists()
    assert home.lake.dataset(home.lake.ledger()).rows == len(ALL)
    assert faults(home) == []


def test_a_refused_row_keeps_its_reason(tmp_path: Path) -> None:
    home = Home(tmp_path, pipeline(tmp_path))
    mine = home.staged("mine.csv", MINE)
    with dying("quarantine"):
        home.commit_batches(mine)
    home.commit_batches(mine, home.staged("theirs.csv", THEIRS))
    entries = home.lake.read("quarantine", ["path", "row", "expectation"]).sort_by("row").to_pylist()
    told = [(one["row"], one["expectation"]) for one in entries if one["path"] == "mine.csv"]
    assert told == [(4, "duplicate_key"), (5, "expect_column_values_to_be_between(x)")]
    assert faults(home) == []
