"""kill -9 at several moments of a run with its own server: the next run goes on, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tasks.stores.lake.schemas import ROW_ID
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.state.audit import MOVE_CHAMPION, Audit
from tasks.stores.state.candidates import evaluated
from tests.support.command import perennial
from tests.support.processes import PATIENCE, Process, await_end, processes
from tests.support.world import World, make_world, trips, write

NAME = "killed"
FILES = 6
ROWS = 60
# What lands before each kill; what is waited for: a commit to a table, or a line of progress; and how much longer, up
# to so many seconds, drawn with a seed.
MOMENTS = (
    ((0, 1), "lake:observations", 0.0),  # accepted rows are written, refused ones are not
    ((2, 3), "lake:quarantine", 0.0),  # rows are written, the ledger does not know
    ((4,), "✓ features ", 0.8),  # training or evaluating
    ((5,), "✓ evaluation ", 0.15),  # deploying, and what the run before may have judged is recovered
)


def commits(world: World, table: str) -> int:
    return len(list((world.home / "lake" / NAME / table / "_delta_log").glob("*[1-9]*.json")))


def await_commit(run: subprocess.Popen[str], world: World, table: str) -> None:
    """Wait for a commit to a table beyond its making."""
    before, deadline = commits(world, table), time.monotonic() + PATIENCE
    while commits(world, table) == before:
        assert run.poll() is None, f"the run ended without a commit to {table}"
        assert time.monotonic() < deadline, f"no commit to {table}"
        time.sleep(0.001)


def await_line(run: subprocess.Popen[str], words: str) -> None:
    """Wait for a line of progress."""
    assert run.stderr is not None
    lines = []
    for line in run.stderr:
        lines.append(line)
        if words in line:
            return
    raise AssertionError(f"the run ended without telling {words!r}: {''.join(lines)}")


def kill_at(world: World, moment: str, delay: float) -> tuple[bool, set[Process]]:
    """Start a run and kill it at a moment; whether it still ran then, and its children."""
    run = perennial("run", NAME, home=world.home, configs=world.configs)
    try:
        place, _, table = moment.partition(":")
        if place == "lake":
            await_commit(run, world, table)
        else:
            await_line(run, moment)
        time.sleep(delay)
        children = processes(run.pid)
    finally:
        run.kill()
        run.communicate()
    return run.returncode == -signal.SIGKILL, children


def land(world: World, numbers: Sequence[int]) -> None:
    for number in numbers:
        rows = trips(number * ROWS, ROWS + 5, seed=number)  # five keys stand in the next file, too
        rows.loc[rows.index[0], "x1"] = 5000.0  # and a row is for quarantine
        write(world.landing(NAME) / f"part-{number}.csv", rows)


def lake_rows(world: World) -> list[dict[str, object]]:
    """Observations sorted by identity, without the number of their batch, which may differ with the order."""
    table = Lake(world.settings, world.config(NAME)).read("observations")
    return list(table.drop_columns(["_seq"]).sort_by(ROW_ID).to_pylist())


def ledger_lines(world: World) -> list[tuple[object, ...]]:
    lines = world.ledger(NAME).values()
    return sorted((one.path, one.batch, one.verdict, one.rows, one.accepted, one.quarantined) for one in lines)


@pytest.fixture
def undisturbed(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same files taken in by a run that nobody killed."""
    from flows.ingest import ingest

    with pytest.MonkeyPatch.context() as patch:
        calm = make_world(tmp_path / "calm", tmp_path / "configs", patch)
        calm.pipeline(NAME)
        for numbers, _, _ in MOMENTS:
            land(calm, numbers)
            if numbers:
                ingest(NAME)
    return calm


def test_killed_runs_lose_nothing_double_nothing_and_leave_no_server(
    undisturbed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaken = make_world(tmp_path / "shaken", undisturbed.configs, monkeypatch)
    rng = np.random.default_rng(20261120)
    killed = 0
    for numbers, moment, most in MOMENTS:
        land(shaken, numbers)
        ran, children = kill_at(shaken, moment, float(rng.uniform(0.0, most)))
        killed += ran
        assert children or not ran, f"at {moment!r} the run had no server of its own"
        left = await_end(children)
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)  # ours, and the test fails: nothing is to stay behind
        assert not left, f"killed at {moment!r}, {len(left)} child processes stayed"
        ids = shaken.row_ids(NAME)
        assert len(ids) == len(set(ids)), f"rows stand twice after a kill at {moment!r}"
        assert Audit(shaken.settings).champion(NAME) in (None, shaken.alias(NAME))
    assert killed >= len(MOMENTS) - 1  # the last moment is close to the end

    last = perennial("run", NAME, "--json", home=shaken.home, configs=shaken.configs)
    _, complaint = last.communicate(timeout=200)
    assert last.returncode == 0, complaint

    assert lake_rows(shaken) == lake_rows(undisturbed)
    assert ledger_lines(shaken) == ledger_lines(undisturbed)
    assert len(ledger_lines(shaken)) == FILES
    audit = Audit(shaken.settings)
    assert not audit.open_intents(NAME, "candidate")
    assert not audit.open_intents(NAME, MOVE_CHAMPION)
    outcomes = [outcome for _, _, outcome, _ in evaluated(audit, NAME)]
    assert outcomes
    assert set(outcomes) <= {"promoted", "kept_champion"}
    assert outcomes.count("promoted") == len(audit.champion_periods(NAME))

    from tasks.stores.registry.tracking import Tracking

    champion = Tracking(shaken.settings, NAME).champion()
    assert champion is not None
    assert champion.version == audit.champion(NAME)
    assert models.verify_probe(Path(champion.folder)) == ""
    quarantine = Lake(shaken.settings, shaken.config(NAME)).read("quarantine").num_rows
    assert quarantine == Lake(undisturbed.settings, undisturbed.config(NAME)).read("quarantine").num_rows > 0
