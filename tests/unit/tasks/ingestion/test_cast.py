"""Values become their contract's type or are reported; a cell's fate never hangs on its neighbours."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.base import ColumnType
from configs.contract import Column
from tasks.ingestion.cast import cast_column
from tasks.stores.lake.schemas import ARROW_TYPES

BERLIN = "Europe/Berlin"


def cast(values: pa.Array | list[Any], kind: ColumnType, timezone: str = "UTC") -> tuple[list[Any], list[bool]]:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    typed, bad = cast_column(pa.chunked_array([array]), Column(type=kind, nullable=True), timezone)
    assert typed.type == ARROW_TYPES[kind]
    assert len(typed) == len(array)
    assert bad.dtype == np.bool_
    assert bad.shape == (len(array),)
    return typed.to_pylist(), bad.tolist()


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]  # year, month, day, ...


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("-7", -7), ("+7", 7), (" 12 ", 12), ("3.0", 3), ("3.00", 3), ("0", 0), ("000123", 123), ("-0", 0)],
)
def test_text_that_is_a_whole_number(text: str, expected: int) -> None:
    assert cast([text], "integer") == ([expected], [False])


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "1,000", "--1", "1 2", "9" * 30, "true", "١٢"])
def test_text_that_is_no_whole_number(text: str) -> None:
    assert cast([text], "integer") == ([None], [True])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1.0), ("-1.5", -1.5), ("+1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 1e-3), ("1E5", 1e5), (" 2.5 ", 2.5)],
)
def test_text_that_is_a_number(text: str, expected: float) -> None:
    assert cast([text], "number") == ([expected], [False])


@pytest.mark.parametrize("text", ["", "x", "1,5", "1e", "inf", "-Infinity", "nan", "1e400", "1.5f", "1_0", "."])
def test_text_that_is_no_number(text: str) -> None:
    assert cast([text], "number") == ([None], [True])


@pytest.mark.parametrize(("words", "expected"), [("true True T yes Y 1", True), ("false FALSE f no n 0", False)])
def test_text_that_is_a_boolean(words: str, expected: bool) -> None:
    values = [*words.split(), f" {words.split()[0]} "]
    assert cast(values, "boolean") == ([expected] * len(values), [False] * len(values))


@pytest.mark.parametrize("text", ["", "maybe", "2", "truee"])
def test_text_that_is_no_boolean(text: str) -> None:
    assert cast([text], "boolean") == ([None], [True])


@given(st.lists(st.one_of(st.none(), st.integers(-(10**18) + 1, 10**18 - 1))))
def test_whole_numbers_survive_as_text(values: list[int | None]) -> None:
    texts = pa.array([None if one is None else str(one) for one in values], pa.string())
    assert cast(texts, "integer") == (values, [False] * len(values))


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))))
def test_numbers_survive_as_text(values: list[float | None]) -> None:
    texts = pa.array([None if one is None else repr(one) for one in values], pa.string())
    assert cast(texts, "number") == (values, [False] * len(values))


@given(st.lists(st.one_of(st.none(), st.text())), st.sampled_from(["string", "integer", "number", "boolean"]))
def test_no_text_is_lost_untold(values: list[str | None], kind: ColumnType) -> None:
    typed, bad = cast(pa.array(values, pa.string()), kind)
    for before, after, told in zip(values, typed, bad, strict=True):
        assert told == (before is not None and after is None)


@given(st.lists(st.one_of(st.none(), st.floats())))
def test_only_finite_numbers_come_through(values: list[float | None]) -> None:
    typed, bad = cast(pa.array(values, pa.float64()), "number")
    for before, after, told in zip(values, typed, bad, strict=True):
        finite = before is not None and math.isfinite(before)
        assert after == (before if finite else None)
        assert told == (before is not None and math.isinf(before))


@given(st.lists(st.one_of(st.none(), st.floats(-1e17, 1e17))))
def test_only_whole_floats_become_integers(values: list[float | None]) -> None:
    typed, bad = cast(pa.array(values, pa.float64()), "integer")
    for before, after, told in zip(values, typed, bad, strict=True):
        whole = before is not None and before.is_integer() and abs(before) < 2**53
        assert after == (int(before) if whole and before is not None else None)
        assert told == (before is not None and not whole)


def test_a_nan_among_floats_is_missing_not_wrong() -> None:
    assert cast([math.nan, 1.0], "integer") == ([None, 1], [False, False])
    assert cast([math.nan, 1.0], "number") == ([None, 1.0], [False, False])


NATIVE: dict[str, tuple[pa.Array, ColumnType, list[Any]]] = {
    "small integers": (pa.array([1, None], pa.int8()), "integer", [1, None]),
    "integers as numbers": (pa.array([1, 2], pa.int32()), "number", [1.0, 2.0]),
    "decimals": (pa.array([Decimal("1.50"), None]), "number", [1.5, None]),
    "single precision": (pa.array([1.5], pa.float32()), "number", [1.5]),
    "a dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), "string", ["a", None, "a"]),
    "large text": (pa.array(["a"], pa.large_string()), "string", ["a"]),
    "integers as text": (pa.array([7]), "string", ["7"]),
    "booleans": (pa.array([True, None]), "boolean", [True, None]),
    "dates": (pa.array([date(2024, 2, 29)]), "timestamp", [utc(2024, 2, 29)]),
    "no type": (pa.nulls(2), "integer", [None, None]),
    "nanoseconds": (pa.array([1_999], pa.timestamp("ns", "UTC")), "timestamp", [utc(1970, 1, 1, 0, 0, 0, 1)]),
}


@pytest.mark.parametrize(("values", "kind", "expected"), NATIVE.values(), ids=NATIVE.keys())
def test_native_types_are_taken(values: pa.Array, kind: ColumnType, expected: list[Any]) -> None:
    assert cast(values, kind) == (expected, [False] * len(expected))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([[1], [2]]), "number"),
        (pa.array([{"a": 1}]), "string"),
        (pa.array([1, 2]), "timestamp"),
        (pa.array([1.5]), "timestamp"),
        (pa.array(["a", "b"]), "timestamp"),
    ],
    ids=str,
)
def test_hopeless_types_are_told_cell_by_cell(values: pa.Array, kind: ColumnType) -> None:
    n = len(values)
    assert cast(values, kind) == ([None] * n, [True] * n)


def test_a_value_beyond_the_type_loses_its_own_cell_only() -> None:
    assert cast(pa.array([1, 2**63], pa.uint64()), "integer") == ([1, None], [False, True])


def test_every_integer_of_64_bits_can_be_text() -> None:
    values = [2**63 - 1, -(2**63), 10**18]
    assert cast([str(one) for one in values], "integer") == (values, [False] * 3)


TIMES = {
    "2024-07-01": utc(2024, 7, 1),
    "2024-07-01 12:00": utc(2024, 7, 1, 12),
    "2024-07-01T12:00:00": utc(2024, 7, 1, 12),
    "2024-07-01T12:00:00.25": utc(2024, 7, 1, 12, 0, 0, 250_000),
    "2024-07-01T12:00:00Z": utc(2024, 7, 1, 12),
    "2024-07-01T12:00:00+05:30": utc(2024, 7, 1, 6, 30),
    "2024-07-01T12:00:00-0200": utc(2024, 7, 1, 14),
    "1969-12-31T23:59:59.999999": utc(1969, 12, 31, 23, 59, 59, 999_999),
}


def test_times_with_and_without_zone_stand_side_by_side() -> None:
    assert cast(list(TIMES), "timestamp") == (list(TIMES.values()), [False] * len(TIMES))


@pytest.mark.parametrize("text", ["", "noon", "2024-13-01", "2024-02-30", "31.12.2024", "12/31/2024", "25:00"])
def test_text_that_is_no_time(text: str) -> None:
    assert cast([text, "2024-07-01"], "timestamp") == ([None, utc(2024, 7, 1)], [True, False])


def test_times_without_zone_are_of_the_contract_s() -> None:
    winter, summer = "2024-01-01T12:00:00", "2024-07-01T12:00:00"
    expected = [utc(2024, 1, 1, 11), utc(2024, 7, 1, 10), utc(2024, 7, 1, 12), utc(2024, 7, 1, 7)]
    assert cast([winter, summer, f"{summer}Z", f"{summer}+0500"], "timestamp", BERLIN)[0] == expected


def test_days_of_the_contract_s_zone_begin_at_its_midnight() -> None:
    expected = [utc(2024, 6, 30, 22), utc(2024, 6, 30, 22), utc(2023, 12, 31, 23)]
    assert cast(["2024-07-01", "20240701", "2024-01"], "timestamp", BERLIN)[0] == expected


def test_an_offset_of_hours_alone_is_a_zone() -> None:
    assert cast(["2024-07-01T12:00:00+05"], "timestamp")[0] == [utc(2024, 7, 1, 7)]
    assert cast(["2024-07-01T12:00:00+05"], "timestamp", BERLIN)[0] == [utc(2024, 7, 1, 7)]


@pytest.mark.parametrize("text", ["20240701T120000+0500", "2024-07-01T12:00:00 +05:00", "2024-07-01T12+05:00"])
def test_an_offset_is_a_zone_however_the_time_is_written(text: str) -> None:
    assert cast([text], "timestamp")[0] == [utc(2024, 7, 1, 7)]
    assert cast([text], "timestamp", BERLIN)[0] == [utc(2024, 7, 1, 7)]


def naive_times() -> st.SearchStrategy[list[datetime]]:
    some = st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001  # without zone is the point
    return st.lists(some, min_size=1, max_size=20)


@given(naive_times())
def test_times_in_berlin_are_what_zoneinfo_says(values: list[datetime]) -> None:
    zone = ZoneInfo(BERLIN)
    typed, bad = cast([one.isoformat() for one in values], "timestamp", BERLIN)
    assert not any(bad)
    for local, found in zip(values, typed, strict=True):
        placed = local.replace(tzinfo=zone, fold=0)
        if placed.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local:
            assert found == placed.astimezone(UTC)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (datetime(2024, 3, 31, 1, 59, 59), utc(2024, 3, 31, 0, 59, 59)),  # noqa: DTZ001
        (datetime(2024, 3, 31, 2, 30), utc(2024, 3, 31, 1)),  # noqa: DTZ001  # left out: the first moment after
        (datetime(2024, 10, 27, 2, 30), utc(2024, 10, 27, 0, 30)),  # noqa: DTZ001  # twice: the first
    ],
    ids=["before the gap", "in the gap", "twice"],
)
def test_text_and_native_times_agree_where_clocks_change(local: datetime, expected: datetime) -> None:
    assert cast([local.isoformat()], "timestamp", BERLIN)[0] == [expected]
    assert cast(pa.array([local], pa.timestamp("us")), "timestamp", BERLIN)[0] == [expected]


@given(naive_times())
def test_native_times_with_a_zone_keep_their_moment(values: list[datetime]) -> None:
    moments = [one.replace(tzinfo=UTC) for one in values]
    away = pa.array(moments, pa.timestamp("us", "Asia/Kolkata"))
    assert cast(away, "timestamp", BERLIN) == (moments, [False] * len(moments))


@pytest.mark.parametrize("word", ["now", "today"])
def test_a_word_for_the_clock_is_no_time(word: str) -> None:
    assert cast([word], "timestamp") == ([None], [True])


def test_a_neighbour_s_nanoseconds_lose_no_time() -> None:
    texts = ["9999-12-31", "2024-07-01T12:00:00.123456789"]
    assert cast(texts[:1], "timestamp") == ([utc(9999, 12, 31)], [False])
    assert cast(texts, "timestamp")[0] == [utc(9999, 12, 31), utc(2024, 7, 1, 12, 0, 0, 123_456)]


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 30)),  # noqa: DTZ001
    st.sampled_from(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"]),
    st.sampled_from(["", "Z", "+02", "-0330", "+05:45"]),
    st.sampled_from(["UTC", BERLIN]),
)
def test_the_fast_way_and_the_slow_one_agree(moment: datetime, layout: str, zone: str, timezone: str) -> None:
    text = f"{moment.year:04}" + moment.strftime(layout)[-len(moment.strftime(layout.replace("%Y", ""))) :]
    text += zone if "%H" in layout else ""
    ((alone,), (bad,)) = cast([text], "timestamp", timezone)
    mixed = cast([text, "2024-07-01T00:00", "2024-07-01T00:00Z", "soon"], "timestamp", timezone)
    assert (mixed[0][0], mixed[1][0]) == (alone, bad)


@pytest.mark.filterwarnings("error")
def test_another_zone_makes_no_warning() -> None:
    cast(["2024-07-01T12:00:00"], "timestamp", BERLIN)


@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "timestamp"])
def test_missing_values_are_never_wrong(kind: ColumnType) -> None:
    for source in (pa.string(), pa.null(), ARROW_TYPES[kind]):
        assert cast(pa.nulls(3, source), kind, BERLIN) == ([None] * 3, [False] * 3)
        assert cast(pa.nulls(0, source), kind, BERLIN) == ([], [])


def test_chunks_do_not_matter() -> None:
    parts = [pa.array(["1", "x"]), pa.array([], pa.string()), pa.array([None, "4"])]
    typed, bad = cast_column(pa.chunked_array(parts), Column(type="integer"), "UTC")
    assert typed.to_pylist() == [1, None, None, 4]
    assert bad.tolist() == [False, True, False, False]


def test_the_longest_offset_is_read() -> None:
    assert cast(["2024-07-01T00:00:00+14:00"], "timestamp")[0] == [utc(2024, 7, 1) - timedelta(hours=14)]
