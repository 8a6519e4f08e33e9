"""Hashes must never change: row ids and holdouts of every lake hang on them."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stores.files.hashing import position_hash, row_hash, unit_interval

TABLE = pa.table(
    {
        "text": pa.array(["a", "b", "", "Zürich"]),
        "integer": pa.array([1, 2, -3, 2**62], pa.int64()),
        "number": pa.array([0.5, 1.0, -1e300, 0.0]),
        "boolean": pa.array([True, False, True, False]),
        "time": pa.array([0, 1, -1, 1_704_067_200_000_000], pa.timestamp("us", tz="UTC")),
    }
)
GOLDEN = {
    "text": [6904321688593382373, 5642030327692761844, -5285783412581288357, 378640683593405171],
    "integer": [-807956506445774342, 8793755807196221599, -5519123213622214684, -5685599863447629606],
    "number": [-6739504873496293494, -4010377153859802565, 7995623903646029017, -7046029254386353131],
    "boolean": [-807956506445774342, -7046029254386353131, -807956506445774342, -7046029254386353131],
    "time": [-7046029254386353131, -807956506445774342, 5982979012490049936, 2654168568278577537],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_column_hashes_as_it_always_did(name: str) -> None:
    assert row_hash(TABLE, [name]).tolist() == GOLDEN[name]


def test_several_columns_hash_as_they_always_did() -> None:
    assert row_hash(TABLE, ["text", "integer"]).tolist() == [
        7969370296860852545,
        93910622590358291,
        -5866223214664258847,
        1440575309111368631,
    ]


def test_row_numbers_hash_as_they_always_did() -> None:
    assert position_hash("00112233445566778899aabbccddeeff", np.array([1, 2, 3])).tolist() == [
        6233883682799510418,
        -2611214065145580803,
        2180442465331400327,
    ]


def test_the_unit_interval_is_as_it_always_was() -> None:
    assert unit_interval(np.array([0, 1, -1], dtype=np.int64), 20260105).tolist() == [
        0.4520514107583835,
        0.7823642298839907,
        0.19033693494490422,
    ]


words = st.lists(st.one_of(st.none(), st.text(alphabet="abcé ", max_size=3)), min_size=1, max_size=20)
cuts = st.lists(st.integers(0, 20), max_size=4)


def chunked(values: pa.Array, places: list[int]) -> pa.ChunkedArray:
    edges = [0, *sorted(min(place, len(values)) for place in places), len(values)]
    return pa.chunked_array([values.slice(begin, end - begin) for begin, end in pairwise(edges)], values.type)


@given(words, cuts)
def test_chunks_do_not_matter_for_text(values: list[str | None], places: list[int]) -> None:
    whole = pa.array(values, pa.string())
    expected = row_hash(pa.table({"x": whole}), ["x"])
    assert np.array_equal(row_hash(pa.table({"x": chunked(whole, places)}), ["x"]), expected)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), cuts)
def test_chunks_do_not_matter_for_integers(values: list[int], places: list[int]) -> None:
    whole = pa.array(values, pa.int64())
    expected = row_hash(pa.table({"x": whole}), ["x"])
    assert np.array_equal(row_hash(pa.table({"x": chunked(whole, places)}), ["x"]), expected)


@given(words)
def test_a_text_hashes_alike_in_any_company(values: list[str | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.string())})
    alone = [row_hash(table.slice(index, 1), ["x"])[0] for index in range(len(values))]
    assert row_hash(table, ["x"]).tolist() == alone


@pytest.mark.parametrize("kind", [pa.int64(), pa.bool_(), pa.timestamp("us", tz="UTC")], ids=str)
def test_a_missing_neighbour_changes_no_hash(kind: pa.DataType) -> None:
    alone = row_hash(pa.table({"x": pa.array([1], pa.int64()).cast(kind)}), ["x"])
    beside = row_hash(pa.table({"x": pa.array([1, None], pa.int64()).cast(kind)}), ["x"])
    assert beside[0] == alone[0]


def test_equal_numbers_hash_equally() -> None:
    zero, minus_zero = row_hash(pa.table({"x": [0.0, -0.0]}), ["x"])
    assert zero == minus_zero


def test_the_unit_of_a_time_does_not_matter() -> None:
    moments = [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 7, 1, 12, tzinfo=UTC)]
    hashes = [
        row_hash(pa.table({"x": pa.array(moments, pa.timestamp(unit, "UTC"))}), ["x"]) for unit in ("s", "ms", "us")
    ]
    assert hashes[0].tolist() == hashes[1].tolist() == hashes[2].tolist()


def test_the_order_of_columns_matters() -> None:
    table = pa.table({"x": [1, 2], "y": [2, 1]})
    assert row_hash(table, ["x", "y"])[0] != row_hash(table, ["y", "x"])[0]
    assert row_hash(table, ["x", "y"])[0] != row_hash(table, ["x", "y"])[1]


def test_many_keys_do_not_collide() -> None:
    n = 100_000
    table = pa.table({"day": np.arange(n) // 100, "stop": [f"S{one % 100}" for one in range(n)]})
    assert len(np.unique(row_hash(table, ["day", "stop"]))) == n


def test_rows_of_two_files_do_not_collide() -> None:
    numbers = np.arange(1, 10_001)
    first = position_hash("0123456789abcdef" + "0" * 48, numbers)
    second = position_hash("0123456789abcdee" + "0" * 48, numbers)
    assert len(np.unique(np.concatenate([first, second]))) == 20_000


def test_no_rows_have_no_hashes() -> None:
    for name in TABLE.column_names:
        assert row_hash(TABLE.slice(0, 0), [name]).shape == (0,)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(0, 2**63 - 1))
def test_the_unit_interval_holds_its_numbers(values: list[int], salt: int) -> None:
    numbers = unit_interval(np.array(values, dtype=np.int64), salt)
    assert ((numbers >= 0) & (numbers < 1)).all()


def test_the_unit_interval_is_uniform() -> None:
    numbers = unit_interval(np.arange(100_000, dtype=np.int64), 5)
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert np.abs(counts - 5_000).max() < 5 * np.sqrt(5_000)


def test_another_salt_mixes_anew() -> None:
    values = np.arange(20_000, dtype=np.int64)
    assert abs(np.corrcoef(unit_interval(values, 1), unit_interval(values, 2))[0, 1]) < 0.05
