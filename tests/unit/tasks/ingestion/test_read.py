"""Files as they come: what can be read is read, what can't is set aside with its row and its text."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.contract import Column
from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.read import read_file
from tasks.stores.lake.schemas import ARROW_TYPES, ROW
from tasks.stores.lake.staging import UNREADABLE

COLUMNS = {
    "id": Column(type="string"),
    "n": Column(type="integer"),
    "x": Column(type="number", nullable=True),
    "at": Column(type="timestamp", nullable=True, required=False),
    "ok": Column(type="boolean", nullable=True, required=False),
}
GERMAN = {"delimiter": ";", "decimal": ","}
NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., pa.Table]:
    def write_and_read(name: str, content: str | bytes, timezone: str = "UTC", **source: Any) -> pa.Table:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, timezone, **source)

    return write_and_read


def read_table(path: Path, timezone: str = "UTC", **source: Any) -> pa.Table:
    table = read_file(path, Source(landing="x", **source), COLUMNS, timezone)
    assert table.column_names == [*COLUMNS, ROW, UNREADABLE]
    for name, column in COLUMNS.items():
        assert table.schema.field(name).type == ARROW_TYPES[column.type]
    return table


def rows(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def aside(table: pa.Table) -> dict[int, dict[str, str]]:
    """What was set aside: by row, the cell's text by column."""
    return {row: json.loads(told) for row, told in rows(table, ROW, UNREADABLE) if told is not None}


Read = Callable[..., pa.Table]


def test_a_csv_is_read_in_the_contract_s_types(read: Read) -> None:
    table = read("a.csv", "ok,at,extra,n,x,id\nyes,2024-07-01T12:00:00Z,?,1,1.5,a\n,,?,2,,b\n")
    assert rows(table, "id", "n", "x", "at", "ok", ROW) == [
        ("a", 1, 1.5, NOON, True, 1),
        ("b", 2, None, None, None, 2),
    ]
    assert aside(table) == {}


@pytest.mark.parametrize("words", ["NA", "N/A", "NaN", "null", "None", ""])
def test_words_for_nothing_are_missing(read: Read, words: str) -> None:
    table = read("a.csv", f"id,n,x\na,1,{words}\n{words},1,2\n")
    assert rows(table, "id", "x") == [("a", None), (None, 2.0)]
    assert aside(table) == {}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter(read: Read, delimiter: str) -> None:
    table = read("a.csv", "id,n,x\na,1,1.5\n".replace(",", delimiter), delimiter=delimiter)
    assert rows(table, "id", "n", "x") == [("a", 1, 1.5)]


def test_a_tsv_has_tabs_by_itself(read: Read) -> None:
    assert rows(read("a.tsv", "id\tn\tx\na,b\t1\t1.5\n"), "id", "n") == [("a,b", 1)]


def test_an_ending_in_capitals(read: Read) -> None:
    assert rows(read("A.CSV", "id,n,x\na,1,1.5\n"), "id") == [("a",)]


def test_a_byte_order_mark_is_no_part_of_a_name(read: Read) -> None:
    assert rows(read("a.csv", "\ufeffid,n,x\nü,1,1.5\n"), "id", "n") == [("ü", 1)]


@pytest.mark.parametrize("encoding", ["UTF-8", "utf_8", "UTF8"])
def test_a_byte_order_mark_under_any_of_the_encoding_s_names(read: Read, encoding: str) -> None:
    assert rows(read("a.csv", "\ufeffid,n,x\nü,1,1.5\n", encoding=encoding), "id") == [("ü",)]


@pytest.mark.parametrize("encoding", ["latin1", "cp1252", "utf-16"])
def test_another_encoding(read: Read, encoding: str) -> None:
    table = read("a.csv", "id,n,x\nZürich,1,1.5\n".encode(encoding), encoding=encoding)
    assert rows(table, "id") == [("Zürich",)]


def test_a_wrong_encoding_is_told(read: Read) -> None:
    with pytest.raises(DataRejectedError, match=r"the text is not utf-8: byte 0xfc at offset 8, in line 2.*: cp1252"):
        read("a.csv", "id,n,x\nZürich,1,1.5\n".encode("latin1"))
    with pytest.raises(DataRejectedError, match="unknown encoding: klingon"):
        read("a.csv", "id,n,x\na,1,1.5\n", encoding="klingon")


