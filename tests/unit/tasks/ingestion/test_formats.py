"""How files are written is found or told: formats, compression, csv's many ways, encodings."""

from __future__ import annotations

import io
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from tasks.errors import DataRejectedError
from tests.support.reading import (
    COLUMNS,
    FORMATS,
    PACKED,
    ROWS,
    csv_of,
    excel_of,
    jsonl_of,
    parquet_of,
    put,
    read,
    zip_of,
    zstd_of,
)


def plain(path: Path, **source: Any) -> list[tuple[Any, ...]]:
    found = read(path, **source)
    assert found.aside() == {}
    return found.rows("id", "n", "x", "_row")


EXPECTED = [("a", 1, 1.5, 1), ("ü", -2, None, 2), ("c,d", 3, 0.25, 3)]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    found = read(put(tmp_path, name, FORMATS[name](ROWS)))
    assert found.rows("id", "n", "x", "_row") == EXPECTED
    assert [one and one.isoformat() for (one,) in found.rows("at")] == [
        "2024-07-01T12:00:00+00:00",
        None,
        "2024-07-01T13:00:00+00:00",
    ]
    assert found.aside() == {}
    assert found.notes == ()


@pytest.mark.parametrize("ending", sorted(PACKED))
@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.jsonl", "a.parquet", "a.xlsx", "a.feather"])
def test_compressed_files_are_known_by_their_ending(tmp_path: Path, name: str, ending: str) -> None:
    content = PACKED[ending](FORMATS[name.lower()](ROWS))
    assert plain(put(tmp_path, name + ending, content)) == EXPECTED


@pytest.mark.parametrize(("compression", "ending"), [("gzip", ".gz"), ("zstd", ".zst"), ("zip", ".zip")])
def test_a_compression_is_told(tmp_path: Path, compression: str, ending: str) -> None:
    assert plain(put(tmp_path, "a.csv", PACKED[ending](csv_of(ROWS))), compression=compression) == EXPECTED


def test_a_zip_s_file_tells_its_format(tmp_path: Path) -> None:
    assert plain(put(tmp_path, "day.zip", zip_of(("day/a.parquet", parquet_of(ROWS))))) == EXPECTED


def test_gzip_and_zstd_of_several_parts_are_read_whole(tmp_path: Path) -> None:
    content = csv_of(ROWS)
    for ending in (".gz", ".zst"):
        parts = b"".join(PACKED[ending](one) for one in (content[:30], content[30:]))
        assert plain(put(tmp_path, f"a.csv{ending}", parts)) == EXPECTED


@pytest.mark.parametrize("ending", sorted(PACKED))
def test_a_truncated_archive_is_refused(tmp_path: Path, ending: str) -> None:
    content = PACKED[ending](csv_of(ROWS * 500))
    with pytest.raises(DataRejectedError, match=r"can't be read as (gzip|zstd|zip): \S"):
        read(put(tmp_path, f"a.csv{ending}", content[: len(content) // 2]))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([], "holds 0 files, expected one"),
        ([("a.csv", b"x"), ("b.csv", b"y")], "holds 2 files, expected one: 'a.csv', 'b.csv'"),
        ([("../a.csv", b"x")], r"called '\.\./a\.csv'"),
        ([("/a.csv", b"x")], "expected a name without"),
        ([("a\x07.csv", b"x")], "control characters"),
        ([("C:\\a.csv", b"x")], "expected a name without"),
    ],
)
def test_a_zip_of_anything_but_one_plain_file_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], reason: str
) -> None:
    with pytest.raises(DataRejectedError, match=reason):
        read(put(tmp_path, "a.csv.zip", zip_of(*members)))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of(("a.csv", csv_of(ROWS))))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.start_dir
    content[6] |= 1
    content[start + 8] |= 1
    with pytest.raises(DataRejectedError, match="the zip is encrypted; expected one without a password"):
        read(put(tmp_path, "a.csv.zip", bytes(content)))


@pytest.mark.parametrize(("name", "content"), [("a.csv.gz", PACKED[".gz"](b"")), ("a.csv.zst", zstd_of(b""))])
def test_an_archive_of_nothing_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataRejectedError, match="the file is empty once decompressed"):
        read(put(tmp_path, name, content))


# --- csv ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_delimiter_is_found(tmp_path: Path, name: str, delimiter: str) -> None:
    assert plain(put(tmp_path, name, csv_of(ROWS, delimiter))) == EXPECTED


def test_a_delimiter_within_other_names_does_not_mislead(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", 'id;n;x;"a, b, c, d, e"\nu;1;2;3\n')
    assert plain(path) == [("u", 1, 2.0, 1)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,5", "2"], [1.5, 2.0]),
        (["-0,25", "+1,5"], [-0.25, 1.5]),
        (["1.5", "2.25"], [1.5, 2.25]),
        (["1", "2"], [1.0, 2.0]),
    ],
)
def test_the_decimal_mark_is_found(tmp_path: Path, cells: list[str], expected: list[float]) -> None:
    body = "".join(f"1,5;{number};{cell}\n" for number, cell in enumerate(cells))
    found = read(put(tmp_path, "a.csv", f"id;n;x\n{body}"))
    assert found.rows("id", "x") == [("1,5", one) for one in expected]
    assert found.aside() == {}


