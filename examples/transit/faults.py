"""What goes wrong between the street and the file: gaps of every day, and faults of single days."""

from datetime import date

import pandas as pd

from examples.transit.scenario import Scenario, Stream

MISSING_TEMPERATURE_SHARE = 0.01
MISSING_ADHERENCE_SHARE = 0.02
BAD_SENSOR_SHARE = 0.10
STUCK_TEMPERATURE_C = 999.0
STUCK_LOAD = 7.5
CORRUPT_BYTES = 4096


def with_gaps(scenario: Scenario, day: date, table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with about 1 % of temperature_c and 2 % of adherence_min missing, as on any day."""
    rng = scenario.generator(day, Stream.GAPS)
    return table.assign(
        temperature_c=table["temperature_c"].mask(rng.random(len(table)) < MISSING_TEMPERATURE_SHARE),
        adherence_min=table["adherence_min"].mask(rng.random(len(table)) < MISSING_ADHERENCE_SHARE),
    )


def with_bad_sensor(scenario: Scenario, day: date, table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in which a tenth of the rows, at least one, has temperature_c and load stuck out of range."""
    n_stuck = max(1, round(BAD_SENSOR_SHARE * len(table)))
    rows = scenario.generator(day, Stream.FAULTS).choice(len(table), size=n_stuck, replace=False)
    stuck = table.index.isin(rows)
    return table.assign(
        temperature_c=table["temperature_c"].mask(stuck, STUCK_TEMPERATURE_C),
        load=table["load"].mask(stuck, STUCK_LOAD),
    )


def with_schema_fault(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy whose column `load` is called `occupancy`."""
    return table.rename(columns={"load": "occupancy"})


def corrupt_bytes(scenario: Scenario, day: date) -> bytes:
    """Return the garbage that stands for an unreadable file: no header, NUL bytes, not UTF-8, cut mid-way."""
    rng = scenario.generator(day, Stream.FAULTS)
    # 0x80 cannot begin a UTF-8 character, so a reader refuses the first byte already.
    return b"\x80\x00\xff\x00" + rng.bytes(CORRUPT_BYTES - 4)
