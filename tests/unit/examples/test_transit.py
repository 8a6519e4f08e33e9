"""The simulated city: same seed and day, same rows; the files hold the tables; all of it said to be simulated."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.transit.city import ROUTES
from examples.transit.simulate import (
    ARRIVAL_COLUMNS,
    DELAY_COLUMNS,
    NOTICE,
    Scenario,
    arrivals,
    delays,
    land_arrivals,
    land_delays,
    main,
)

MONDAY = date(2026, 1, 5)
BASE = Scenario(seed=7, trips_per_day=600)
# Row 300 of BASE on MONDAY.
GOLDEN_ARRIVAL = {
    "arrival_id": "20260105-R12-0301",
    "scheduled_at": "2026-01-05T13:29:00Z",
    "route": "R12",
    "stop": "R12-S6",
    "weather": "clear",
    "temperature_c": 2.6,
    "load": 0.063,
    "headway_min": 11.6,
    "adherence_min": -1.23,
}
GOLDEN_DELAY = {"arrival_id": "20260105-R12-0301", "arrived_at": "2026-01-05T13:27:46Z", "delay_min": -1.233}

scenarios = st.builds(Scenario, seed=st.integers(0, 2**40), trips_per_day=st.integers(1, 80))
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))


@pytest.fixture(scope="module")
def january() -> pd.DataFrame:
    """Return four weeks of arrivals joined with delays."""
    span = [MONDAY + timedelta(days=offset) for offset in range(28)]
    return pd.concat([arrivals(BASE, day).merge(delays(BASE, day)) for day in span], ignore_index=True)


# Determinism


@settings(max_examples=25, deadline=None)
@given(scenario=scenarios, day=days)
def test_same_seed_and_day_give_the_same_unique_rows(scenario: Scenario, day: date) -> None:
    first, labels = arrivals(scenario, day), delays(scenario, day)
    pd.testing.assert_frame_equal(first, arrivals(replace(scenario), day))
    pd.testing.assert_frame_equal(labels, delays(replace(scenario), day))
    assert len(first) == scenario.trips_per_day
    assert first["arrival_id"].is_unique
    assert labels["arrival_id"].tolist() == first["arrival_id"].tolist()


@settings(max_examples=25, deadline=None)
@given(scenario=scenarios, day=days)
def test_another_seed_or_day_gives_other_rows(scenario: Scenario, day: date) -> None:
    # With few rows two days may agree by chance in one column, hence all the measured ones at once.
    measured = ["temperature_c", "load", "headway_min"]
    scenario = replace(scenario, trips_per_day=20)
    rows = arrivals(scenario, day)
    assert not rows[measured].equals(arrivals(replace(scenario, seed=scenario.seed + 1), day)[measured])
    tomorrow = arrivals(scenario, day + timedelta(days=1))
    assert not rows[measured].equals(tomorrow[measured])
    assert set(rows["arrival_id"]).isdisjoint(tomorrow["arrival_id"])


def test_a_day_is_the_same_alone_and_inside_a_range(tmp_path: Path) -> None:
    day = MONDAY + timedelta(days=3)
    for land, name in ((land_arrivals, f"arrivals-{day}.csv"), (land_delays, f"delays-{day}.csv")):
        within = land(BASE, MONDAY, 6, tmp_path / "range")
        (alone,) = land(BASE, day, 1, tmp_path / "alone")
        assert [path.name for path in within] == sorted(path.name for path in within)
        assert alone.name == name
        assert alone.read_bytes() == (tmp_path / "range" / name).read_bytes()


def test_rows_stay_as_they_are_between_versions() -> None:
    """A golden row: a change of the simulator that alters old days is to be made knowingly."""
    assert arrivals(BASE, MONDAY).iloc[300].to_dict() == GOLDEN_ARRIVAL
    assert delays(BASE, MONDAY).iloc[300].to_dict() == GOLDEN_DELAY


# Tables and files


def test_columns_and_ranges(january: pd.DataFrame) -> None:
    assert tuple(arrivals(BASE, MONDAY).columns) == ARRIVAL_COLUMNS
    assert tuple(delays(BASE, MONDAY).columns) == DELAY_COLUMNS
    assert len(january) == 28 * 600
    assert set(january["route"]) == {route.name for route in ROUTES}
    assert january["stop"].nunique() == 12 * 8
    assert set(january["weather"]) == {"clear", "rain", "snow"}
    assert january["load"].between(0.0, 1.0).all()
    assert january["headway_min"].between(1.0, 60.0).all()
    assert january["temperature_c"].dropna().between(-25.0, 35.0).all()
    assert january["delay_min"].min() < 0.0 < january["delay_min"].mean()


def test_missing_values_are_few_and_only_where_said(january: pd.DataFrame) -> None:
    share = january.isna().mean()
    assert 0.005 < share["temperature_c"] < 0.015
    assert 0.014 < share["adherence_min"] < 0.026
    assert share.drop(["temperature_c", "adherence_min"]).eq(0.0).all()


def test_timestamps_are_utc_and_agree_with_day_and_delay() -> None:
    table = arrivals(BASE, MONDAY).merge(delays(BASE, MONDAY), validate="one_to_one")
    assert table["scheduled_at"].str.fullmatch(r"2026-01-05T\d\d:\d\d:00Z").all()
    assert table["arrived_at"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()
    late = pd.to_datetime(table["arrived_at"]) - pd.to_datetime(table["scheduled_at"])
    np.testing.assert_allclose(late.dt.total_seconds() / 60.0, table["delay_min"], atol=1e-3)
    assert table["scheduled_at"].is_monotonic_increasing


def test_files_hold_the_tables_and_nothing_else_is_left(tmp_path: Path) -> None:
    (landed,) = land_arrivals(BASE, MONDAY, 1, tmp_path)
    (labels,) = land_delays(BASE, MONDAY, 1, tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(landed), arrivals(BASE, MONDAY))
    pd.testing.assert_frame_equal(pd.read_csv(labels), delays(BASE, MONDAY))
    assert sorted(tmp_path.iterdir()) == [landed, labels]


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (landed,) = land_arrivals(BASE, MONDAY, 1, tmp_path)
    before = landed.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError("disk is gone")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk is gone"):
        land_arrivals(replace(BASE, seed=8), MONDAY, 1, tmp_path)
    assert list(tmp_path.iterdir()) == [landed]
    assert landed.read_bytes() == before


@pytest.mark.parametrize(
    "build", [partial(Scenario, seed=-1), partial(Scenario, trips_per_day=0), partial(Scenario, trips_per_day=10_000)]
)
def test_a_scenario_refuses_what_it_cannot_simulate(build: Callable[[], Scenario]) -> None:
    with pytest.raises(ValueError, match="expected"):
        build()


# Command line


def test_command_line_lands_both_kinds_and_says_that_they_are_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given_options = ["--from", "2026-01-05", "--days", "3", "--seed", "3", "--trips", "40"]
    switches = ["--schema-fault-on", "2026-01-06"]
    folders = ["--arrivals", str(tmp_path / "a"), "--delays", str(tmp_path / "d")]
    assert main([*folders, *given_options, *switches]) == 0
    output = capsys.readouterr().out
    assert NOTICE in output
    assert "SIMULATED" in NOTICE
    assert "schema_fault_on=2026-01-06" in output
    assert len(list((tmp_path / "a").iterdir())) == len(list((tmp_path / "d").iterdir())) == 3
    expected = arrivals(Scenario(seed=3, trips_per_day=40), MONDAY)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a" / "arrivals-2026-01-05.csv"), expected)


def test_command_line_lands_one_kind_alone(tmp_path: Path) -> None:
    assert main(["--delays", str(tmp_path / "d"), "--from", "2026-01-05", "--trips", "5"]) == 0
    assert [path.name for path in tmp_path.rglob("*.csv")] == ["delays-2026-01-05.csv"]


def test_help_says_that_the_data_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "SIMULATED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "2026-01-05"], "nothing to write"),
        (["--from", "5 January", "--arrivals", "x"], "expected YYYY-MM-DD"),
        (["--from", "2026-01-05", "--arrivals", "x", "--days", "0"], "expected 1 or more"),
    ],
)
def test_command_line_refuses_wrong_options(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert message in capsys.readouterr().err


def test_command_line_reports_a_scenario_or_folder_it_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    assert main(["--from", "2026-01-05", "--arrivals", str(occupied)]) == 2
    assert main(["--from", "2026-01-05", "--arrivals", str(tmp_path / "a"), "--trips", "0"]) == 2
    assert capsys.readouterr().err.count("error: ") == 2