def test_a_decimal_comma(read: Read) -> None:
    table = read("a.csv", "id;n;x\n1,5;1;1,5\n;2;-0,25\n", **GERMAN)
    assert rows(table, "id", "n", "x") == [("1,5", 1, 1.5), (None, 2, -0.25)]


def test_a_decimal_comma_beside_a_bad_cell(read: Read) -> None:
    table = read("a.csv", "id;n;x\na;1;1,5\nb;two;2,5\nc;3;1.000,5\n", **GERMAN)
    assert rows(table, "n", "x") == [(1, 1.5), (None, 2.5), (3, None)]
    assert aside(table) == {2: {"n": "two"}, 3: {"x": "1.000,5"}}


def test_a_bad_cell_changes_no_text(read: Read) -> None:
    table = read("a.csv", "id;n;x\n1,5;1;1,5\n3,5;two;2,5\n", **GERMAN)
    assert rows(table, "id") == [("1,5",), ("3,5",)]


def test_a_bad_cell_changes_no_number(read: Read) -> None:
    good = "id;n;x\na;1;,5\nb;2;2,5e3\nc;3;4,\n"
    assert rows(read("a.csv", good, **GERMAN), "x") == [(0.5,), (2500.0,), (4.0,)]
    assert rows(read("b.csv", f"{good}d;four;1\n", **GERMAN), "x")[:3] == [(0.5,), (2500.0,), (4.0,)]


@pytest.mark.parametrize(
    ("cell", "column"), [("0x1F", "n"), ("9223372036854775807", "n"), ("+5", "n"), ("1E5", "x"), (" 7 ", "n")]
)
def test_a_cell_reads_alike_beside_a_bad_one(read: Read, cell: str, column: str) -> None:
    good = "id,n,x\n" + ("a,{},1\n" if column == "n" else "a,1,{}\n").format(cell)
    alone, beside = read("a.csv", good), read("b.csv", f"{good}b,two,1\n")
    assert beside.column(column)[0].as_py() == alone.column(column)[0].as_py()
    assert (1 in aside(beside)) == (1 in aside(alone))


def test_ragged_rows_are_set_aside_with_their_numbers(read: Read) -> None:
    table = read("a.csv", "id,n,x\na,1,1.5\nb,2\nc,3,2.5,9\nd,4,3.5\n")
    assert rows(table, ROW, "id", "n", "x") == [
        (1, "a", 1, 1.5),
        (2, None, None, None),
        (3, None, None, None),
        (4, "d", 4, 3.5),
    ]
    assert aside(table) == {2: {"": "2 fields, expected 3: b,2"}, 3: {"": "4 fields, expected 3: c,3,2.5,9"}}


def test_text_in_a_number_s_column_is_set_aside_with_its_row(read: Read) -> None:
    table = read("a.csv", "id,n,x\na,1,1.5\nb,two,2\nc,3,ü\nd,4.5,inf\n")
    assert rows(table, "id", "n", "x") == [("a", 1, 1.5), ("b", None, 2.0), ("c", 3, None), ("d", None, None)]
    assert aside(table) == {2: {"n": "two"}, 3: {"x": "ü"}, 4: {"n": "4.5", "x": "inf"}}


def test_ragged_and_bad_cells_together(read: Read) -> None:
    table = read("a.csv", "id,n,x\na,1,1.5\nb,2\nc,three,2.5\nd\ne,5,x\n")
    assert table.column(ROW).to_pylist() == [1, 2, 3, 4, 5]
    assert sorted(aside(table)) == [2, 3, 4, 5]
    assert aside(table)[3] == {"n": "three"}
    assert aside(table)[5] == {"x": "x"}


def test_row_numbers_hold_beyond_the_first_block(read: Read) -> None:
    lines = [f"row-{number:07d},{number},{number}.5" for number in range(1, 80_001)]
    lines[70_000 - 1] = "too,few"
    lines[75_000 - 1] = "row-0075000,many,1.5"
    content = "id,n,x\n" + "\n".join(lines) + "\n"
    assert len(content) > 2 * (1 << 20) - (1 << 19)
    table = read("a.csv", content)
    assert list(aside(table)) == [70_000, 75_000]
    assert table.num_rows == 80_000
    assert rows(table.slice(79_999), ROW, "id", "n") == [(80_000, "row-0080000", 80_000)]


