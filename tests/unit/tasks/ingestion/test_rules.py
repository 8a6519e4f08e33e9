"""What the contract says of columns, and what the limits let in."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from configs.contract import Column, Policies
from configs.source import Limits
from tasks.errors import DataRejectedError
from tasks.ingestion.caster import Caster
from tasks.ingestion.nesting import check_nesting
from tasks.ingestion.raw import RawRows
from tasks.stores.lake import staging
from tasks.stores.lake.schemas import EXTRA
from tests.support.reading import COLUMNS, FORMATS, PACKED, ROWS, csv_of, jsonl_of, parquet_of, put, read

RENAMED = {
    "id": Column(type="string", aliases=("trip", "Trip ID")),
    "n": Column(type="integer", aliases=("count",)),
    "x": Column(type="number", nullable=True, required=False, aliases=("length",)),
}
KEEP, REJECT = Policies(unknown_columns="keep"), Policies(unknown_columns="reject")


def named(**names: str) -> list[dict[str, Any]]:
    """The rows' first three columns, under other names."""
    return [{names.get(name, name): row[name] for name in ("id", "n", "x")} for row in ROWS]


# --- names ---


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_former_name_is_read_and_told(tmp_path: Path, name: str) -> None:
    found = read(put(tmp_path, name, FORMATS[name](named(id="Trip ID", x="length"))), RENAMED)
    assert found.rows("id", "n", "x") == [("a", 1, 1.5), ("ü", -2, None), ("c,d", 3, 0.25)]
    assert found.notes == ("renamed: Trip ID as id, length as x",)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_two_names_of_one_column_are_refused(tmp_path: Path, name: str) -> None:
    rows = [{**row, "count": 7} for row in named()]
    with pytest.raises(DataRejectedError, match="columns n and count both mean n; expected one of them"):
        read(put(tmp_path, name, FORMATS[name](rows)), RENAMED)


def test_a_name_that_changes_within_jsonl_is_never_lost(tmp_path: Path) -> None:
    content = jsonl_of(named() * 10_000) + jsonl_of(named(n="count"))
    with pytest.raises(DataRejectedError, match="columns n and count both mean n"):
        read(put(tmp_path, "a.jsonl", content), RENAMED)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_becomes_of_a_missing_optional_column(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, FORMATS[name]([{"id": "a", "n": 1}]))
    assert read(path, RENAMED).notes == ("absent, read as missing: x",)
    assert read(path, RENAMED).rows("x") == [(None,)]
    assert read(path, RENAMED, policies=Policies(missing_optional="warn")).notes == ("warning: absent: x",)
    with pytest.raises(DataRejectedError, match=r"optional columns missing: x; contract\.policies\.missing_optional"):
        read(path, RENAMED, policies=Policies(missing_optional="reject"))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_becomes_of_unknown_columns(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "b c": "text", "n": 1, "x": 1.5, "d": 7},
        {"id": "b", "b c": None, "n": 2, "x": 2.5, "d": 8},
    ]
    path = put(tmp_path, name, FORMATS[name](rows))
    ignored = read(path, RENAMED)
    assert ignored.notes == ("ignored: b c, d",)
    assert EXTRA.name not in ignored.table.column_names
    kept = read(path, RENAMED, policies=KEEP)
    assert kept.notes == ("kept as text: b c, d",)
    assert kept.table.schema.field("_extra").equals(EXTRA)
    assert kept.rows("_extra") == [([("b c", "text"), ("d", "7")],), ([("d", "8")],)]
    assert kept.rows("id", "n", "x") == ignored.rows("id", "n", "x")
    with pytest.raises(DataRejectedError, match=r"unknown columns: b c, d; .* 'reject'\. Add them"):
        read(path, RENAMED, policies=REJECT)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_other_columns_of_the_contract_are_not_unknown(tmp_path: Path, name: str) -> None:
    found = read(put(tmp_path, name, FORMATS[name](ROWS)), RENAMED, policies=REJECT, others=["at"])
    assert found.notes == ()


