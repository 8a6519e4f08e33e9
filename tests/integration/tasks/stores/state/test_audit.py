"""The audit: who did what, who was champion when, what a crash left open."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from tasks.stores.settings import Settings
from tasks.stores.state.audit import MOVE_CHAMPION, Audit, ChampionPeriod, Phase
from tests.support.world import ROOT

START = datetime(2026, 1, 5, 12, tzinfo=UTC)

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tasks.stores.state.audit import Audit
from tasks.stores.settings import Settings
audit = Audit(Settings(home=Path(sys.argv[1])))
for number in range(int(sys.argv[3])):
    audit.write("demand", "train", "done", at=datetime(2026, 1, 5, tzinfo=UTC), actor=sys.argv[2], reason="",
                details={"n": number})
print("written", flush=True)
sys.stdin.read()
"""


def move(
    audit: Audit, version: int, phase: Phase, hours: int, intent: int | None = None, pipeline: str = "demand"
) -> int:
    return audit.write(
        pipeline,
        MOVE_CHAMPION,
        phase,
        at=START + timedelta(hours=hours),
        actor="ana",
        reason=f"version {version}",
        details={"version": version},
        intent=intent,
    )


def test_an_entry_comes_back_as_it_was_written(settings: Settings) -> None:
    at = datetime(2026, 1, 5, 14, 30, 15, 123456, tzinfo=timezone(timedelta(hours=2)))
    details = {"version": 3, "nested": {"ü": [1.5, None, True]}}
    number = Audit(settings).write("demand", "x", "intent", at=at, actor="Ana", reason='because\n"so"', details=details)  # type: ignore[arg-type]  # JSON, nested
    (entry,) = Audit(settings).entries("demand")
    assert (entry.id, entry.action, entry.phase, entry.intent) == (number, "x", "intent", None)
    assert (entry.actor, entry.reason, entry.details) == ("Ana", 'because\n"so"', details)
    assert entry.at == at
    assert entry.at.utcoffset() == timedelta(0)


def test_entries_are_of_one_pipeline_and_in_order(settings: Settings) -> None:
    audit = Audit(settings)
    numbers = [move(audit, one, "done", hours=-one, pipeline=name) for one in range(3) for name in ("demand", "supply")]
    assert [entry.id for entry in audit.entries("demand")] == numbers[0::2]
    assert [entry.id for entry in audit.entries("supply", MOVE_CHAMPION)] == numbers[1::2]
    assert audit.entries("supply", "train") == []
    assert audit.entries("nobody") == []
    assert audit.pipelines() == ["demand", "supply"]


def test_there_is_no_champion_before_the_first(settings: Settings) -> None:
    audit = Audit(settings)
    move(audit, 1, "intent", 0)
    assert audit.champion("demand") is None
    assert audit.champion_periods("demand") == []


def test_reigns_follow_each_other(settings: Settings) -> None:
    audit = Audit(settings)
    for hours, version in enumerate((1, 2, 1)):
        intent = move(audit, version, "intent", hours)
        move(audit, version, "done", hours, intent)
    move(audit, 9, "done", 50, pipeline="supply")
    times = [START + timedelta(hours=hours) for hours in range(3)]
    assert audit.champion_periods("demand") == [
        ChampionPeriod(version=1, since=times[0], until=times[1], actor="ana", reason="version 1"),
        ChampionPeriod(version=2, since=times[1], until=times[2], actor="ana", reason="version 2"),
        ChampionPeriod(version=1, since=times[2], until=None, actor="ana", reason="version 1"),
    ]
    assert audit.champion("demand") == 1


def test_an_abandoned_move_is_no_reign(settings: Settings) -> None:
    audit = Audit(settings)
    move(audit, 1, "done", 0, move(audit, 1, "intent", 0))
    move(audit, 2, "abandoned", 1, move(audit, 2, "intent", 1))
    assert audit.champion("demand") == 1
    assert audit.champion_periods("demand")[0].until is None


def test_an_intent_is_open_until_done_or_abandoned(settings: Settings) -> None:
    audit = Audit(settings)
    first, second, third = (move(audit, version, "intent", 0) for version in (1, 2, 3))
    other = move(audit, 4, "intent", 0, pipeline="supply")
    assert [entry.id for entry in audit.open_intents("demand", MOVE_CHAMPION)] == [first, second, third]
    move(audit, 2, "done", 1, second)
    move(audit, 1, "abandoned", 1, first)
    (left,) = audit.open_intents("demand", MOVE_CHAMPION)
    assert (left.id, left.details) == (third, {"version": 3})
    assert [entry.id for entry in audit.open_intents("supply", MOVE_CHAMPION)] == [other]
    assert audit.open_intents("demand", "train") == []


def test_a_second_engine_sees_what_the_first_wrote(settings: Settings) -> None:
    first, second = Audit(settings), Audit(settings)
    move(first, 1, "done", 0)
    assert second.champion("demand") == 1
    move(second, 2, "done", 1)
    assert first.champion("demand") == 2
    assert Audit(settings).champion("demand") == 2


def test_every_write_is_synced_to_disk(settings: Settings) -> None:
    with Audit(settings)._engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


def test_what_a_killed_process_wrote_stays(settings: Settings) -> None:
    command = [sys.executable, "-c", WRITER, str(settings.root), "one", "5"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert [entry.details["n"] for entry in Audit(settings).entries("demand")] == [0, 1, 2, 3, 4]


def test_processes_that_write_at_once_lose_nothing(settings: Settings) -> None:
    commands = [[sys.executable, "-c", WRITER, str(settings.root), name, "20"] for name in ("one", "two", "three")]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    for process in processes:
        assert process.communicate(timeout=120)[0] == "written\n"
    entries = Audit(settings).entries("demand")
    assert len({entry.id for entry in entries}) == 60
    for name in ("one", "two", "three"):
        assert [entry.details["n"] for entry in entries if entry.actor == name] == list(range(20))


def test_an_entry_is_frozen(settings: Settings) -> None:
    audit = Audit(settings)
    move(audit, 1, "done", 0)
    with pytest.raises(ValidationError, match="frozen"):
        audit.entries("demand")[0].actor = "bob"  # type: ignore[misc]  # that it can't be set is the test
