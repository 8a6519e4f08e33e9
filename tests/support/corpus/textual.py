"""Rows that are not cut right, and quotes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.corpus.base import ROWS, Fate, Sample, csv_of, joined, lines, rows


def samples() -> Iterator[Sample]:
    yield from _rows()
    yield from _quotes()


def _rows() -> Iterator[Sample]:
    def edit(place: str, row: int, line: str) -> bytes:
        told = lines(place)
        told[row] = line
        return joined(told)

    def every(place: str, change: str) -> bytes:
        head, *body = lines(place)
        return joined([head, *[change.replace("LINE", one) for one in body]])

    one = lines("rows-one")[4]
    partly: dict[str, tuple[bytes, tuple[str, ...], int]] = {
        "one-short-row": (edit("rows-a", 4, "4,a,2026-01-01"), ("3 fields", "expected 9"), 11),
        "one-long-row": (edit("rows-b", 4, f"{one},more"), ("10 fields", "expected 9"), 11),
        "one-row-of-one-word": (edit("rows-c", 4, "TOTAL"), ("1 field", "TOTAL"), 11),
        "a-message-among-the-rows": (edit("rows-d", 6, "ERROR 1205: connection lost"), ("connection lost",), 11),
        "an-unquoted-comma": (edit("rows-e", 4, one.replace('"', "")), ("10 fields",), 11),
        "a-row-of-commas-alone": (edit("rows-f", 4, "," * 8), ("id",), 11),
        "header-again-in-the-middle": (edit("rows-g", 6, lines("rows-g")[0]), ("id",), 11),
        "a-number-of-rows-at-the-end": (joined([*lines("rows-h"), "12 rows"]), ("12 rows",), 12),
        "marks-of-a-merge": (
            joined([*lines("rows-i")[:6], "<<<<<<< HEAD", "=======", *lines("rows-i")[6:]]),
            ("HEAD",),
            12,
        ),
        "two-rows-in-one-line": (edit("rows-j", 4, f"{one},{one}"), ("18 fields",), 11),
        "a-semicolon-row": (edit("rows-k", 4, one.replace(",", ";").replace('"', "")), ("1 field",), 11),
        "another-header-in-the-middle": (joined([*lines("rows-l"), "id;name", "1;x"]), ("id;name",), 12),
        "a-row-with-5000-fields": (edit("rows-m", 4, "1," * 5000), ("5001 fields",), 11),
    }
    for slug, (content, says, good) in partly.items():
        yield Sample(f"rows/{slug}.csv", content, "partly", says, good)
    refused: dict[str, tuple[bytes, tuple[str, ...]]] = {
        "all-rows-short": (joined([lines("rows-n")[0], *["1,n,2026-01-01"] * 5]), ("no valid rows",)),
        "all-rows-long": (every("rows-o", "LINE,,"), ("no valid rows",)),
        "most-rows-long": (
            joined([*lines("rows-p")[:3], *[f"{row},1" for row in lines("rows-p")[3:]]]),
            ("10 of 12", "50.0%"),
        ),
        "rows-numbered": (every("rows-q", "1,LINE"), ("no valid rows",)),
        "dump-of-a-database": (b"INSERT INTO trips VALUES (1,'a');\nINSERT INTO trips VALUES (2,'b');\n", ("missing",)),
        "blank-between-fields": (
            joined([row.replace(",", " ") for row in lines("rows-r")]),
            ("columns missing", "found"),
        ),
        "delimiter-unknown": (joined([row.replace(",", "~") for row in lines("rows-s")]), ("columns missing",)),
    }
    for slug, (content, says) in refused.items():
        yield Sample(f"rows/{slug}.csv", content, "refused", says)
    odd: dict[str, bytes] = {
        "blank-lines-between": joined([part for line in lines("rows-t") for part in (line, "")]),
        "blank-lines-on-top": b"\n\n" + joined(lines("rows-u")),
        "line-ends-of-windows": csv_of(rows("rows-v"), newline="\r\n"),
        "line-ends-of-old-macs": csv_of(rows("rows-w"), newline="\r"),
        "line-ends-mixed": b"".join(
            line.encode() + (b"\r\n" if place % 2 else b"\n") for place, line in enumerate(lines("rows-x"))
        ),
        "no-line-end-at-the-end": joined(lines("rows-y"))[:-1],
        "semicolons": csv_of(rows("rows-z"), ";"),
        "bars": csv_of(rows("rows-A"), "|"),
        "tabs": csv_of(rows("rows-B"), "\t"),
        "a-trailing-comma-everywhere": joined([f"{line}," for line in lines("rows-C")]),
        "decimal-commas": joined(
            [
                ";".join(cell.replace(".", ",") if at in (3, 4) else cell for at, cell in enumerate(cells))
                for cells in ([part.strip('"') for part in line.split(",", 8)] for line in lines("rows-D"))
            ]
        ),
    }
    for slug, content in odd.items():
        yield Sample(f"rows/{slug}.csv", content, "whole", rows=ROWS)
    yield Sample("rows/commas-in-a-tsv.tsv", csv_of(rows("rows-E")), "whole", rows=ROWS)
    doubled = csv_of(rows("rows-F"), newline="\r\r\n")
    yield Sample("rows/line-ends-doubled.csv", doubled, "whole", rows=ROWS)
    copies = joined([*lines("rows-G"), lines("rows-G")[3], lines("rows-G")[3]])
    yield Sample("rows/rows-repeated.csv", copies, "partly", ("key", "earlier row"), 12)


def _quotes() -> Iterator[Sample]:
    def edit(place: str, old: str, new: str) -> bytes:
        return joined([line.replace(old, new) for line in lines(place)])

    never = ("never closed", "source.quote")
    cases: tuple[tuple[str, bytes, Fate, tuple[str, ...], int | None], ...] = (
        ("never-closed-in-the-first-row", edit("quotes-a", '0, Zürich"', "0, Zürich"), "partly", ("10 fields",), 8),
        ("never-closed-in-the-middle", edit("quotes-b", '5, Zürich"', "5, Zürich"), "either", (), None),
        ("never-closed-in-the-last-row", edit("quotes-c", '11, Zürich"', "11, Zürich"), "refused", never, None),
        ("opened-in-the-header", b'"' + joined(lines("quotes-d")), "refused", (), None),
        ("lone-in-a-cell", edit("quotes-e", "tram", 'tr"am'), "partly", ('tr"am',), 8),
        ("text-after-the-closing-one", edit("quotes-f", '3, Zürich"', '3" Zürich'), "whole", (), 12),
        (
            "around-every-cell",
            joined([",".join(f'"{cell.strip(chr(34))}"' for cell in line.split(",", 8)) for line in lines("quotes-g")]),
            "whole",
            (),
            12,
        ),
        ("with-line-ends-inside", edit("quotes-h", ", Zürich", ",\nZürich"), "whole", (), 12),
        ("single", edit("quotes-i", '"', "'"), "either", (), None),
        ("backslash-before", edit("quotes-j", "3, Zürich", '3\\", Zürich'), "either", (), None),
        ("typographic", edit("quotes-k", '"', "“"), "refused", ("no valid rows",), None),
    )
    for slug, content, fate, says, good in cases:
        yield Sample(f"quotes/{slug}.csv", content, fate, says, good)
