"""Which landed files a backfill takes, in which order, and which of them together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from tasks.records.base import Record
from tasks.records.data import Feed, LandedFile

_NUMBERS = re.compile(r"\d+")
Span = tuple[datetime, datetime]
Key = tuple[Feed, str]


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
    return tuple(int(one) for one in _NUMBERS.findall(_name(path))), path


def named(files: Sequence[LandedFile], first: str | None, last: str | None) -> list[LandedFile]:
    """The files from one name to another, both taken in, in order; a bound left out is none.

    A bound with fewer numbers is a range of its own: `2026-03` takes in all of March, as the last and as the first.
    """
    found = [one for one in files if (not first or _from(first, one.path)) and (not last or _to(last, one.path))]
    return sorted(found, key=lambda one: order(one.path))


def timed(
    files: Sequence[LandedFile], spans: Mapping[Key, Span], start: datetime | None, end: datetime | None
) -> list[LandedFile]:
    """The files with events from `start` up to but not including `end`, by their first event.

    Args:
        files: What is to be taken.
        spans: First and last event of each file that has any, by feed and path; also of files that came in before.
        start: Begin of the range.
        end: Its end.

    Returns:
        Those files; and those without events, as label files are, whose name has the numbers of one in the range.
    """
    begins: dict[str | tuple[int, ...], datetime] = {}
    inside = {key for key, (first, last) in spans.items() if (not start or last >= start) and (not end or first < end)}
    for key in inside:
        together, first = _together(key[1]), spans[key][0]
        begins[together] = min(first, begins.get(together, first))
    chosen = [
        one
        for one in files
        if (one.feed, one.path) in inside or ((one.feed, one.path) not in spans and _together(one.path) in begins)
    ]
    return sorted(chosen, key=lambda one: (begins[_together(one.path)], order(one.path)))


def steps(files: Sequence[LandedFile]) -> list[Step]:
    """One step for each run of files whose names have the same numbers: a day's observations and its labels."""
    made = [[one.path for one in group] for _, group in groupby(files, key=lambda one: _together(one.path))]
    return [Step(name=paths[0], paths=tuple(dict.fromkeys(paths))) for paths in made]


def _together(path: str) -> str | tuple[int, ...]:
    """What files of one step have in common: the numbers in their names, else the whole path."""
    return order(path)[0] or path


def _from(first: str, path: str) -> bool:
    numbers = order(first)[0]
    return order(path)[0] >= numbers if numbers else _name(path) >= _name(first)


def _to(last: str, path: str) -> bool:
    numbers = order(last)[0]
    return order(path)[0][: len(numbers)] <= numbers if numbers else _name(path) <= _name(last)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
