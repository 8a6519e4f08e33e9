"""Selection, order and grouping of the landed files of a backfill."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from tasks.records.base import Record
from tasks.records.data import Feed, LandedFile

_NUMBERS = re.compile(r"\d+")
TimeSpan = tuple[datetime, datetime]
FileKey = tuple[Feed, str]


class BackfillStep(Record):
    """Files that are ingested together, as one sub-run.

    Attributes:
        name: The first file's path.
        paths: Paths below the landing folder, observations' and labels'.
    """

    name: str
    paths: tuple[str, ...]


def sort_key(path: str) -> tuple[tuple[int, ...], str]:
    """Return the sort key of a file: the numbers in its name, so that `part-10` follows `part-9`; then its path."""
    return tuple(int(number) for number in _NUMBERS.findall(_name(path))), path


def select_by_name(files: Sequence[LandedFile], first: str | None, last: str | None) -> list[LandedFile]:
    """Return the files from one name to another, inclusive, in order; None: no bound.

    A bound with fewer numbers is a range of its own: `2026-03` takes in all of March, as the last and as the first.
    """
    selected = [
        file
        for file in files
        if (not first or _at_or_after(first, file.path)) and (not last or _at_or_before(last, file.path))
    ]
    return sorted(selected, key=lambda file: sort_key(file.path))


def select_by_event_time(
    files: Sequence[LandedFile], spans: Mapping[FileKey, TimeSpan], start: datetime | None, end: datetime | None
) -> list[LandedFile]:
    """Return the files with events in [start, end), ordered by their first event.

    Args:
        files: The files to select from.
        spans: First and last event of each file that has any, by feed and path; also of files ingested before.
        start: Begin of the range.
        end: Its end.

    Returns:
        Those files; and those without events, as label files are, whose name has the numbers of one in the range.
    """
    starts: dict[str | tuple[int, ...], datetime] = {}
    in_range = {
        file_key
        for file_key, (first, last) in spans.items()
        if (not start or last >= start) and (not end or first < end)
    }
    for file_key in in_range:
        key_of_step, first = _step_key(file_key[1]), spans[file_key][0]
        starts[key_of_step] = min(first, starts.get(key_of_step, first))
    selected = [
        file
        for file in files
        if (file.feed, file.path) in in_range
        or ((file.feed, file.path) not in spans and _step_key(file.path) in starts)
    ]
    return sorted(selected, key=lambda file: (starts[_step_key(file.path)], sort_key(file.path)))


def steps(files: Sequence[LandedFile]) -> list[BackfillStep]:
    """Return one step for each group of consecutive files with the same numbers in their names."""
    groups = [[file.path for file in group] for _, group in groupby(files, key=lambda file: _step_key(file.path))]
    return [BackfillStep(name=paths[0], paths=tuple(dict.fromkeys(paths))) for paths in groups]


def _step_key(path: str) -> str | tuple[int, ...]:
    """What files of one step have in common: the numbers in their names, else the whole path."""
    return sort_key(path)[0] or path


def _at_or_after(first: str, path: str) -> bool:
    numbers = sort_key(first)[0]
    return sort_key(path)[0] >= numbers if numbers else _name(path) >= _name(first)


def _at_or_before(last: str, path: str) -> bool:
    numbers = sort_key(last)[0]
    return sort_key(path)[0][: len(numbers)] <= numbers if numbers else _name(path) <= _name(last)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
