"""Upkeep that is killed loses nothing, and the next run does the rest."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tasks.stores.lake import versions
from tests.support.upkeep import NAME, age_lake, at, content, keep, lake, newest, three_files
from tests.support.world import ROOT, World, trips


@pytest.fixture
def small(world: World, server: str) -> World:
    """Three files taken in one by one, no model."""
    return three_files(world)


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from tasks.stores.lake import maintenance
real = maintenance.delete_files
def dies(opened, names):
    names = list(names)
    real(opened, names[: len(names) // int(sys.argv[2])] if int(sys.argv[2]) else [])
    if names:
        os.kill(os.getpid(), signal.SIGKILL)
maintenance.delete_files = dies
from flows.upkeep import upkeep as flow
flow(sys.argv[1])
"""


@pytest.mark.parametrize("part", [0, 2], ids=["between merging and freeing", "half-way through freeing"])
def test_killed_it_loses_nothing_and_the_next_run_does_the_rest(small: World, part: int) -> None:
    from tests.support.direct import ingest

    keep(small)
    age_lake(small, 40)
    small.pipeline(NAME, {"upkeep": {"compact_files": 2, "keep_days": 1}})
    small.land(NAME, "last.csv", trips(200, 20, seed=9))
    ingest(NAME)
    expected, last = content(small, "observations"), newest(small, "observations")
    ledger, entered = lake(small).ledger(), newest(small, "batches")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, NAME, str(part)], cwd=ROOT, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert newest(small, "batches") == entered + 1, "it was killed in the first table, which it had merged"
    assert lake(small).ledger() == ledger
    assert content(small, "observations") == expected
    report = keep(small)
    assert (newest(small, "batches"), newest(small, "observations")) == (entered + 1, last + 1)
    assert lake(small).ledger() == ledger
    assert content(small, "observations") == expected == content(small, "observations", last)
    assert report.freed_files > 0
    for table, before in (("batches", entered), ("observations", last)):
        folder = small.home / "lake" / NAME / table
        young = {*versions.data_files(at(small, table, before)), *versions.data_files(at(small, table, before + 1))}
        assert {path.name for path in folder.glob("*.parquet*")} == young, table