def test_an_unknown_name_further_down_in_jsonl_is_refused_and_kept(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jsonl", jsonl_of(named() * 10_000) + jsonl_of([{**named()[0], "late": [1, {"a": "ü"}]}]))
    with pytest.raises(DataRejectedError, match="unknown columns: late"):
        read(path, RENAMED, policies=REJECT)
    kept = read(path, RENAMED, policies=KEEP).rows("_extra")
    assert kept[-2:] == [([],), ([("late", '[1, {"a": "ü"}]')],)]


def test_at_most_ten_names_are_told(tmp_path: Path) -> None:
    names = [f"u{number}" for number in range(30)]
    content = ",".join(["id", "n", *names]) + "\n" + ",".join(["a", "1", *names]) + "\n"
    notes = read(put(tmp_path, "a.csv", content), RENAMED).notes
    assert notes[1] == f"ignored: {', '.join(names[:10])} and 20 more"


def test_rows_set_aside_have_no_extras(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.csv", "id,n,x,u\na,1,1,9\nb,2\nc,x,3,\n"), RENAMED, policies=KEEP)
    assert found.rows("_extra") == [([("u", "9")],), (None,), ([],)]
    assert sorted(found.aside()) == [2, 3]


# --- what quarantine gives back ---


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_readmitted_file_tells_where_its_rows_come_from(tmp_path: Path, name: str) -> None:
    rows = [{**row, "_quarantine": f"entry {number}"} for number, row in enumerate(ROWS)]
    found = read(put(tmp_path, name, FORMATS[name](rows)), readmitted=True, policies=REJECT, format="csv")
    assert found.table.column_names[-3:] == ["_quarantine", "_row", "_unreadable"]
    assert found.rows("_quarantine", "_row") == [("entry 0", 1), ("entry 1", 2), ("entry 2", 3)]
    plain = read(put(tmp_path, f"b{name[1:]}", FORMATS[name](ROWS)), readmitted=True)
    assert plain.rows("_quarantine") == [(None,)] * 3
    assert plain.notes == ()


# --- values that mean missing, and types that are let in ---


MISSING: list[tuple[Column, list[Any], list[Any]]] = [
    (Column(type="number", missing=(-1, 9999, "unknown")), [1.5, -1, 9999.0], [1.5, None, None]),
    (Column(type="number", missing=(-1, "unknown")), ["2", " unknown ", "-1.0"], [2.0, None, None]),
    (Column(type="integer", missing=(0,)), [0, 5], [None, 5]),
    (Column(type="string", missing=("none", 9)), ["none", " none ", "9", "nonesuch"], [None, None, None, "nonesuch"]),
    (Column(type="boolean", missing=("?",)), ["?", "yes"], [None, True]),
    (
        Column(type="timestamp", missing=("1900-01-01", "never")),
        ["never", "1900-01-01T00:00:00Z", "2024-07-01"],
        [None, None, datetime(2024, 7, 1, tzinfo=UTC)],
    ),
]


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize(("column", "cells", "expected"), MISSING)
def test_values_that_mean_missing(
    tmp_path: Path, ending: str, column: Column, cells: list[Any], expected: list[Any]
) -> None:
    rows = [{"id": str(number), "v": cell} for number, cell in enumerate(cells)]
    found = read(put(tmp_path, f"a.{ending}", FORMATS[f"a.{ending}"](rows)), {"id": Column(type="string"), "v": column})
    assert found.rows("v") == [(one,) for one in expected]
    assert found.aside() == {}


def test_a_native_moment_may_mean_missing(tmp_path: Path) -> None:
    column = Column(type="timestamp", missing=("1900-01-01", 0))
    old, new = datetime(1900, 1, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)
    pq.write_table(pa.table({"v": [old, new]}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", {"v": column}).rows("v") == [(None,), (new,)]
    pq.write_table(pa.table({"v": [0, 1]}), tmp_path / "b.parquet")
    found = read(tmp_path / "b.parquet", {"v": column})
    assert found.rows("v") == [(None,), (None,)]
    assert found.aside() == {2: {"v": "1"}}


def test_texts_that_mean_missing_are_the_source_s(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.csv", "id,n,x\nNA,1,-\n-,2,1\n"), missing=("-",))
    assert found.rows("id", "x") == [("NA", None), (None, 1.0)]


FOUND: dict[str, pa.Array] = {
    "text": pa.array(["1"]),
    "integer": pa.array([1]),
    "number": pa.array([1.0]),
    "boolean": pa.array([True]),
    "date": pa.array([date(2024, 7, 1)]),
    "timestamp": pa.array([datetime(2024, 7, 1, tzinfo=UTC)]),
    "list": pa.array([[1]]),
}


@pytest.mark.parametrize("found", sorted(FOUND))
@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "timestamp"])
def test_only_types_that_are_let_in_come_in(tmp_path: Path, found: str, kind: Any) -> None:
    own = {"string": "text"}.get(kind, kind)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"v": FOUND[found]}), path)
    read(path, {"v": Column(type=kind)})  # left out, every cell is judged by itself
    if found == own:
        read(path, {"v": Column(type=kind, casts=())})
        return
    if found != "list":
        read(path, {"v": Column(type=kind, casts=("date", found))})  # type: ignore[arg-type]
    with pytest.raises(DataRejectedError, match=rf"column v is of type {found}; expected {own}\. To accept it"):
        read(path, {"v": Column(type=kind, casts=())})