def test_points_and_commas_together_are_not_guessed(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.csv", "id;n;x\na;1;1,5\nb;2;1.5\n"))
    assert found.rows("x") == [(None,), (1.5,)]
    assert found.aside() == {1: {"x": "1,5"}}
    told = read(put(tmp_path, "b.csv", "id;n;x\na;1;1,5\nb;2;1.5\n"), decimal=",")
    assert told.rows("x") == [(1.5,), (None,)]
    assert told.aside() == {2: {"x": "1.5"}}


def test_points_for_thousands_are_never_decimal_ones(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.csv", "id;n;x\na;1.000;1,5\nb;2;1.500\nc;3,0;,5\n"), decimal=",")
    assert found.rows("n", "x") == [(None, 1.5), (2, None), (3, 0.5)]
    assert found.aside() == {1: {"n": "1.000"}, 2: {"x": "1.500"}}


def test_a_decimal_comma_in_a_renamed_column_is_found(tmp_path: Path) -> None:
    columns = {**COLUMNS, "x": COLUMNS["x"].model_copy(update={"aliases": ("wert",)})}
    assert read(put(tmp_path, "a.csv", "id;n;wert\na;1;1,5\n"), columns).rows("x") == [(1.5,)]


def test_the_quote_is_found(tmp_path: Path) -> None:
    assert plain(put(tmp_path, "a.csv", "'id','n','x'\n'a,b','1','1.5'\n")) == [("a,b", 1, 1.5, 1)]
    assert plain(put(tmp_path, "b.csv", '"id","n","x"\n"a,\'b",1,1.5\n')) == [("a,'b", 1, 1.5, 1)]


def test_quotes_may_be_plain_text(tmp_path: Path) -> None:
    assert plain(put(tmp_path, "a.csv", 'id,n,x\n"a,1,1.5\n'), quote="none") == [('"a', 1, 1.5, 1)]


@pytest.mark.parametrize("comment", ["", ",more"])
def test_a_quote_that_is_never_closed_is_told_before_it_swallows_rows(tmp_path: Path, comment: str) -> None:
    body = "".join(f"r{number},{number},1.5{comment and ',fine'}\n" for number in range(1, 6))
    bad = 'r6,6,1.5,"oops\n' if comment else '"r6,6,1.5\n'
    with pytest.raises(DataRejectedError, match="a quote is opened in row 6 and never closed"):
        read(put(tmp_path, "a.csv", f"id,n,x{comment}\n{body}{bad}{body}"))


def test_line_numbers_follow_where_a_row_is_a_line(tmp_path: Path) -> None:
    assert read(put(tmp_path, "a.csv", "id,n,x\na,1,1\nb,2,2\n")).lines == 1
    assert read(put(tmp_path, "b.csv", "\n\nid,n,x\na,1,1\nb,2,2")).lines == 3
    assert read(put(tmp_path, "c.csv", "id,n,x\na,1,1\nb\nc,three,2\n")).lines == 1
    assert read(put(tmp_path, "d.csv", 'id,n,x\n"a\nb",1,1\n')).lines is None
    assert read(put(tmp_path, "e.csv", "id,n,x\n\na,1,1\n")).lines is None
    assert read(put(tmp_path, "f.jsonl", jsonl_of(ROWS))).lines == 0
    assert read(put(tmp_path, "g.parquet", parquet_of(ROWS))).lines is None


def test_old_line_ends_are_read(tmp_path: Path) -> None:
    assert plain(put(tmp_path, "a.csv", "id,n,x\ra,1,1.5\rb,2,2\r")) == [("a", 1, 1.5, 1), ("b", 2, 2.0, 2)]


def test_names_are_taken_without_blanks_around_them(tmp_path: Path) -> None:
    assert plain(put(tmp_path, "a.csv", " id , n,x \na,1,1.5\n")) == [("a", 1, 1.5, 1)]


# --- encodings ---


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    assert plain(put(tmp_path, name, FORMATS[name](ROWS).decode().encode(encoding))) == EXPECTED


@pytest.mark.parametrize("encoding", ["cp1252", "latin1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_an_encoding_is_told(tmp_path: Path, name: str, encoding: str) -> None:
    assert plain(put(tmp_path, name, FORMATS[name](ROWS).decode().encode(encoding)), encoding=encoding) == EXPECTED


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_other_bytes_are_told_with_offset_line_and_a_hint(tmp_path: Path, name: str) -> None:
    rows = [*ROWS[:1] * 40_000, {**ROWS[1], "id": "Zürich"}, *ROWS[:1] * 3]
    content = FORMATS[name](rows).decode().encode("cp1252")
    place = content.index(b"\xfc")
    line = content[:place].count(b"\n") + 1
    with pytest.raises(DataRejectedError) as caught:
        read(put(tmp_path, name, content))
    assert str(caught.value) == (
        f"the text is not utf-8: byte 0xfc at offset {place:,}, in line {line:,}. It may be Windows text: set "
        "source.encoding: cp1252."
    )


def test_mixed_encodings_are_refused_without_a_wrong_hint(tmp_path: Path) -> None:
    content = "id,n,x\nü,1,1\n".encode() + "ü,2,2\n".encode("cp1252")
    with pytest.raises(DataRejectedError, match=r"in line 3\. Save it as UTF-8, or set source\.encoding\."):
        read(put(tmp_path, "a.csv", content))


def test_bytes_of_a_wrong_told_encoding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRejectedError, match=r"the text is not utf-16-le: .* line \d+"):
        read(put(tmp_path, "a.csv", csv_of(ROWS).decode().encode("utf-16-le") + b"\x00\xd8"), encoding="utf-16-le")
    with pytest.raises(DataRejectedError, match="unknown encoding: hex"):
        read(put(tmp_path, "b.csv", csv_of(ROWS)), encoding="hex")


def test_a_nul_byte_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataRejectedError, match="line 3 holds a NUL byte"):
        read(put(tmp_path, "a.csv", "id,n,x\na,1,1\nb\0,2,2\n"))
    with pytest.raises(DataRejectedError, match="utf-16-le"):
        read(put(tmp_path, "b.csv", "id,n,x\na,1,1\n".encode("utf-16-le")))


@pytest.mark.parametrize(("name", "what"), [("a.parquet", "a parquet file"), ("a.xlsx", "a zip or Excel file")])
def test_another_kind_of_file_called_csv_is_told(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(DataRejectedError, match=f"can't be read as csv: it is {what}, by its first bytes"):
        read(put(tmp_path, "a.csv", FORMATS[name](ROWS)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1), min_size=1), st.integers(1, 40))
def test_any_text_survives_any_cut_into_blocks(tmp_path: Path, texts: list[str], size: int) -> None:
    from configs.source import Limits
    from tasks.ingestion.text import Utf8

    content = "".join(f"{text}\n" for text in texts)
    for encoding in ("utf-8", "utf-16", "utf-8-sig"):
        stream = Utf8(put(tmp_path, "t", content.encode(encoding)), encoding, Limits())
        parts = list(iter(partial(stream.read, size), b""))
        stream.close()
        assert b"".join(parts).decode() == content.removeprefix("\ufeff")
        assert all(len(part) <= size for part in parts)
        assert stream.lines == content.count("\n")


# --- feather and Excel ---


def test_the_first_version_of_feather_is_read(tmp_path: Path) -> None:
    first_version({"id": ["a", "b"], "n": [1, 2], "x": [1.5, None]}, tmp_path / "a.feather")
    assert plain(tmp_path / "a.feather") == [("a", 1, 1.5, 1), ("b", 2, None, 2)]


def first_version(columns: dict[str, Any], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pyarrow.feather.write_feather(pd.DataFrame(columns), path, version=1)


def test_a_file_that_makes_arrow_s_reader_crash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.feather"
    first_version({"id": ["a"], "n": [1], "x": [1.5]}, path)
    content = bytearray(path.read_bytes())
    content[194] = 0  # in the description of the columns; found by trying
    path.write_bytes(content)
    with pytest.raises(DataRejectedError, match="can't be read as feather: its bytes crash Arrow's reader"):
        read(path)


def test_a_large_arrow_file_comes_in_parts(tmp_path: Path) -> None:
    rows = 300_000
    table = pa.table({"id": ["a"] * rows, "n": list(range(rows)), "x": [0.5] * rows})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    found = read(tmp_path / "a.arrow")
    assert found.table.column("n").num_chunks == 3
    assert found.rows("_row")[-1] == (rows,)


def test_a_sheet_is_told_or_the_first(tmp_path: Path) -> None:
    path = put(tmp_path, "a.xlsx", excel_of(ROWS, ["one", "two"]))
    assert plain(path) == plain(path, sheet="two") == EXPECTED
    with pytest.raises(DataRejectedError, match="no sheet 'three'; found: one, two"):
        read(path, sheet="three")


def test_blank_rows_of_a_sheet_are_no_rows_and_keep_the_numbers(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    for row in ([None], ["id", "n", "x"], ["a", 1, 1.5], [None, None, None], ["NA", 2.0, "zwei", "a note"]):
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    found = read(tmp_path / "a.xlsx")
    assert found.rows("id", "n", "x", "_row") == [("a", 1, 1.5, 1), (None, 2, None, 3)]
    assert found.aside() == {3: {"x": "zwei"}}
    assert found.lines == 2


def test_an_old_excel_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRejectedError, match=r"save it as \.xlsx"):
        read(put(tmp_path, "a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))
    with pytest.raises(DataRejectedError, match=r"save it as \.xlsx without a password"):
        read(put(tmp_path, "a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))
