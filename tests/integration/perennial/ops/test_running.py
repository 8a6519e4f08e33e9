"""Whether `up` runs in a home: given by a lock, which goes when its process does."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from perennial.ops.running import Running, answers, health, only_one, running
from tasks.errors import UsageError
from tasks.stores.settings import Settings
from tests.support.world import ROOT

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = Running(
    pid=7,
    since=SINCE,
    prefect="http://127.0.0.1:9",
    mlflow="http://127.0.0.1:9",
    serving="http://127.0.0.1:9",
    log="up.log",
)
HOLD = """
import os, time
from datetime import UTC, datetime
from perennial.ops.running import Running, only_one
from tasks.stores.settings import load_settings
address = "http://127.0.0.1:9"
here = {"prefect": address, "mlflow": address, "serving": address}
record = Running(pid=os.getpid(), since=datetime.now(UTC), **here, log="up.log")
with only_one(load_settings(), record):
    print("holds", flush=True)
    time.sleep(600)
"""


def test_nothing_runs_in_a_new_home(settings: Settings) -> None:
    assert running(settings) is None
    assert health(None).message == "nothing runs here; `perennial up` starts it"


def test_one_that_runs_is_seen_as_it_tells_of_itself_and_not_once_it_has_ended(settings: Settings) -> None:
    with only_one(settings, RECORD) as announce:
        assert running(settings) == RECORD
        announce(RECORD.model_copy(update={"ready": True, "log": "x"}))
        found = running(settings)
        assert found is not None
        assert (found.ready, found.log, found.api) == (True, "x", "http://127.0.0.1:9/api")
    assert running(settings) is None


def test_a_second_is_refused_with_what_to_do(settings: Settings) -> None:
    with only_one(settings, RECORD):
        with pytest.raises(UsageError, match=r"`perennial up` runs in .* already; `perennial down` ends it\."):
            only_one(settings, RECORD).__enter__()
        assert running(settings) == RECORD, "the first goes on"
    with only_one(settings, RECORD):
        assert running(settings) == RECORD


def test_one_that_was_killed_holds_nothing(settings: Settings) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "holds\n"
        found = running(settings)
        assert found is not None
        assert found.pid == child.pid
        with pytest.raises(UsageError, match="already"):
            only_one(settings, RECORD).__enter__()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert running(settings) is None
    with only_one(settings, RECORD):
        assert running(settings) == RECORD


def test_who_looks_does_not_keep_it_from_starting(settings: Settings) -> None:
    """A look holds the lock for a moment: a start waits for that."""
    for _ in range(20):
        running(settings)
        with only_one(settings, RECORD):
            assert running(settings) == RECORD


def test_health_tells_which_server_answers(settings: Settings, server: str) -> None:
    up = RECORD.model_copy(update={"prefect": server.removesuffix("/api"), "ready": True})
    assert answers(f"{server}/health")
    found = health(up)
    assert found.states == {"prefect": "up", "mlflow": "no answer", "serving": "no answer", "up": "ready"}
    assert found.message.startswith("up since 2026-01-01 00:00 UTC (process 7); prefect http://127.0.0.1:")
    assert found.message.endswith("mlflow http://127.0.0.1:9 no answer; serving http://127.0.0.1:9 no answer")