@pytest.mark.parametrize(
    ("column", "values", "refused"),
    [
        (Column(type="timestamp", casts=("text",)), ["2024-07-01"], ""),
        (Column(type="timestamp", casts=()), ["2024-07-01"], "text"),
        (Column(type="number", casts=()), [1.5, 1, None], ""),
        (Column(type="number", casts=()), [1.5, "1"], "text"),
        (Column(type="integer", casts=()), [1, 1.5], "number"),
        (Column(type="integer", casts=("text",)), [1, "x"], ""),
        (Column(type="string", casts=()), ["a", 1, True], "boolean, integer"),
        (Column(type="boolean", casts=()), [True, {"a": 1}], "object"),
    ],
)
def test_jsonl_says_types_value_by_value(tmp_path: Path, column: Column, values: list[Any], refused: str) -> None:
    path = put(tmp_path, "a.jsonl", "".join(json.dumps({"v": one}) + "\n" for one in values))
    if not refused:
        read(path, {"v": column})
        return
    with pytest.raises(DataRejectedError, match=f"column v is of type {refused}; expected"):
        read(path, {"v": column})


def test_excel_says_types_cell_by_cell(tmp_path: Path) -> None:
    book = Workbook()
    for row in (["at", "x"], [datetime(2024, 7, 1, 12), 1], ["2024-07-02", 2.5]):  # noqa: DTZ001  # sheets have no zones
        book.worksheets[0].append(row)
    book.save(tmp_path / "a.xlsx")
    columns = {"at": Column(type="timestamp", casts=("text",)), "x": Column(type="number", casts=())}
    assert read(tmp_path / "a.xlsx", columns, timezone="Europe/Berlin").rows("at", "x") == [
        (datetime(2024, 7, 1, 10, tzinfo=UTC), 1.0),
        (datetime(2024, 7, 1, 22, tzinfo=UTC), 2.5),
    ]
    with pytest.raises(DataRejectedError, match="column at is of type text"):
        read(tmp_path / "a.xlsx", {**columns, "at": Column(type="timestamp", casts=())})


def test_csv_says_no_types(tmp_path: Path) -> None:
    assert read(put(tmp_path, "a.csv", "v\n2024-07-01\n"), {"v": Column(type="timestamp", casts=())}).aside() == {}


