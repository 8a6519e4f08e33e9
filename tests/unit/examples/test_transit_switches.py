"""The switches of the simulated city do what they say, from the day they say on, and nothing besides."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from examples.transit.city import DETOURED_ROUTES, simulate_trips
from examples.transit.delay import simulate_delay_min
from examples.transit.simulate import ARRIVAL_COLUMNS, Scenario, arrivals, delays, land_arrivals

MONDAY = date(2026, 1, 5)
WEDNESDAY = date(2026, 1, 7)
BASE = Scenario(seed=7, trips_per_day=600)


def observed(scenario: Scenario, n_days: int) -> pd.DataFrame:
    """Return arrivals joined with delays, from MONDAY on."""
    days = [MONDAY + timedelta(days=offset) for offset in range(n_days)]
    return pd.concat([arrivals(scenario, day).merge(delays(scenario, day)) for day in days], ignore_index=True)


@pytest.mark.parametrize(
    "switched",
    [
        replace(BASE, detour_from=WEDNESDAY),
        replace(BASE, harsh_winter_from=WEDNESDAY),
        replace(BASE, new_route_from=WEDNESDAY),
    ],
    ids=["detour", "harsh winter", "new route"],
)
def test_a_lasting_switch_changes_nothing_before_its_day(switched: Scenario) -> None:
    for offset, same in ((-2, True), (-1, True), (0, False), (30, False)):
        day = WEDNESDAY + timedelta(days=offset)
        assert arrivals(switched, day).equals(arrivals(BASE, day)) is same
        assert delays(switched, day).equals(delays(BASE, day)) is same


@pytest.mark.parametrize(
    "faulty",
    [replace(BASE, bad_sensor_on=WEDNESDAY), replace(BASE, schema_fault_on=WEDNESDAY)],
    ids=["bad sensor", "schema fault"],
)
def test_a_single_day_fault_changes_that_day_and_no_label(faulty: Scenario) -> None:
    for offset, same in ((-1, True), (0, False), (1, True)):
        day = WEDNESDAY + timedelta(days=offset)
        assert arrivals(faulty, day).equals(arrivals(BASE, day)) is same
        pd.testing.assert_frame_equal(delays(faulty, day), delays(BASE, day))


def test_detour_moves_the_inputs_of_its_routes_and_of_no_other() -> None:
    usual, detour = observed(BASE, 7), observed(replace(BASE, detour_from=MONDAY), 7)
    affected = usual["route"].isin(DETOURED_ROUTES)
    pd.testing.assert_frame_equal(usual[~affected], detour[~affected])
    for column, in_deviations in (("headway_min", 2.5), ("adherence_min", 2.5), ("load", 1.5)):
        shift = detour.loc[affected, column].mean() - usual.loc[affected, column].mean()
        assert shift > in_deviations * usual.loc[affected, column].std(), column
    assert detour.loc[affected, "delay_min"].mean() > 2.5 * usual.loc[affected, "delay_min"].mean()


def test_detour_peaks_at_midday_where_usual_delays_peak_in_the_rush() -> None:
    for scenario, later, earlier in ((BASE, 17, 12), (replace(BASE, detour_from=MONDAY), 12, 17)):
        table = observed(scenario, 5)
        table = table[table["route"].isin(DETOURED_ROUTES)]
        hourly = table.groupby(pd.to_datetime(table["scheduled_at"]).dt.hour)["delay_min"].mean()
        assert hourly[later] > hourly[earlier] + 1.0


def test_harsh_winter_is_cold_and_snowy_and_slows_buses() -> None:
    usual, harsh = observed(BASE, 7), observed(replace(BASE, harsh_winter_from=MONDAY), 7)
    assert harsh["temperature_c"].mean() < usual["temperature_c"].mean() - 8.0
    assert (harsh["weather"] == "snow").mean() > (usual["weather"] == "snow").mean() + 0.3

    def cost(table: pd.DataFrame) -> float:
        by_weather = table.groupby("weather")["delay_min"].mean()
        return float(by_weather["snow"] - by_weather["clear"])

    assert cost(harsh) > 1.5 * cost(usual)


def test_harsh_winter_makes_the_same_snow_cost_more() -> None:
    scenario = replace(BASE, harsh_winter_from=MONDAY)
    trips = simulate_trips(scenario, MONDAY)
    harsh, mild = (simulate_delay_min(scenario, MONDAY, replace(trips, harsh=flag)) for flag in (True, False))
    snowy, clear = trips.weather == "snow", trips.weather == "clear"
    assert (harsh[snowy] - mild[snowy]).min() > 0.5
    assert (harsh[clear] == mild[clear]).all()


def test_new_route_takes_its_share_of_the_trips() -> None:
    rows = arrivals(replace(BASE, new_route_from=MONDAY), MONDAY)
    assert len(rows) == 600
    assert 0.03 < (rows["route"] == "R13").mean() < 0.13
    assert rows.loc[rows["route"] == "R13", "stop"].str.startswith("R13-S").all()
    assert "R13" not in set(arrivals(BASE, MONDAY)["route"])


def test_bad_sensor_sticks_on_a_tenth_of_the_rows() -> None:
    rows = arrivals(replace(BASE, bad_sensor_on=MONDAY), MONDAY)
    stuck = rows["temperature_c"] == 999.0
    assert stuck.sum() == 60
    assert (rows["load"] == 7.5).equals(stuck)
    pd.testing.assert_frame_equal(rows[~stuck], arrivals(BASE, MONDAY)[~stuck])


def test_schema_fault_renames_load_in_the_file(tmp_path: Path) -> None:
    (landed,) = land_arrivals(replace(BASE, schema_fault_on=MONDAY), MONDAY, 1, tmp_path)
    header = landed.read_text().partition("\n")[0].split(",")
    assert header == [name if name != "load" else "occupancy" for name in ARRIVAL_COLUMNS]


def test_faults_of_one_day_add_up() -> None:
    rows = arrivals(replace(BASE, bad_sensor_on=MONDAY, schema_fault_on=MONDAY), MONDAY)
    assert (rows["occupancy"] == 7.5).sum() == 60


def _read_with_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


READERS: dict[str, Callable[[Path], object]] = {
    "pandas": lambda path: pd.read_csv(path),
    "pandas, python engine": lambda path: pd.read_csv(path, engine="python"),
    "pandas, any byte": lambda path: pd.read_csv(path, encoding="latin-1", usecols=list(ARRIVAL_COLUMNS)),
    "pyarrow": lambda path: pa.csv.read_csv(
        path, convert_options=pa.csv.ConvertOptions(include_columns=list(ARRIVAL_COLUMNS))
    ),
    "csv": _read_with_csv,
}


@pytest.mark.parametrize("reader", READERS)
def test_corrupt_file_is_refused_by_csv_readers(reader: str, tmp_path: Path) -> None:
    scenario = replace(BASE, corrupt_on=MONDAY)
    corrupt, sound = land_arrivals(scenario, MONDAY, 2, tmp_path)
    READERS[reader](sound)
    with pytest.raises((ValueError, KeyError, csv.Error)):  # pyarrow's errors are of these too
        READERS[reader](corrupt)
    assert b"\x00" in corrupt.read_bytes()


def test_corrupt_file_is_the_same_garbage_each_time_and_its_labels_are_sound(tmp_path: Path) -> None:
    scenario = replace(BASE, corrupt_on=MONDAY)
    (first,), (second,) = (land_arrivals(scenario, MONDAY, 1, tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    pd.testing.assert_frame_equal(delays(scenario, MONDAY), delays(BASE, MONDAY))
