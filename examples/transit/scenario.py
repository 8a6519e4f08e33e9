"""What a simulated city goes through, and from which day on."""

from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import numpy as np

# The number in an arrival_id has four digits.
MOST_TRIPS_PER_DAY = 9999


class Stream(IntEnum):
    """Purposes of randomness. Each draws apart, so that a switch changes only what it is about."""

    TIMETABLE = 0
    WEATHER = 1
    RIDERSHIP = 2
    DETOUR = 3
    NEW_ROUTE = 4
    DELAY = 5
    GAPS = 6
    FAULTS = 7


@dataclass(frozen=True)
class Scenario:
    """Seed, volume and switches of a simulation. `*_from` hold from that day on, `*_on` on that day alone.

    Raises ValueError for a negative seed, or for `trips_per_day` outside 1..9999.
    """

    seed: int = 7
    trips_per_day: int = 600
    detour_from: date | None = None
    harsh_winter_from: date | None = None
    new_route_from: date | None = None
    bad_sensor_on: date | None = None
    schema_fault_on: date | None = None
    corrupt_on: date | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected 0 or more")
        if not 1 <= self.trips_per_day <= MOST_TRIPS_PER_DAY:
            raise ValueError(f"trips_per_day is {self.trips_per_day}, expected 1 to {MOST_TRIPS_PER_DAY}")

    def generator(self, day: date, stream: Stream) -> np.random.Generator:
        """Return the generator of one purpose on one day; it depends on nothing but seed, day and purpose."""
        return np.random.default_rng([self.seed, day.toordinal(), int(stream)])


def has_begun(start: date | None, day: date) -> bool:
    """Tell whether a lasting switch is on at `day`."""
    return start is not None and day >= start
