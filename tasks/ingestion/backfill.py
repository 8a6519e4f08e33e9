"""Which landed files a backfill takes, in which order, and which of them together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from tasks.refs import LandedFile, Record

_NUMBERS = re.compile(r"\d+")


class Step(Record):
    """Files that are taken in together, as one sub-run.

    Attributes:
        name: The first file's path.
        paths: Paths below the landing folder, observations' and labels'.
    """

    name: str
    paths: tuple[str, ...]


def order(path: str) -> tuple[tuple[int, ...], str]:
    """Where a file stands: by the numbers in its name, so that `part-10` follows `part-9`; then by its path."""
    name = path.rpartition("/")[2]
    return tuple(int(one) for one in _NUMBERS.findall(name)), path


def named(files: Sequence[LandedFile], first: str | None, last: str | None) -> list[LandedFile]:
    """The files from one name to another, both taken in, in order; a bound left out is none."""
    low, high = (None if one is None else order(one)[0] for one in (first, last))
    found = sorted(files, key=lambda one: order(one.path))
    return [one for one in found if (low is None or order(one.path)[0] >= low) and _within(one.path, high)]


def timed(
    files: Sequence[LandedFile],
    spans: Mapping[str, tuple[datetime, datetime]],
    start: datetime | None,
    end: datetime | None,
) -> list[LandedFile]:
    """The files with events from `start` up to but not including `end`, by their first event.

    Args:
        files: What landed.
        spans: First and last event of each file that has any, by its path.
        start: Begin of the range.
        end: Its end.

    Returns:
        Those files; and those without events, as label files are, whose name has the numbers of one of them.
    """
    chosen = [
        one
        for one in files
        if one.path in spans
        and (start is None or spans[one.path][1] >= start)
        and (end is None or spans[one.path][0] < end)
    ]
    chosen.sort(key=lambda one: (spans[one.path][0], order(one.path)))
    numbers = {order(one.path)[0] for one in chosen}
    beside = [one for one in files if one.path not in spans and order(one.path)[0] in numbers]
    place = {order(one.path)[0]: index for index, one in reversed(list(enumerate(chosen)))}
    return sorted([*chosen, *beside], key=lambda one: place[order(one.path)[0]])


def steps(files: Sequence[LandedFile]) -> list[Step]:
    """One step for each run of files whose names have the same numbers: a day's observations and its labels."""
    groups = groupby(files, key=lambda one: order(one.path)[0] or one.path)
    made = [[one.path for one in group] for _, group in groups]
    return [Step(name=paths[0], paths=tuple(paths)) for paths in made]


def _within(path: str, high: tuple[int, ...] | None) -> bool:
    return high is None or order(path)[0][: len(high)] <= high
