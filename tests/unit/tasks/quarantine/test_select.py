"""Ids of entries: found by their beginning, told where they fit none or several."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import UsageError
from tasks.quarantine.export import csv_cell
from tasks.quarantine.select import KEY_COLUMN, EntryFilter, Key, Selection, find_batch, key_text, keys_of, parse_key

BATCHES = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), min_size=1, max_size=30, unique=True)


@settings(deadline=None)
@given(BATCHES, st.data())
def test_a_beginning_means_the_one_batch_that_it_fits(known: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(known))
    start = wanted[: data.draw(st.integers(1, 64))]
    hits = [one for one in known if one.startswith(start)]
    if len(hits) == 1:
        assert find_batch(start, known) == wanted
        assert parse_key(f"{start}:7", known) == Key(wanted, 7)
        assert parse_key(start.upper(), known) == Key(wanted, None)
    else:
        with pytest.raises(UsageError, match=f"matches {len(hits)} batches"):
            find_batch(start, known)


@pytest.mark.parametrize("wrong", ["", ":", "xyz", "3fa9:", "3fa9:x", "3fa9:-1", "3fa9:1:2", "a" * 65, "3fa9:1e3"])
def test_what_is_no_id_is_told(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse_key(wrong, ["3fa9" + "0" * 60])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a" * 64, "b" * 64]), st.none() | st.integers(1, 5)), min_size=1))
def test_keys_of_columns_are_those_of_entries(pairs: list[tuple[str, int | None]]) -> None:
    batch = pa.chunked_array([[one for one, _ in pairs]], pa.string())
    row = pa.chunked_array([[one for _, one in pairs]], pa.int64())
    assert keys_of(batch, row).to_pylist() == [key_text(Key(*one)) for one in pairs]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (Selection(), [1, 2, 3]),
        (Selection(file="*.csv"), [1, 2]),
        (Selection(file="day/*"), [1]),
        (Selection(expectation="BETWEEN"), [2]),
        (Selection(expectation="between(x", file="b.csv"), [2]),
        (Selection(feed="labels"), [3]),
        (Selection(expectation="(x)", feed="labels"), []),
    ],
)
def test_what_is_named_is_kept(wanted: Selection, kept: list[int]) -> None:
    entries = pa.table(
        {
            "batch": ["a" * 64] * 3,
            "row": [1, 2, 3],
            "path": ["day/a.csv", "b.csv", "c.jsonl"],
            "feed": ["observations", "observations", "labels"],
            "expectation": ["type", "expect_column_values_to_be_between(x)", "type"],
            KEY_COLUMN: ["x"] * 3,
        }
    )
    assert entries.filter(EntryFilter(wanted).mask(entries)).column("row").to_pylist() == kept


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_every_digit(number: float) -> None:
    assert repr(float(csv_cell(number))) == repr(number)
