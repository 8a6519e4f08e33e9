"""A text that many rows share is small in a file and large once each row has its own: it is held in small pieces."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from configs.contract import Column
from configs.source import Limits, Source
from tasks.errors import DataRejectedError
from tasks.ingestion.read import read_batches
from tests.support.corpus.sheets import Xml, workbook

ROWS, LONG = 1500, 100_000
COLUMNS = {"n": Column(type="integer"), "s": Column(type="string")}


def shared(path: Path) -> Path:
    """A file whose rows all have the same long text; some 150 MB once each has its own."""
    if path.suffix == ".xlsx":
        text = Xml('<c r="{ref}" t="s"><v>0</v></c>')
        path.write_bytes(workbook([["n", "s"], *[[number, text] for number in range(ROWS)]], shared=["z" * LONG]))
        return path
    texts = pa.repeat(pa.scalar("z" * LONG), ROWS).dictionary_encode()
    table = pa.table({"n": pa.array(range(ROWS)), "s": texts})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, path)
    assert path.stat().st_size < 1 << 20
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.xlsx"])
def test_rows_come_in_small_pieces(tmp_path: Path, name: str) -> None:
    rows = 0
    with read_batches(shared(tmp_path / name), Source(landing="x"), COLUMNS, "UTC") as reading:
        for batch in reading:
            assert batch.nbytes < 80 << 20
            rows += batch.num_rows
    assert rows == ROWS


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.xlsx"])
def test_beyond_the_limit_the_file_is_refused(tmp_path: Path, name: str) -> None:
    source = Source(landing="x", limits=Limits(decompressed_bytes=80 << 20))
    with (
        pytest.raises(DataRejectedError, match=r"decompressed, .* raise source.limits.decompressed_bytes"),
        read_batches(shared(tmp_path / name), source, COLUMNS, "UTC") as reading,
    ):
        for _ in reading:
            pass
