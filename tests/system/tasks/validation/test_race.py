"""kill -9 while several processes take files in from one folder: each row is there once, or its fate is on record."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import accounts, crash, crash_child, crash_files
from configs import load
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import load_settings
from tests.support.validation import racers
from tests.support.world import ROOT


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is put back."""
    for name in ("PERENNIAL_HOME", "PERENNIAL_ACTOR"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("own_home")
def test_six_processes_race_and_are_killed(tmp_path: Path) -> None:
    ended = python("tests.support.validation.racers", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["failed"], told["errors"]) == ([], [])
    assert told["killed"] >= racers.KILLS
    assert told["steps"] >= 4

    config = load.read(tmp_path / f"{crash_files.NAME}.yaml")
    calm = tmp_path / "calm"
    shutil.copytree(tmp_path / "files", calm / "landing" / crash_files.NAME)
    found = {}
    for home in (tmp_path / "raced", calm):
        crash.use(home)
        settings = load_settings()
        crash_child.ingest(config, settings)
        assert accounts.faults(config, settings) == []
        ledger = Lake(settings, config).ledger()
        assert len({one.batch for one in ledger}) == len(ledger) == 30
        assert sum(one.quarantined for one in ledger) > 0
        assert home == calm or sum(one.superseded for one in ledger) > 0
        found[home.name] = (accounts.sums(ledger), accounts.observations(config, settings, crash_files.COLUMNS))
        assert crash_child.ingest(config, settings) == 0
    assert found["raced"] == found["calm"]


def test_kills_while_rows_are_given_back_and_the_lake_is_tended() -> None:
    ended = python("benchmarks.crash", "--kills", "15", "--seed", "3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the same as undisturbed, to the row" in ended.stdout
