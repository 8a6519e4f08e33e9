"""Which files a backfill takes, in which order and which together, for any names and any times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingestion.backfill import FileKey, TimeSpan, select_by_event_time, select_by_name, sort_key, steps
from tasks.records.data import Feed, LandedFile

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def file(path: str, feed: Feed = "observations") -> LandedFile:
    return LandedFile(feed=feed, path=path, uri=f"/{feed}/{path}", size=1, mtime_ns=0, sha256=f"{feed}:{path}")


def paths(files: list[LandedFile]) -> list[str]:
    return [one.path for one in files]


stems = st.from_regex(r"(north|south|day)?[-_]?([0-9]{1,4}([-_][0-9]{1,2}){0,2})?x?", fullmatch=True)
names = st.builds(lambda folder, stem: f"{folder}{stem}.csv", st.sampled_from(["", "a/", "b10/"]), stems)
feeds: st.SearchStrategy[Feed] = st.sampled_from(["observations", "labels"])
landed = st.lists(st.builds(file, names, feeds), max_size=12, unique_by=lambda one: (one.feed, one.path))
bounds = st.none() | stems.map(lambda stem: f"{stem}.csv")
spans_of = st.tuples(st.integers(0, 50), st.integers(0, 5)).map(
    lambda one: (ZERO + one[0] * HOUR, ZERO + (one[0] + one[1]) * HOUR)
)
moments = st.none() | st.integers(0, 60).map(lambda hours: ZERO + hours * HOUR)


def numbers(path: str) -> tuple[int, ...]:
    return sort_key(path)[0]


@given(landed, bounds, bounds)
def test_a_range_of_names_is_in_order_of_the_numbers_with_both_ends(
    files: list[LandedFile], first: str | None, last: str | None
) -> None:
    found = select_by_name(files, first, last)
    assert [numbers(one.path) for one in found] == sorted(numbers(one.path) for one in found)
    for one in files:
        ours = numbers(one.path)
        low = not first or not numbers(first) or ours >= numbers(first)
        high = not last or not numbers(last) or ours[: len(numbers(last))] <= numbers(last)
        if (not first or numbers(first)) and (not last or numbers(last)):
            assert (one in found) == (low and high)
    assert {one.sha256 for one in files if one.path.rpartition("/")[2] == first == last} <= {
        one.sha256 for one in found
    }


@given(landed)
def test_every_file_is_in_exactly_one_step_with_those_of_its_numbers(files: list[LandedFile]) -> None:
    made = steps(select_by_name(files, None, None))
    taken = [path for step in made for path in step.paths]
    assert sorted(taken) == sorted({one.path for one in files})
    assert all(step.name == step.paths[0] for step in made)
    groups = [{numbers(path) or path for path in step.paths} for step in made]
    assert all(len(group) == 1 for group in groups)
    assert len({one for group in groups for one in group}) == len(made)


@given(landed, st.dictionaries(names, spans_of, max_size=4), st.data(), moments, moments)
def test_a_range_of_times_has_begin_but_not_end_and_each_file_once(
    files: list[LandedFile],
    before: dict[str, TimeSpan],
    data: st.DataObject,
    start: datetime | None,
    end: datetime | None,
) -> None:
    spans: dict[FileKey, TimeSpan] = {("observations", path): span for path, span in before.items()}
    spans |= {("observations", one.path): data.draw(spans_of) for one in files if one.feed == "observations"}
    found = select_by_event_time(files, spans, start, end)
    inside = {key[1] for key, (low, high) in spans.items() if (not start or high >= start) and (not end or low < end)}
    for one in files:
        if one.feed == "observations":
            assert found.count(one) == (one.path in inside)
        else:
            assert found.count(one) == any(
                (numbers(path) or path) == (numbers(one.path) or one.path) for path in inside
            )
    made = steps(found)
    assert sorted(path for step in made for path in step.paths) == sorted({one.path for one in found})
    begins = [min(spans["observations", path][0] for path in inside if _same(path, step.name)) for step in made]
    assert begins == sorted(begins)


def _same(one: str, other: str) -> bool:
    return (numbers(one) or one) == (numbers(other) or other)


def test_numbers_are_numbers_and_a_day_has_its_labels_beside_it() -> None:
    files = [file(f"day-{day}.csv") for day in (9, 10, 1)] + [file("labels-10.csv", "labels"), file("9.csv", "labels")]
    assert [step.paths for step in steps(select_by_name(files, None, None))] == [
        ("day-1.csv",),
        ("9.csv", "day-9.csv"),
        ("day-10.csv", "labels-10.csv"),
    ]
    assert paths(select_by_name(files, "day-9.csv", "day-9.csv")) == ["9.csv", "day-9.csv"]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-02", None, ["2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01"]),
        ("2026-03", "2026-03", ["2026-03-01", "2026-03-31"]),
        (None, "2026-03-01", ["2026-01-05", "2026-02-28", "2026-03-01"]),
        ("2026-03-02", "2026-03-30", []),
        ("2026-04", "2026-03", []),
    ],
)
def test_a_bound_of_fewer_numbers_takes_in_all_of_its_month(
    first: str | None, last: str | None, expected: list[str]
) -> None:
    days = ["2026-04-01", "2026-03-31", "2026-01-05", "2026-03-01", "2026-02-28"]
    assert paths(select_by_name([file(day) for day in days], first, last)) == expected


def test_names_without_numbers_are_a_range_of_the_alphabet() -> None:
    files = [file(f"{name}.csv") for name in ("gamma", "alpha", "delta", "beta")]
    assert paths(select_by_name(files, "beta.csv", "delta.csv")) == ["beta.csv", "delta.csv"]


def test_labels_of_observations_that_came_in_before_are_taken_by_their_time() -> None:
    left = [file("labels-3.csv", "labels"), file("labels-4.csv", "labels")]
    spans: dict[FileKey, TimeSpan] = {("observations", f"day-{day}.csv"): (ZERO + day * HOUR,) * 2 for day in (3, 4)}
    assert paths(select_by_event_time(left, spans, ZERO, ZERO + 4 * HOUR)) == ["labels-3.csv"]


def test_one_name_in_both_feeds_is_known_apart() -> None:
    files = [file("1.csv"), file("1.csv", "labels"), file("2.csv"), file("2.csv", "labels")]
    spans: dict[FileKey, TimeSpan] = {
        ("observations", "1.csv"): (ZERO, ZERO),
        ("observations", "2.csv"): (ZERO + HOUR,) * 2,
    }
    found = select_by_event_time(files, spans, ZERO + HOUR, None)
    assert [(one.feed, one.path) for one in found] == [("observations", "2.csv"), ("labels", "2.csv")]
    assert [step.paths for step in steps(found)] == [("2.csv",)]