# --- from the fast way to the slow one ---


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bad_rows_anywhere_leave_every_number_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setattr("tasks.ingestion.csv_rows._BLOCK", 256)  # many blocks
    count = data.draw(st.integers(50, 300))
    bad = data.draw(st.dictionaries(st.integers(1, count), st.sampled_from(["a,1", "a,b,2", "a,1,2,3", "a,1,x"])))
    body = [bad.get(number, f"r{number},{number},{number}.5") for number in range(1, count + 1)]
    found = read(put(tmp_path, "a.csv", "id,n,x\n" + "\n".join(body)), limits=Limits(row_bytes=1024))
    assert sorted(found.aside()) == sorted(bad)
    assert found.rows("_row") == [(number,) for number in range(1, count + 1)]
    good = [(f"r{number}", number, number + 0.5) for number in range(1, count + 1) if number not in bad]
    assert [row[1:] for row in found.rows("_row", "id", "n", "x") if row[0] not in bad] == good
    assert found.lines == 1


def test_a_file_of_nothing_but_broken_rows_is_told_row_by_row(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.csv", "id,n,x\n" + "a,1\n" * 5000))
    assert found.table.num_rows == len(found.aside()) == 5000


# --- limits ---


def refusal(path: Path, **limits: Any) -> str:
    with pytest.raises(DataRejectedError) as caught:
        read(path, limits=Limits(**limits))
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_rows_and_columns_have_limits(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, FORMATS[name](ROWS))
    read(path, limits=Limits(rows=3, columns=4))
    assert refusal(path, rows=2) == (
        "the file has 3 rows or more; the limit is 2. To accept such files, raise source.limits.rows."
    )
    assert refusal(path, columns=3) == (
        "the file has 4 columns; the limit is 3. To accept such files, raise source.limits.columns."
    )


def test_a_file_s_size_has_a_limit(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", csv_of(ROWS))
    size = path.stat().st_size
    read(path, limits=Limits(file_bytes=size))
    assert refusal(path, file_bytes=size - 1).startswith(f"the file has {size} bytes; the limit is {size - 1}.")


@pytest.mark.parametrize("ending", sorted(PACKED))
def test_a_bomb_stops_growing_at_the_limit(tmp_path: Path, ending: str) -> None:
    path = put(tmp_path, f"a.csv{ending}", PACKED[ending](b"id,n,x\n" + b"a,1,1\n" * (4 << 20)))
    assert "source.limits.decompressed_bytes" in refusal(path, decompressed_bytes=1 << 20)
    told = refusal(path, ratio=20.0)
    assert "times its size or more; the limit is 20. To accept such files, raise source.limits.ratio." in told
    assert list(tmp_path.iterdir()) == [path]


def test_what_parquet_and_excel_declare_counts(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.xlsx", "a.feather"):
        path = put(tmp_path, name, FORMATS[name](ROWS))
        assert "source.limits.decompressed_bytes" in refusal(path, decompressed_bytes=100)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_has_a_limit(tmp_path: Path, name: str) -> None:
    rows = [*ROWS, {**ROWS[0], "id": "x" * 5000}, *ROWS]
    path = put(tmp_path, name, FORMATS[name](rows))
    read(path, limits=Limits(row_bytes=6000))
    told = refusal(path, row_bytes=2000)
    assert "the limit is 2,000. To accept such files, raise source.limits.row_bytes." in told


def test_a_row_of_several_lines_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.ingestion.csv_rows._BLOCK", 1024)
    path = put(tmp_path, "a.csv", "id,n,x\na,1,1\n" + '"' + "line\n" * 2000 + '",2,2\nb,3,3\n')
    assert "source.limits.row_bytes" in refusal(path, row_bytes=1024)


def test_a_header_has_a_limit(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", ",".join(f"column{number}" for number in range(20_000)) + "\n")
    assert "source.limits" in refusal(path, row_bytes=2000)


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_nesting_has_a_limit(tmp_path: Path, opening: str) -> None:
    closing = "}" if opening.startswith("{") else "]"
    for depth, deep in ((31, False), (32, True), (200_000, True)):
        line = '{"id": "[[[[", "n": 1, "x": 1, "y": ' + opening * depth + "1" + closing * depth + "}\n"
        path = put(tmp_path, f"{depth}.jsonl", jsonl_of(ROWS) + line.encode())
        if deep:
            told = f"line 4 has objects and lists {depth + 1} deep; the limit is 32."
            assert refusal(path, nesting=32).startswith(told)
        else:
            assert read(path, limits=Limits(nesting=32)).table.num_rows == 4


@given(st.recursive(st.none() | st.text(max_size=5), lambda one: st.lists(one, max_size=3), max_leaves=30))
def test_nesting_is_measured_as_python_does(value: Any) -> None:
    def depth(one: Any) -> int:
        return 1 + max(map(depth, one), default=0) if isinstance(one, list) else 0

    line = json.dumps({"v": value}, ensure_ascii=False).encode()
    deep = depth(value) + 1
    check_nesting(line, 1, Limits(nesting=deep))
    if deep > 1:
        with pytest.raises(DataRejectedError, match=f"{deep} deep"):
            check_nesting(b"{}\n" * 50 + line, 1, Limits(nesting=deep - 1))


# --- types that flip ---


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1]], pa.list_(pa.int64())),
        pa.array([{"a": 1}]),
        pa.array([b"\xff"]),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time64("us")),
        pa.array([2**62], pa.timestamp("s")),
        pa.array([86_400_000 * 2**33], pa.date64()),
        pa.array([-(2**31)], pa.date32()),
        pa.array([1], pa.timestamp("ns")),
        pa.array([2**63], pa.uint64()),
        pa.array([float("inf")]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array(["a"], pa.large_string()),
        pa.array(["a"]).dictionary_encode(),
        pa.array(["a"], pa.string_view()),
    ],
    ids=lambda values: str(values.type),
)
@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "timestamp"])
def test_any_type_is_read_or_told_for_any_column(values: pa.Array, kind: Any) -> None:
    caster = Caster({"v": Column(type=kind)}, "Europe/Berlin", keep=True)
    batch = caster.staged(RawRows(pa.array([1]), {"v": values}, {"u": values}))
    batch.validate(full=True)
    (row,) = batch.to_pylist()
    assert (row["v"] is None) == (row["_unreadable"] is not None)
    assert [name for name, _ in row["_extra"]] == ["u"]