def test_a_quoted_line_break_is_no_row(read: Read) -> None:
    table = read("a.csv", 'id,n,x\n"a\nb",1,1.5\n"c,""d""",two,1\n')
    assert rows(table, ROW, "id") == [(1, "a\nb"), (2, 'c,"d"')]
    assert aside(table) == {2: {"n": "two"}}


def test_blank_lines_are_no_rows(read: Read) -> None:
    table = read("a.csv", "id,n,x\n\na,1,1.5\n\nb,2\nc,three,1\n\n")
    assert rows(table, ROW, "id") == [(1, "a"), (2, None), (3, "c")]
    assert sorted(aside(table)) == [2, 3]


def test_windows_line_ends(read: Read) -> None:
    assert rows(read("a.csv", "id,n,x\r\na,1,1.5\r\nb,2,2.5\r\n"), "id", "x") == [("a", 1.5), ("b", 2.5)]


def test_times_without_zone_are_of_the_contract_s(read: Read) -> None:
    content = "id,n,x,at\na,1,1,2024-07-01 14:00\nb,1,1,2024-07-01T12:00:00Z\nc,1,1,soon\n"
    table = read("a.csv", content, "Europe/Berlin")
    assert table.column("at").to_pylist() == [NOON, NOON, None]
    assert aside(table) == {3: {"at": "soon"}}
    assert read("b.csv", content).column("at").to_pylist()[0] == NOON.replace(hour=14)


# --- whole files that are refused ---


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_an_empty_file_is_refused(read: Read, name: str) -> None:
    with pytest.raises(DataRejectedError, match=r"the file is empty \(0 bytes\)"):
        read(name, b"")


def test_a_header_alone_is_refused(read: Read) -> None:
    with pytest.raises(DataRejectedError, match="no rows below the header"):
        read("a.csv", "id,n,x\n")


def test_a_header_without_line_end_is_told_the_same(read: Read) -> None:
    with pytest.raises(DataRejectedError, match="no rows below the header"):
        read("a.csv", "id,n,x")


def test_missing_columns_are_named(read: Read) -> None:
    with pytest.raises(DataRejectedError) as caught:
        read("a.csv", "id,nn,y\na,1,1.5\n")
    assert str(caught.value) == (
        "columns missing: n, x; found: id, nn, y. "
        "If one of them has another name in the file, add that name to contract.columns.n.aliases."
    )


def test_a_name_that_is_likely_meant_is_told(read: Read) -> None:
    with pytest.raises(DataRejectedError, match=r"If ID means id, add it to contract.columns.id.aliases"):
        read("a.csv", "ID,n,x\na,1,1.5\n")
    with pytest.raises(DataRejectedError, match=r"found: id, n, 'x\\u200b'\. If 'x\\u200b' means x"):
        read("b.csv", "id,n,x\u200b\na,1,1.5\n")


def test_the_delimiter_is_suspected_where_it_may_be(read: Read) -> None:
    with pytest.raises(DataRejectedError) as caught:
        read("a.csv", "id;n;x\na;1;1.5\n", delimiter=",")
    assert "columns missing: id, n, x" in str(caught.value)
    assert "The header has ';' between names; source.delimiter is ','." in str(caught.value)


@pytest.mark.parametrize("name", ["n", "at"])
def test_a_column_that_stands_twice_is_refused(read: Read, name: str) -> None:
    with pytest.raises(DataRejectedError, match=f"columns appear twice: {name}; expected each once"):
        read("a.csv", f"id,n,x,at,{name}\na,1,1,,\n")


def test_a_column_of_no_interest_may_stand_twice(read: Read) -> None:
    assert rows(read("a.csv", "id,y,n,y,x\na,?,1,?,1.5\n"), "id", "n", "x") == [("a", 1, 1.5)]


