"""Which version was live when: what the audit's moves say, at every moment."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.reporting.champions import ChampionAt, champion_at, parse_time, text
from tasks.errors import UsageError
from tasks.stores.state.audit import MOVE_CHAMPION, Audit, ChampionPeriod
from tests.support.command import Cli
from tests.support.world import ROOT, World

START = datetime(2026, 3, 1, 4, 15, tzinfo=UTC)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def champion_periods(*hours: int) -> list[ChampionPeriod]:
    """Versions 1, 2, … that became champion so many hours after the start."""
    since = [START + timedelta(hours=one) for one in hours]
    until = [*since[1:], None]
    return [
        ChampionPeriod(version=number, since=one, until=end, actor="ana", reason=f"reason {number}")
        for number, (one, end) in enumerate(zip(since, until, strict=True), start=1)
    ]


moves = st.lists(st.integers(0, 500), min_size=1, max_size=8).map(sorted)


@given(moves, st.integers(0, 600))
def test_exactly_one_version_is_live_from_the_first_move_on(hours: list[int], asked: int) -> None:
    """The last one moved there until then: given by going through the moves one by one."""
    at = START + timedelta(hours=hours[0] + asked)
    expected = 0
    for version, hour in enumerate(hours, start=1):
        if START + timedelta(hours=hour) <= at:
            expected = version
    found = champion_at("p", champion_periods(*hours), at)
    assert found.version == expected
    assert found.since <= at
    assert found.until is None or at < found.until
    assert found.reason == f"reason {expected}"


@given(moves)
def test_reigns_follow_each_other_without_a_gap(hours: list[int]) -> None:
    """Asking at each end leads to the next, until one that still is champion."""
    told: list[ChampionAt] = [champion_at("p", champion_periods(*hours), START + timedelta(hours=hours[0]))]
    while told[-1].until is not None:
        told.append(champion_at("p", champion_periods(*hours), told[-1].until))
    assert [one.version for one in told] == [
        version for version, hour in enumerate(hours, start=1) if hour not in hours[version:]
    ]
    for one, following in pairwise(told):
        assert (one.until, one.next_version) == (following.since, following.version)


@given(moves, st.integers(1, 10_000))
def test_before_the_first_move_nothing_was_live(hours: list[int], seconds: int) -> None:
    at = START + timedelta(hours=hours[0]) - timedelta(seconds=seconds)
    with pytest.raises(UsageError, match=r"no model was live at .* yet: the first, version 1, became champion at"):
        champion_at("p", champion_periods(*hours), at)


def test_without_any_champion_the_message_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"none has become champion since. `perennial run p` trains the first"):
        champion_at("p", [], START)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00:30", datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)),
        ("2026-03-01T12:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00+05:30", datetime(2026, 3, 1, 6, 30, tzinfo=UTC)),
    ],
)
def test_times_are_read_with_and_without_a_zone(told: str, meant: datetime) -> None:
    assert parse_time(told, NOW) == meant


@pytest.mark.parametrize("told", ["", "yesterday", "2026-13-01", "12:00", "0001-01-01T00:00+14:00", "1767225600000"])
def test_what_is_no_time_is_told(told: str) -> None:
    with pytest.raises(UsageError, match="expected a time, such as 2026-03-01"):
        parse_time(told, NOW)


def test_a_time_to_come_is_told() -> None:
    with pytest.raises(UsageError, match="2026-11-21 00:01 UTC is in the future, now it is 2026-11-21 00:00 UTC"):
        parse_time("2026-11-21T00:01", NOW)


def test_the_text_says_since_until_who_and_why() -> None:
    first, last = (champion_at("p", champion_periods(0, 30), START + timedelta(hours=hour)) for hour in (1, 40))
    assert text(first).splitlines() == [
        "p: version 1 was live at 2026-03-01 05:15 UTC",
        "  since  2026-03-01 04:15 UTC",
        "  until  2026-03-02 10:15 UTC, replaced by version 2",
        "  by     ana",
        "  why    reason 1",
    ]
    assert "until  now" in text(last)


def test_the_command_asks_the_audit_alone(world: World, cli: Cli) -> None:
    world.pipeline("trip")
    assert cli("status", "trip", "--at", "2026-03-02").code == 2
    audit = Audit(world.settings)
    for version, day in ((1, 1), (2, 8)):
        details = {"version": version, "previous": None}
        audit.write(
            "trip",
            MOVE_CHAMPION,
            "done",
            at=START.replace(day=day),
            actor="ana",
            reason=f"better {version}",
            details=details,  # type: ignore[arg-type]  # a dict of what JSON has
        )
    found = cli("status", "trip", "--at", "2026-03-07T12:00", "--json").json()
    assert found == {
        "pipeline": "trip",
        "at": "2026-03-07T12:00:00Z",
        "version": 1,
        "since": "2026-03-01T04:15:00Z",
        "until": "2026-03-08T04:15:00Z",
        "next_version": 2,
        "actor": "ana",
        "reason": "better 1",
    }
    assert "version 2 was live" in cli("status", "trip", "--at", "2026-03-08T04:15").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trip", "--at", "2026-02-01"], "none has become champion since"),
        (["trip", "--at", "soon"], "expected a time"),
        (["trip", "--at", "2999-01-01"], "is in the future"),
        (["--at", "2026-03-01"], "name it"),
    ],
)
def test_a_wrong_use_is_told(world: World, cli: Cli, words: list[str], says: str) -> None:
    world.pipeline("trip")
    said = cli("status", *words)
    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_it_costs_no_heavy_import() -> None:
    modules = "perennial.cli.main, perennial.reporting.champions, tasks.stores.state.audit"
    code = f"import {modules}, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"prefect", "mlflow", "pandas", "sklearn"} & set(loaded.split())
