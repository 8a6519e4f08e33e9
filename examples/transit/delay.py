"""How late a simulated bus comes: the concept that a model is to learn, before and after the detour."""

from datetime import date

import numpy as np

from examples.transit.city import Floats, Trips, bump, rush
from examples.transit.scenario import Scenario, Stream


def simulate_delay_min(scenario: Scenario, day: date, trips: Trips) -> Floats:
    """Return the delay of each trip, (n_trips,) in minutes, negative where early, to the second."""
    rng = scenario.generator(day, Stream.DELAY)
    expected = np.where(trips.detoured, _on_detour(trips), _as_usual(trips))
    # Late buses are also the less predictable ones.
    spread = 0.8 + 0.08 * np.maximum(expected, 0.0)
    delay_s: Floats = np.round(60.0 * (expected + spread * rng.normal(0.0, 1.0, size=expected.size)))
    return delay_s / 60.0


def _as_usual(trips: Trips) -> Floats:
    """Return the expected delay in minutes on the usual roads: peaks, crowding and weather feed one another."""
    busy = rush(trips.hour, trips.weekend)
    along = (trips.position - 1) / 7.0
    streets = 5.0 * busy * trips.slowness * (0.4 + 0.6 * along)
    # Doors are slow only once a bus is nearly full.
    boarding = 14.0 * np.maximum(trips.load - 0.55, 0.0) ** 1.5 * (1.0 + 0.5 * along)
    # A late bus stays late; an early one waits for its time.
    carried = np.where(trips.adherence_min > 0.0, 0.75, 0.15) * trips.adherence_min
    # A bus right behind another finds nobody to board.
    following = np.where(trips.headway_min < 6.0, -1.2, 0.0)
    return -0.8 + streets + boarding + carried + following + _weather(trips) * (0.6 + 0.8 * busy)


def _on_detour(trips: Trips) -> Floats:
    """Return the expected delay in minutes on the detour: roadworks at midday, a wait at the bridge after stop 3.

    The detour's timetable has slack, so lateness carried over counts little, and the old peaks are gone.
    """
    roadworks = (8.0 if not trips.weekend else 3.0) * bump(trips.hour, 12.5, 2.2)
    bridge = np.where(trips.position > 3, 5.0, 0.0) * trips.slowness
    narrow = 4.0 * np.maximum(0.8 - trips.load, 0.0)
    return 5.0 + roadworks + bridge + narrow + 0.1 * trips.adherence_min + 1.5 * _weather(trips)


def _weather(trips: Trips) -> Floats:
    """Return what the weather costs, (n_trips,) in minutes; frost makes snow worse, a harsh winter doubles it."""
    frost = np.clip(-trips.temperature_c, 0.0, 8.0)
    cost = np.where(trips.weather == "snow", 2.5 + 0.25 * frost, np.where(trips.weather == "rain", 1.2, 0.0))
    return (2.0 if trips.harsh else 1.0) * cost
