"""Upkeep of a living pipeline: nothing looks new, what anything refers to can be read, the rest is gone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.errors import UsageError
from tasks.lifecycle.due import due, is_idle
from tasks.lifecycle.up_to_date import fingerprint
from tasks.stores.lake import versions
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit
from tests.support.command import Cli
from tests.support.upkeep import (
    KEEPING,
    LABELS,
    NAME,
    age_lake,
    at,
    content,
    keep,
    lake,
    land,
    models,
    newest,
    of,
    three_files,
)
from tests.support.world import ROOT, World


@pytest.fixture(scope="module")
def story(module_world: World) -> dict[str, Any]:
    """A champion of two files; one more, then merged; two more and a model that waits for a person; two more.

    All of that is forty days old when upkeep runs again. What every version held is written down before.
    """
    world = module_world
    world.pipeline(NAME, {**KEEPING, **LABELS, "approval": {"required": False}})
    land(world, range(2))
    assert world.run(NAME).outcome == "promoted"
    land(world, range(2, 3))
    first = keep(world)
    land(world, range(3, 5))
    easier = {"comparison": {"mode": "non_inferiority"}}
    world.pipeline(NAME, {**KEEPING, **LABELS, "evaluation": easier, "retrain": {"new_rows": 250, "on_drift": False}})
    assert world.run(NAME).outcome == "awaiting_approval"
    land(world, range(5, 7))
    tables = ("observations", "labels")
    before = {(name, v): content(world, name, v) for name in tables for v in range(newest(world, name) + 1)}
    state = identity(world)
    merged, still = keep(world), identity(world)
    age_lake(world, 40)
    report = keep(world)
    reports = {"first": first, "merged": merged, "report": report}
    return {"world": world, "before": before, "states": (state, still, identity(world)), **reports}


def identity(world: World) -> dict[str, Any]:
    """What tells whether anything is new."""
    config = world.config(NAME)
    dataset = lake(world).dataset(lake(world).ledger())
    return {
        "dataset": dataset.model_dump(exclude={"observations", "labels"}),
        "fingerprint": fingerprint(config, lake(world)),
        "due": [one.flow for one in due(config, world.settings)],
        "ledger": lake(world).ledger(),
        "orphans": lake(world).orphans("observations", lake(world).ledger()),
    }


@pytest.mark.system
def test_small_files_are_merged_and_later_it_is_told_what_was_freed(story: dict[str, Any]) -> None:
    first, merged, report = story["first"], story["merged"], story["report"]
    for table, files in (("observations", (3, 5, 0)), ("labels", (3, 5, 0)), ("batches", (6, 9, 0))):
        assert (of(first, table).merged, of(merged, table).merged, of(report, table).merged) == files, table
        assert of(merged, table).files == 1
        assert of(report, table).freed_files > 0
        assert of(report, table).freed_bytes > 0
    assert first.freed_files == merged.freed_files == 0, "what was merged a moment ago is kept for thirty days"
    assert report.freed_bytes == sum(one.freed_bytes for one in report.tables)
    assert report.notes[-1].endswith("are left alone")


def test_nothing_looks_new_afterwards(story: dict[str, Any]) -> None:
    before, merged, freed = story["states"]
    assert before == merged == freed


def test_every_version_that_a_model_or_an_open_decision_refers_to_is_there_row_by_row(story: dict[str, Any]) -> None:
    world: World = story["world"]
    champion, challenger = models(world)
    [(_, waiting)] = candidates.waiting(Audit(world.settings), NAME)
    assert waiting.model.observations == challenger.observations
    assert champion.observations < challenger.observations < newest(world, "observations")
    for model in (champion, challenger):
        for table, version in (("observations", model.observations), ("labels", model.labels)):
            assert content(world, table, version) == story["before"][table, version]
    kept = {one.version: one.why for one in of(story["report"], "observations").kept}
    assert kept[champion.observations] == ("model version 1",)
    assert set(kept[challenger.observations]) == {
        "model version 2",
        f"the waiting candidate of run {challenger.run_id[:8]}",
        "the stored training set",
    }


def test_the_newest_version_has_the_rows_that_it_had(story: dict[str, Any]) -> None:
    world: World = story["world"]
    for table in ("observations", "labels"):
        last = max(version for name, version in story["before"] if name == table)
        assert content(world, table) == story["before"][table, last]


def test_versions_that_nobody_refers_to_are_gone_and_say_so(story: dict[str, Any]) -> None:
    world: World = story["world"]
    challenger = models(world)[1]
    gone = challenger.observations + 1
    with pytest.raises(UsageError, match=rf"version {gone} can't be read any more: 1 of its 4 .* removed by upkeep"):
        lake(world).read("observations", version=gone)
    folder = world.home / "lake" / NAME / "observations"
    then = [at(world, "observations"), *(at(world, "observations", model.observations) for model in models(world))]
    needed = {name for one in then for name in versions.data_files(one)}
    assert {path.name for path in folder.glob("*.parquet")} == needed


def test_a_second_run_finds_nothing_to_do(story: dict[str, Any]) -> None:
    world: World = story["world"]
    before = {name: newest(world, name) for name in lake(world).tables}
    again = keep(world)
    assert (again.freed_files, sum(one.merged for one in again.tables)) == (0, 0)
    assert {name: newest(world, name) for name in lake(world).tables} == before


def test_the_pages_say_the_same(story: dict[str, Any]) -> None:
    from tasks.upkeep.report import headline, page

    told = page(story["report"])
    assert told.startswith(f"# {headline(story['report'])}")
    assert "All versions that were current in the last 30 days are kept." in told
    assert "observations version 2 is kept: model version 1" in told


def test_a_waiting_candidate_is_answered_after_upkeep_as_before(story: dict[str, Any], cli: Cli) -> None:
    """The last of the story: it changes the world."""
    world: World = story["world"]
    assert cli("approve", f"{NAME}@2", "--reason", "as good").code == 0
    assert world.run(NAME).outcome in ("promoted", "kept_champion")
    assert world.alias(NAME) == 2
    settled = world.run(NAME)
    keep(world, now=datetime.now(UTC) + timedelta(days=1))
    assert settled.outcome == "nothing_to_do"
    assert is_idle(world.config(NAME), world.settings)
    assert cli("run", NAME, "--json").json()["outcome"] == "nothing_to_do"


# ------------------------------------------------------------------------------------------------ smaller stories
@pytest.fixture
def small(world: World, server: str) -> World:
    """Three files taken in one by one, no model."""
    return three_files(world)


def test_young_versions_stay_and_a_dry_run_changes_nothing(small: World, cli: Cli) -> None:
    first = newest(small, "observations")
    told = cli("upkeep", NAME, "--dry-run")
    assert told.code == 0, told.err
    assert told.out.startswith(f"{NAME}: 0 B would be freed (0 files)\n")
    assert newest(small, "observations") == first
    assert re.search(rf"^observations +{first} +3 +3 +0 B \(0\) +0 +–$", told.out, re.MULTILINE), told.out
    merged = keep(small)
    assert (of(merged, "observations").merged, merged.freed_files) == (3, 0)
    assert versions.readable_versions(at(small, "observations")) == list(range(first + 2))


def test_the_clock_ahead_frees_nothing_that_was_replaced_within_the_hour(small: World) -> None:
    small.pipeline(NAME, {"upkeep": {"compact_files": 3, "keep_days": 0}})
    keep(small)
    assert keep(small, now=datetime.now(UTC) + timedelta(days=400)).freed_files == 0


def test_without_a_word_of_its_version_a_model_keeps_all(small: World) -> None:
    from tasks.upkeep.references import model_references, unknown_versions

    assert small.run(NAME).outcome == "promoted"
    [model] = models(small)
    assert (model.observations, model.labels) == (newest(small, "observations"), None)
    old = list(model_references([model.model_copy(update={"observations": None})]))
    assert unknown_versions(old, "observations") == unknown_versions(old, "labels") == ("model version 1",)
    assert unknown_versions(list(model_references([model])), "labels") == ()


def test_what_killed_runs_left_in_staging_goes_after_a_day(small: World) -> None:
    staging = small.home / "state" / "staging"
    names = (f"{NAME}-score-1.arrow", f".{NAME}-2.arrow.77", f"{NAME}_other-3.arrow", f"{NAME}-young.arrow")
    day = time.time() - 25 * 3600
    for name in names:
        (staging / name).write_bytes(b"12345")
        if "young" not in name:
            os.utime(staging / name, (day, day))
    report = keep(small)
    assert (report.staged_files, report.staged_bytes) == (2, 10)
    assert {path.name for path in staging.iterdir()} == {names[2], names[3]}


def test_nobody_else_writes_meanwhile(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.stores.locks.lock import LockTimeoutError

    monkeypatch.setenv("PERENNIAL_LOCK_TIMEOUT", "0.3")
    for what in ("model", "data"):
        code = (
            "import sys\nfrom tasks.stores.locks.lock import hold\nfrom tasks.stores.settings import load_settings\n"
            f"with hold(load_settings(), '{NAME}.{what}'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            with pytest.raises(LockTimeoutError, match=what):
                keep(small)
        finally:
            holder.communicate("")
