"""Land the UCI Bike Sharing `hour.csv` month by month, as if each month arrived by itself.

python -m examples.bike.land hour.csv landing --months 1-3
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from examples import write_atomically

HOUR_COLUMNS = (
    "instant",
    "dteday",
    "season",
    "yr",
    "mnth",
    "hr",
    "holiday",
    "weekday",
    "workingday",
    "weathersit",
    "temp",
    "atemp",
    "hum",
    "windspeed",
    "casual",
    "registered",
    "cnt",
)
MonthRange = tuple[int, int]


class LandingError(Exception):
    """The source cannot be landed as asked; the message is one line for the user."""


def read_hours(source: Path) -> pd.DataFrame:
    """Return `hour.csv` as text, (n_hours, 17), each value spelt as in the file, so that nothing is lost on the way.

    Raises LandingError where the file is missing, is no CSV, or has other columns than HOUR_COLUMNS.
    """
    try:
        table = pd.read_csv(source, dtype=str, keep_default_na=False)
    except OSError as error:
        raise LandingError(f"cannot read {source}: {error.strerror or error}") from error
    except ValueError as error:  # undecodable, empty and ragged files alike
        raise LandingError(f"{source} is no readable CSV: {' '.join(str(error).split())}") from error
    missing = [name for name in HOUR_COLUMNS if name not in table.columns]
    extra = [str(name) for name in table.columns if name not in HOUR_COLUMNS]
    if missing or extra:
        raise LandingError(f"{source} is not the UCI hour.csv: missing columns {missing}, unexpected columns {extra}")
    return table


def with_started_at(hours: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with `started_at` put first: the start of the hour, ISO 8601, without a time zone.

    Raises LandingError where dteday and hr make no date and hour.
    """
    started_at = hours["dteday"] + "T" + hours["hr"].str.zfill(2) + ":00:00"
    parsed = pd.to_datetime(started_at, format="%Y-%m-%dT%H:%M:%S", errors="coerce")
    if parsed.isna().any():
        first = int(parsed.isna().to_numpy().argmax())
        raise LandingError(f"data row {first + 1}: dteday and hr make no date and hour: {started_at.iloc[first]!r}")
    # Spelt anew from the parsed value: strptime also takes 2011-1-1, which would sort and split wrongly as text.
    table = hours.copy()
    table.insert(0, "started_at", parsed.dt.strftime("%Y-%m-%dT%H:%M:%S"))
    return table


def land(source: Path, folder: Path, months: MonthRange | None = None) -> list[Path]:
    """Write `bike-YYYY-MM.csv` into `folder` for the chosen months; return the paths in order of month.

    `months` are first and last, inclusive, counted from 1 in the order of the calendar; None means all of them.
    Raises LandingError where the source cannot be used or holds fewer months.
    """
    table = with_started_at(read_hours(source))
    month = table["started_at"].str.slice(0, 7)
    held = sorted(month.unique())
    if not held:
        raise LandingError(f"{source} has a header and no rows")
    first, last = months if months is not None else (1, len(held))
    if last > len(held):
        raise LandingError(f"months {first}-{last} asked for, but {source} holds {len(held)}")
    try:
        return [
            write_atomically(folder / f"bike-{name}.csv", _csv(table[month == name])) for name in held[first - 1 : last]
        ]
    except OSError as error:
        raise LandingError(f"cannot write to {folder}: {error.strerror or error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Land months as the command line asks; return the exit status, 2 for a source that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        paths = land(options.source, options.folder, options.months)
    except LandingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(paths)} files in {options.folder}: {', '.join(path.name for path in paths)}")
    return 0


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.bike.land",
        description="Write the UCI Bike Sharing hour.csv as one CSV file a month, with started_at added.",
    )
    parser.add_argument("source", type=Path, metavar="HOUR_CSV", help="path of hour.csv")
    parser.add_argument("folder", type=Path, metavar="LANDING_DIR", help="folder for bike-YYYY-MM.csv")
    parser.add_argument(
        "--months", type=_months, metavar="FIRST-LAST", help="months to land, 1 is 2011-01: 1-24, or 5 (default all)"
    )
    return parser


def _months(text: str) -> MonthRange:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of months, expected 1-24 or 5")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of months, expected 1 <= first <= last")
    return first, last


if __name__ == "__main__":
    sys.exit(main())
