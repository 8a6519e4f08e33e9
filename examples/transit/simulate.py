"""Simulated bus arrivals and delays of an invented city, day by day. No row describes a real bus.

A day's rows depend on the scenario and the day alone: asked for by itself or within a range, a day is the same.

    python -m examples.transit.simulate --arrivals landing --delays labels --from 2026-01-05 --days 28
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from examples import write_atomically
from examples.transit.city import Trips, simulate_trips
from examples.transit.delay import simulate_delay_min
from examples.transit.faults import corrupt_bytes, with_bad_sensor, with_gaps, with_schema_fault
from examples.transit.scenario import Scenario

__all__ = ["ARRIVAL_COLUMNS", "DELAY_COLUMNS", "Scenario", "arrivals", "delays", "land_arrivals", "land_delays", "main"]

ARRIVAL_COLUMNS = (
    "arrival_id",
    "scheduled_at",
    "route",
    "stop",
    "weather",
    "temperature_c",
    "load",
    "headway_min",
    "adherence_min",
)
DELAY_COLUMNS = ("arrival_id", "arrived_at", "delay_min")
NOTICE = "All data is SIMULATED: an invented city, no real buses."

_SWITCHES = {
    "detour_from": "routes R02, R05, R08 and R11 run a detour from this day on",
    "harsh_winter_from": "snow and frost, with a larger effect on delays, from this day on",
    "new_route_from": "route R13 appears from this day on",
    "bad_sensor_on": "a tenth of this day's rows has temperature_c 999.0 and load 7.5",
    "schema_fault_on": "column load is called occupancy in this day's arrivals",
    "corrupt_on": "this day's arrivals file is unreadable garbage",
}


def arrivals(scenario: Scenario, day: date) -> pd.DataFrame:
    """Return the simulated arrivals of one day, (trips_per_day, 9), values and column names as in the file.

    Columns are ARRIVAL_COLUMNS: scheduled_at is text, ISO 8601 UTC with Z; temperature_c in degrees Celsius;
    load a share of capacity; headway_min and adherence_min (delay at the previous timing point) in minutes.
    Missing values and faults are in; `corrupt_on` is not, for it concerns the file's bytes.
    """
    table = with_gaps(scenario, day, _measured(simulate_trips(scenario, day)))
    if day == scenario.bad_sensor_on:
        table = with_bad_sensor(scenario, day, table)
    if day == scenario.schema_fault_on:
        table = with_schema_fault(table)
    return table


def delays(scenario: Scenario, day: date) -> pd.DataFrame:
    """Return the labels of one day's arrivals, (trips_per_day, 3), from the true state whatever the sensors said.

    Columns are DELAY_COLUMNS: arrived_at is text, ISO 8601 UTC with Z; delay_min in minutes, negative where early.
    """
    trips = simulate_trips(scenario, day)
    delay_min = simulate_delay_min(scenario, day, trips)
    arrived_at = trips.scheduled_at + pd.to_timedelta(delay_min * 60.0, unit="s").round("s")
    columns = {"arrival_id": trips.arrival_id, "arrived_at": _iso(arrived_at), "delay_min": delay_min.round(3)}
    return pd.DataFrame(columns)


def land_arrivals(scenario: Scenario, first_day: date, days: int, folder: Path) -> list[Path]:
    """Write `arrivals-YYYY-MM-DD.csv` for each day into `folder`, each at once; return the paths in order of day."""

    def content(day: date) -> bytes:
        return corrupt_bytes(scenario, day) if day == scenario.corrupt_on else _csv(arrivals(scenario, day))

    return _land("arrivals", content, first_day, days, folder)


def land_delays(scenario: Scenario, first_day: date, days: int, folder: Path) -> list[Path]:
    """Write `delays-YYYY-MM-DD.csv`, named by day of arrival, into `folder`; return the paths in order of day."""
    return _land("delays", lambda day: _csv(delays(scenario, day)), first_day, days, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Land simulated files as the command line asks; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.arrivals is None and options.delays is None:
        parser.error("nothing to write: give --arrivals, --delays or both")
    if options.days < 1:
        parser.error(f"--days is {options.days}, expected 1 or more")
    switches = {name: getattr(options, name) for name in _SWITCHES}
    try:
        scenario = Scenario(seed=options.seed, trips_per_day=options.trips, **switches)
        print(NOTICE)
        for kind, land, folder in (
            ("arrivals", land_arrivals, options.arrivals),
            ("delays", land_delays, options.delays),
        ):
            if folder is not None:
                paths = land(scenario, options.first_day, options.days, folder)
                print(f"{kind}: {len(paths)} files in {folder}, {paths[0].name} to {paths[-1].name}")
    except (ValueError, OverflowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    set_switches = ", ".join(f"{name}={day}" for name, day in switches.items() if day is not None)
    print(f"seed {scenario.seed}, {scenario.trips_per_day} trips a day, switches: {set_switches or 'none'}")
    return 0


def _measured(trips: Trips) -> pd.DataFrame:
    """Return the trips as sensors and timetable would report them, rounded."""
    columns = {
        "arrival_id": trips.arrival_id,
        "scheduled_at": _iso(trips.scheduled_at),
        "route": trips.route,
        "stop": [f"{route}-S{position}" for route, position in zip(trips.route, trips.position, strict=True)],
        "weather": trips.weather,
        "temperature_c": trips.temperature_c.round(1),
        "load": trips.load.round(3),
        "headway_min": trips.headway_min.round(1),
        "adherence_min": trips.adherence_min.round(2),
    }
    return pd.DataFrame(columns, columns=list(ARRIVAL_COLUMNS))


def _iso(instants: pd.DatetimeIndex) -> pd.Index:
    return instants.strftime("%Y-%m-%dT%H:%M:%SZ")


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _days(first_day: date, days: int) -> Iterator[date]:
    return (first_day + timedelta(days=offset) for offset in range(days))


def _land(kind: str, content: Callable[[date], bytes], first_day: date, days: int, folder: Path) -> list[Path]:
    return [write_atomically(folder / f"{kind}-{day}.csv", content(day)) for day in _days(first_day, days)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.transit.simulate",
        description=f"Write daily CSV files of bus arrivals and of their delays. {NOTICE}",
    )
    parser.add_argument("--arrivals", type=Path, metavar="DIR", help="folder for arrivals-YYYY-MM-DD.csv")
    parser.add_argument("--delays", type=Path, metavar="DIR", help="folder for delays-YYYY-MM-DD.csv (the labels)")
    parser.add_argument("--from", dest="first_day", type=_day, required=True, metavar="DATE", help="first day")
    parser.add_argument("--days", type=int, default=1, metavar="N", help="number of days (default %(default)s)")
    parser.add_argument("--seed", type=int, default=Scenario.seed, help="default %(default)s")
    parser.add_argument("--trips", type=int, default=Scenario.trips_per_day, help="rows a day (default %(default)s)")
    for name, meaning in _SWITCHES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=_day, metavar="DATE", help=meaning)
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, expected YYYY-MM-DD") from None


if __name__ == "__main__":
    sys.exit(main())