def test_an_unknown_ending_is_told(read: Read) -> None:
    with pytest.raises(DataRejectedError, match=r"unknown extension '.txt'; expected .csv, .tsv"):
        read("a.txt", "id,n,x\na,1,1.5\n")
    assert rows(read("b.txt", "id,n,x\na,1,1.5\n", format="csv"), "id") == [("a",)]


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"\n\n\n", b"PK\x03\x04" + bytes(range(256))])
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_bytes_that_are_no_table_are_refused(read: Read, name: str, content: bytes) -> None:
    with pytest.raises(DataRejectedError):
        read(name, content)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Arrow's row handler on bad bytes
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from(["a.csv", "a.jsonl", "a.parquet"]))
def test_any_bytes_are_read_or_refused(read: Read, content: bytes, name: str) -> None:
    start = {"a.csv": b"id,n,x\na,1,1\n", "a.jsonl": b'{"id":"a","n":1,"x":1}\n', "a.parquet": b"PAR1"}[name]
    try:
        table = read(name, start + content)
    except DataRejectedError:
        return
    assert table.num_rows > 0
    assert table.column(ROW).to_pylist() == sorted(set(table.column(ROW).to_pylist()))


# --- parquet ---


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    local = pa.array([datetime(2024, 7, 1, 14)], pa.timestamp("ns"))  # noqa: DTZ001  # the contract's zone is the point
    path = parquet(tmp_path, {"x": [1.5], "id": ["a"], "n": pa.array([1], pa.int16()), "at": local, "more": [0]})
    assert rows(read_table(path, "Europe/Berlin"), "id", "n", "x", "at", "ok", ROW) == [("a", 1, 1.5, NOON, None, 1)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_parquet_file_is_refused(tmp_path: Path, share: float) -> None:
    path = parquet(tmp_path, {"id": ["a"] * 500, "n": list(range(500)), "x": [1.0] * 500})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataRejectedError, match="can't be read as parquet"):
        read_table(path)


def test_a_parquet_file_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"id": [f"row {one}" for one in range(500)], "n": list(range(500)), "x": [1.0] * 500})
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    with pytest.raises(DataRejectedError, match="can't be read as parquet"):
        read_table(path)


def test_wrong_types_in_parquet_are_set_aside(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"id": [1, 2], "n": ["1", "two"], "x": [1.5, None], "at": [5, 6], "ok": ["yes", "7"]})
    table = read_table(path)
    assert rows(table, "id", "n", "x", "at", "ok") == [("1", 1, 1.5, None, True), ("2", None, None, None, None)]
    assert aside(table) == {1: {"at": "5"}, 2: {"n": "two", "at": "6", "ok": "7"}}


def test_a_parquet_file_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRejectedError, match="no rows"):
        read_table(
            parquet(tmp_path, {"id": pa.array([], pa.string()), "n": pa.array([], pa.int64()), "x": pa.nulls(0)})
        )
    with pytest.raises(DataRejectedError, match="columns missing: n; found: id, x"):
        read_table(parquet(tmp_path, {"id": ["a"], "x": [1.0]}))


def test_a_column_that_stands_twice_in_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 4, names=["id", "n", "x", "n"]), path)
    with pytest.raises(DataRejectedError, match="columns appear twice: n"):
        read_table(path)


# --- jsonl ---


def lines(*records: Any) -> str:
    return "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in records)


def test_a_jsonl_file_is_read(read: Read) -> None:
    table = read(
        "a.jsonl",
        lines(
            {"id": "a", "n": 1, "x": 1.5, "at": "2024-07-01T12:00:00Z", "more": [1]},
            {"n": 2, "x": None, "id": "NA"},
        ),
    )
    assert rows(table, "id", "n", "x", "at", ROW) == [("a", 1, 1.5, NOON, 1), ("NA", 2, None, None, 2)]
    assert aside(table) == {}


def test_jsonl_s_own_booleans_are_read(read: Read) -> None:
    table = read("a.jsonl", lines({"id": "a", "n": 1, "x": 1, "ok": True}, {"id": "b", "n": 1, "x": 1, "ok": None}))
    assert rows(table, "ok") == [(True,), (None,)]
    assert aside(table) == {}


def test_numbers_in_a_text_column_are_texts(read: Read) -> None:
    table = read(
        "a.jsonl", lines({"id": "a", "n": 1, "x": 1}, {"id": 5, "n": 2, "x": 2.5}, {"id": 1.5, "n": 3, "x": 0})
    )
    assert rows(table, "id", "n", "x") == [("a", 1, 1.0), ("5", 2, 2.5), ("1.5", 3, 0.0)]
    assert aside(table) == {}


