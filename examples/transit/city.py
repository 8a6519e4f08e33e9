"""The invented city: its routes, its weather, and what happens on its streets before any delay is known.

All of it is simulated. The city keeps UTC, so an hour of the day is the hour of the timestamp.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from examples.transit.scenario import Scenario, Stream, has_begun

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]

STOPS_PER_ROUTE = 8
DISTRICTS = 4
FIRST_HOUR, LAST_HOUR = 5, 23
# Relative number of trips in the hours 5 to 23.
TRIPS_BY_HOUR = np.array([2, 4, 7, 8, 6, 5, 5, 5, 5, 5, 6, 8, 8, 7, 5, 4, 3, 2, 2], dtype=np.float64)


@dataclass(frozen=True)
class Route:
    """One line: usual headway in minutes, crowding added to the load, and its proneness to delay (1 is usual)."""

    name: str
    headway_min: float
    crowding: float
    slowness: float


ROUTES = (
    Route("R01", 8.0, 0.10, 1.30),
    Route("R02", 9.0, 0.05, 1.00),
    Route("R03", 12.0, -0.05, 0.70),
    Route("R04", 10.0, 0.00, 1.10),
    Route("R05", 8.5, 0.08, 1.40),
    Route("R06", 14.0, -0.08, 0.60),
    Route("R07", 11.0, 0.02, 0.90),
    Route("R08", 10.5, 0.00, 1.00),
    Route("R09", 13.0, -0.06, 0.80),
    Route("R10", 9.5, 0.06, 1.20),
    Route("R11", 12.5, -0.02, 0.90),
    Route("R12", 15.0, -0.10, 0.50),
)
NEW_ROUTE = Route("R13", 18.0, -0.04, 1.60)
DETOURED_ROUTES = ("R02", "R05", "R08", "R11")


@dataclass(frozen=True)
class Trips:
    """The true state of one day's trips, arrays of shape (n_trips,), before sensors fail or values go missing.

    `hour` is fractional, in [5, 24); `position` is the stop's place on the route, 1 to 8; `temperature_c` is in
    degrees Celsius, `load` a share of capacity in [0, 1], `headway_min` and `adherence_min` in minutes.
    """

    arrival_id: Texts
    scheduled_at: pd.DatetimeIndex
    hour: Floats
    weekend: bool
    route: Texts
    slowness: Floats
    position: Ints
    detoured: Flags
    harsh: bool
    weather: Texts
    temperature_c: Floats
    load: Floats
    headway_min: Floats
    adherence_min: Floats


def bump(hour: Floats, center: float, width: float) -> Floats:
    """Return a bell over the hours of the day: 1 at `center`, near 0 beyond three `width`."""
    bell: Floats = np.exp(-0.5 * ((hour - center) / width) ** 2)
    return bell


def rush(hour: Floats, weekend: bool) -> Floats:
    """Return how busy the streets are, 0 to about 1: two peaks on a weekday, a flat afternoon at a weekend."""
    if weekend:
        return 0.45 * bump(hour, 14.5, 3.0)
    return bump(hour, 8.0, 1.1) + bump(hour, 17.5, 1.5)


def simulate_trips(scenario: Scenario, day: date) -> Trips:
    """Return the true state of the trips of one simulated day, in order of schedule."""
    harsh = has_begun(scenario.harsh_winter_from, day)
    weekend = day.weekday() >= 5
    minutes, route_index, position = _timetable(scenario, day)
    hour = minutes / 60.0
    route, usual_headway, crowding, slowness = _traits(route_index)
    weather, temperature = _sky(scenario, day, hour, route_index % DISTRICTS, harsh)
    load, headway, adherence = _ridership(scenario, day, rush(hour, weekend), weekend, weather)
    load, headway, adherence = load + crowding, headway * usual_headway, adherence + 0.8 * (slowness - 1.0)
    adherence = adherence + 0.15 * (position - 1)
    detoured = np.isin(route, DETOURED_ROUTES) & has_begun(scenario.detour_from, day)
    load, headway, adherence = _detour(scenario, day, detoured, load, headway, adherence)
    return Trips(
        arrival_id=_identifiers(day, route),
        scheduled_at=pd.DatetimeIndex(pd.Timestamp(day, tz="UTC") + pd.to_timedelta(minutes, unit="m")),
        hour=hour,
        weekend=weekend,
        route=route,
        slowness=slowness,
        position=position,
        detoured=detoured,
        harsh=harsh,
        weather=weather,
        temperature_c=temperature,
        load=np.clip(load, 0.0, 1.0),
        headway_min=np.maximum(headway, 1.0),
        adherence_min=adherence,
    )


def _timetable(scenario: Scenario, day: date) -> tuple[Ints, Ints, Ints]:
    """Return minute of the day (sorted), index of the route and position of the stop, each (n_trips,)."""
    rng = scenario.generator(day, Stream.TIMETABLE)
    n_trips = scenario.trips_per_day
    hours = rng.choice(np.arange(FIRST_HOUR, LAST_HOUR + 1), size=n_trips, p=TRIPS_BY_HOUR / TRIPS_BY_HOUR.sum())
    minutes = np.sort(hours * 60 + rng.integers(0, 60, size=n_trips))
    route_index = rng.integers(0, len(ROUTES), size=n_trips)
    position = rng.integers(1, STOPS_PER_ROUTE + 1, size=n_trips)
    if has_begun(scenario.new_route_from, day):
        # The new route takes over some trips of the others: the day's volume stays what it was.
        taken = scenario.generator(day, Stream.NEW_ROUTE).random(n_trips) < 1.0 / (len(ROUTES) + 1)
        route_index = np.where(taken, len(ROUTES), route_index)
    return minutes, route_index, position


def _traits(route_index: Ints) -> tuple[Texts, Floats, Floats, Floats]:
    """Return name, usual headway (minutes), crowding and slowness of each trip's route."""
    routes = (*ROUTES, NEW_ROUTE)
    names = np.array([route.name for route in routes])
    traits = np.array([(route.headway_min, route.crowding, route.slowness) for route in routes])[route_index]
    return names[route_index], traits[:, 0], traits[:, 1], traits[:, 2]


