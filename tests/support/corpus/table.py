"""Some typical files of the corpus, and what becomes of them, as the table of docs/damaged-files.md."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.stores.markdown import cell
from tests.support.corpus.alone import Verdict, judged
from tests.support.corpus.base import Sample

TYPICAL = (
    "empty/no-bytes.csv",
    "cut/inside-the-last-row.csv",
    "cut/inside-a-quoted-field.csv",
    "cut/inside-a-utf-8-character.csv",
    "cut/footer-cut-off.parquet",
    "cut/cut-to-50-percent-csv-gz.csv.gz",
    "misnamed/parquet-called-csv.csv",
    "misnamed/csv-called-parquet.parquet",
    "misnamed/a-page-of-html-of-its-own.csv",
    "flipped/flipped-one-bit-in-a-page-with-checksum.parquet",
    "encodings/all-latin-1.csv",
    "encodings/utf-16-little-without-mark.csv",
    "rows/one-long-row.csv",
    "rows/most-rows-long.csv",
    "headers/names-in-capitals.csv",
    "headers/two-names-exchanged.csv",
    "cells/at-31_12_2025-12.csv",
    "cells/n-18446744073709551616-4.csv",
    "jsonl/a-list-in-one-line.jsonl",
    "jsonl/a-line-is-single-quotes.jsonl",
    "jsonl/lists-20-deep.jsonl",
    "excel/a-cell-is-an-error-of-reference.xlsx",
    "archives/two-files.zip",
    "archives/a-name-that-leads-up.zip",
    "archives/grows-beyond-the-ratio.csv.gz",
    "parquet/one-long-text-2000-times.parquet",
)


def table(samples: list[Sample]) -> str:
    """The table in markdown.

    Args:
        samples: The corpus.
    """
    by_name = {one.name: one for one in samples}
    with TemporaryDirectory() as folder:
        found = judged(Path(folder), [by_name[name] for name in TYPICAL])
    lines = ["| file | verdict | reason |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {_verdict(found[name])} | {cell(found[name].reason)} |" for name in TYPICAL]
    return "\n".join(lines) + "\n"


def _verdict(found: Verdict) -> str:
    return "refused" if found.verdict == "rejected" else f"{found.accepted} of {found.rows} rows come in"