def test_text_of_parquet_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [*pa.array(["xy"]).buffers()[:2], pa.py_buffer(b"\xff\xfe")])
    pq.write_table(pa.table({"id": bad, "n": [1], "x": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(DataRejectedError, match=r"can't be read as parquet: .*UTF"):
        read(tmp_path / "a.parquet")


def test_a_parquet_file_without_any_wanted_column_still_counts_its_rows(tmp_path: Path) -> None:
    path = put(tmp_path, "a.parquet", parquet_of(ROWS))
    found = read(path, {"q": Column(type="number", nullable=True, required=False)})
    assert found.rows("q", "_row") == [(None, 1), (None, 2), (None, 3)]


def test_half_a_surrogate_pair_is_set_aside(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.jsonl", jsonl_of(ROWS) + b'{"id": "\\ud800", "n": 1, "x": 1}\n'))
    assert found.aside()[4][""].startswith("text that is no Unicode")


# --- staging ---


def test_batches_are_staged_as_they_come_and_read_as_they_were(tmp_path: Path) -> None:
    batches = pa.table({"a": list(range(10)), "b": ["x"] * 10}).to_batches(max_chunksize=4)
    assert staging.write_batches(tmp_path / "s" / "t.arrow", batches[0].schema, iter(batches)) == 10
    assert list(staging.batches(tmp_path / "s" / "t.arrow")) == batches
    assert [one.schema.names for one in staging.batches(tmp_path / "s" / "t.arrow", ["b"])] == [["b"]] * 3
    assert staging.read(tmp_path / "s" / "t.arrow").equals(pa.Table.from_batches(batches))


def test_a_refusal_halfway_stages_nothing(tmp_path: Path) -> None:
    from configs.source import Source
    from tasks.ingestion.read import read_batches

    path = put(tmp_path, "a.csv", csv_of(ROWS))
    with (
        pytest.raises(DataRejectedError, match="rows or more"),
        read_batches(path, Source(landing="x", limits=Limits(rows=2)), COLUMNS, "UTC") as reading,
    ):
        staging.write_batches(tmp_path / "s" / "t.arrow", reading.schema, reading)
    assert list((tmp_path / "s").iterdir()) == []
