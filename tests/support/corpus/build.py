"""The corpus of damaged files, and sound ones beside them.

`python -m tests.support.corpus.build FOLDER` writes it; `--table` writes what becomes of some
typical files into the docs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.corpus import archives, cells, columns, encodings, excel, headers, mangled, records, textual
from tests.support.corpus.base import ROWS, Sample, written
from tests.support.world import ROOT

ENDINGS = (
    "csv", "tsv", "jsonl", "parquet", "feather", "xlsx", "csv.gz", "csv.zst", "csv.zip", "jsonl.gz", "jsonl.zst",
    "jsonl.zip", "parquet.zst", "xlsx.zip",
)  # fmt: skip
_GOOD = 10
PAGE = ROOT / "docs" / "damaged-files.md"


def damaged() -> list[Sample]:
    """Every damaged or odd file, each of a name and a content of its own."""
    rooms = (mangled, encodings, textual, headers, cells, records, columns, excel, archives)
    return [one for room in rooms for one in room.samples()]


def good() -> Iterator[Sample]:
    """Sound files of every format."""
    for ending in ENDINGS:
        for number in range(3 if "." in ending or ending == "feather" else _GOOD):
            place = f"good-{ending.replace('.', '-')}-{number}"
            yield Sample(f"good/{place}.{ending}", written(ending, place), "whole", rows=ROWS)


def write(folder: Path, samples: Sequence[Sample]) -> None:
    """Write files below a folder."""
    for one in samples:
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)


def show_table(page: Path) -> None:
    """Put the table into its page, in the place of the one that is there."""
    from tests.support.corpus.table import table

    before, mark, _ = page.read_text(encoding="utf-8").partition("| file | verdict |")
    page.write_text(f"{before}{table([*damaged(), *good()])}", encoding="utf-8")
    print(f"{page}: the table is {'written anew' if mark else 'there now'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the files go")
    parser.add_argument("--table", action="store_true", help=f"write the table of {PAGE.name} anew")
    asked = parser.parse_args()
    if asked.table:
        show_table(PAGE)
    if asked.folder is not None:
        samples = [*damaged(), *good()]
        write(asked.folder, samples)
        print(f"{len(samples)} files below {asked.folder}")
    if not asked.table and asked.folder is None:
        parser.error("say where the files go, or --table")


if __name__ == "__main__":
    main()