def _identifiers(day: date, route: Texts) -> Texts:
    return np.array([f"{day:%Y%m%d}-{name}-{number:04d}" for number, name in enumerate(route, start=1)])


def _sky(scenario: Scenario, day: date, hour: Floats, district: Ints, harsh: bool) -> tuple[Texts, Floats]:
    """Return weather and temperature (degrees Celsius). A shower lasts an hour in one district; near frost it snows.

    Showers are many and small, and seasons mild, so that a week of usual weather is no drift in itself.
    """
    rng = scenario.generator(day, Stream.WEATHER)
    day_of_year = day.timetuple().tm_yday
    seasonal = 6.0 - 3.0 * np.cos(2 * np.pi * (day_of_year - 20) / 365.25)
    daily = seasonal + rng.normal(0.0, 1.2) - (11.0 if harsh else 0.0)
    wetness = rng.beta(12.0, 28.0) + (0.3 if harsh else 0.0)
    showers = rng.random((24, DISTRICTS)) < wetness
    temperature = daily + 4.5 * np.sin(2 * np.pi * (hour - 9.0) / 24.0) + rng.normal(0.0, 2.2, size=hour.size)
    fallen = np.where(temperature < 0.5, "snow", "rain")
    return np.where(showers[hour.astype(np.int64), district], fallen, "clear"), temperature


def _ridership(
    scenario: Scenario, day: date, busy: Floats, weekend: bool, weather: Texts
) -> tuple[Floats, Floats, Floats]:
    """Return load, headway as a multiple of the usual one, and adherence (minutes), before the route's own traits."""
    rng = scenario.generator(day, Stream.RIDERSHIP)
    n_trips = busy.size
    load = 0.30 + 0.38 * busy + rng.normal(0.0, 0.13, size=n_trips)
    headway = (1.05 if weekend else 1.0) * (1.0 - 0.35 * busy) * np.exp(rng.normal(0.0, 0.22, size=n_trips))
    falling = np.where(weather == "snow", 1.0, np.where(weather == "rain", 0.4, 0.0))
    tail = rng.exponential(1.0, size=n_trips)
    adherence = -1.0 + 1.8 * busy + falling + tail + rng.normal(0.0, 1.3, size=n_trips)
    return load, headway, adherence


def _detour(
    scenario: Scenario, day: date, detoured: Flags, load: Floats, headway: Floats, adherence: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return load, headway and adherence as the detour leaves them: fuller, rarer and later buses where it runs."""
    rng = scenario.generator(day, Stream.DETOUR)
    extra_load = rng.normal(0.34, 0.06, size=load.size)
    extra_headway = rng.normal(5.0, 1.5, size=load.size)
    extra_adherence = rng.normal(6.0, 2.0, size=load.size)
    return (
        np.where(detoured, load + extra_load, load),
        np.where(detoured, 1.5 * headway + extra_headway, headway),
        np.where(detoured, adherence + extra_adherence, adherence),
    )