def test_broken_lines_are_set_aside_with_their_numbers(read: Read) -> None:
    good = {"id": "a", "n": 1, "x": 1.5}
    table = read("a.jsonl", lines(good, '{"id": "b", "n":\n', good, "[1, 2]\n", "x\n", {**good, "n": "two"}, '{"id"'))
    assert table.column(ROW).to_pylist() == [1, 2, 3, 4, 5, 6, 7]
    told = aside(table)
    assert sorted(told) == [2, 4, 5, 6, 7]
    assert told[2] == {"": 'not a JSON object: {"id": "b", "n":'}
    assert told[6] == {"n": "two"}


def test_cells_of_another_kind_are_set_aside(read: Read) -> None:
    table = read("a.jsonl", lines({"id": "a", "n": 1.5, "x": {"deep": 1}}, {"id": "b", "n": True, "x": "2.5"}))
    assert rows(table, "n", "x") == [(None, None), (None, 2.5)]
    assert aside(table) == {1: {"n": "1.5", "x": '{"deep": 1}'}, 2: {"n": "true"}}


def test_a_misspelt_name_in_jsonl_is_a_missing_column(read: Read) -> None:
    with pytest.raises(DataRejectedError, match="columns missing: id; found: idd, n, x"):
        read("a.jsonl", lines({"idd": "a", "n": 1, "x": 1}))


def test_a_first_line_that_is_broken_does_not_hide_the_names(read: Read) -> None:
    table = read("a.jsonl", lines("{\n", {"id": "a", "n": 1, "x": 1}))
    assert rows(table, ROW, "id") == [(1, None), (2, "a")]


def test_a_blank_line_in_jsonl_is_no_row_either_way(read: Read) -> None:
    good = lines({"id": "a", "n": 1, "x": 1}, "\n", {"id": "b", "n": 2, "x": 2}, "\n")
    assert aside(read("a.jsonl", good)) == {}
    table = read("b.jsonl", good + lines({"id": "c", "n": "three", "x": 3}))
    assert [told for told in aside(table).values() if "" in told] == []


def test_a_byte_order_mark_in_jsonl_is_no_mistake(read: Read) -> None:
    assert rows(read("a.jsonl", "\ufeff" + lines({"id": "a", "n": 1, "x": 1})), "id") == [("a",)]


@pytest.mark.parametrize("more", ["", '{"id": 1, "n": 1, "x": 1}\n'], ids=["alone", "beside a bad cell"])
def test_bytes_that_are_no_text_are_told_wherever_they_stand(read: Read, more: str) -> None:
    good = lines(*[{"id": f"row {number}", "n": 1, "x": 1} for number in range(2_000)]).encode()
    try:
        table = read("a.jsonl", good + b'{"id": "z\xce", "n": 1, "x": 1}\n' + more.encode())
    except DataRejectedError:
        return
    assert table.column("id").to_pylist()[2_000] is None
    assert 2_001 in aside(table)


# --- any values ---

texts = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and text not in ("NA", "NaN", "nan", "null", "NULL", "None", "N/A")
)
records = st.lists(
    st.tuples(texts, st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)),
    min_size=1,
    max_size=15,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records)
def test_every_format_gives_the_same_rows(read: Read, tmp_path: Path, values: list[tuple[str, int, float]]) -> None:
    named = [dict(zip(("id", "n", "x"), one, strict=True)) for one in values]
    csv = "id,n,x\n" + "".join('"{}",{},{!r}\n'.format(i.replace('"', '""'), n, x) for i, n, x in values)
    found = [read("a.csv", csv), read("a.jsonl", lines(*named))]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(named), path)
    for table in [*found, read_table(path)]:
        assert rows(table, "id", "n", "x") == values
        assert aside(table) == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records, st.data())
def test_a_bad_row_changes_no_other(read: Read, values: list[tuple[str, int, float]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values)))
    body = ['"{}",{},{!r}'.format(i.replace('"', '""'), n, x) for i, n, x in values]
    body.insert(place, data.draw(st.sampled_from(["a,1", "a,1,2,3", "a,one,2", "a,1,two"])))
    table = read("a.csv", "id,n,x\n" + "\n".join(body) + "\n")
    assert list(aside(table)) == [place + 1]
    kept = rows(table, "id", "n", "x")
    assert kept[:place] + kept[place + 1 :] == values
