"""Cells that are not what they should be: numbers, times and truth in every spelling; types that flip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.corpus.base import ROWS, Fate, Sample, changed, csv_of, excel_of, joined, jsonl_of, lines, rows

GOOD: Fate = "whole"
BAD: Fate = "partly"
# Texts in a csv file's cell, by column: what becomes of the row.
NUMBERS: dict[str, Fate] = {
    "nan": GOOD, "NaN": GOOD, "NAN": BAD, "+nan": BAD, "nan(0)": BAD, "inf": BAD, "-inf": BAD, "+inf": BAD,
    "INF": BAD,
    "Infinity": BAD, "-Infinity": BAD, "∞": BAD, "1e999": BAD, "1.#INF": BAD, "1.#IND": BAD, "#N/A": BAD,
    "#DIV/0!": BAD,
    "NULL": GOOD, "nil": BAD, "-": BAD, "--": BAD, "?": BAD, "n.a.": BAD, "TBD": BAD, "0x1p3": BAD, "1_0": BAD,
    "1,5": BAD,
    "1,234.5": BAD, "1 234": BAD, "١٢": BAD, "½": BAD, "1.5.2": BAD, "1.5 km": BAD, "$5": BAD, "50%": BAD, "(5)": BAD,
    "5-": BAD, "−5": BAD, "1e": BAD, "e5": BAD, "true": BAD, "5.0f": BAD, "-nan": BAD, "1e1": GOOD, ".5": GOOD,
    "5.": GOOD, "+5": GOOD,
    " 5 ": GOOD, "005": GOOD, "1E-3": GOOD, "5d0": BAD, "1e-400": GOOD, "100.0000001": BAD, "-0.0001": BAD,
    "-0": GOOD,
    "=1+1": BAD, "9" * 400: BAD, "0." + "1" * 400: GOOD,
}  # fmt: skip
INTEGERS: dict[str, Fate] = {
    "9223372036854775807": GOOD, "9223372036854775808": BAD, "-9223372036854775808": GOOD,
    "-9223372036854775809": BAD,
    "18446744073709551616": BAD, "1" + "0" * 30: BAD, "1.0": GOOD, "1.5": BAD, "1e3": BAD, "007": GOOD, "+7": GOOD,
    "1,000": BAD, "1.000,0": BAD, "true": BAD, "one": BAD, "0b11": BAD, "٣": BAD, "1L": BAD, "--1": BAD, "NaN": GOOD,
    "inf": BAD,
}  # fmt: skip
TIMES: dict[str, Fate] = {
    "0000-00-00 00:00:00": BAD, "9999-12-31T23:59:59.999999999": BAD, "10000-01-01": BAD, "2026-02-30T00:00:00Z": BAD,
    "2026-13-01": BAD, "2026-00-10": BAD, "2026-01-01T25:00:00": BAD, "2026-01-01T23:59:60Z": BAD, "1767225600": BAD,
    "1767225600000": BAD, "46023.5": BAD, "01/02/2026": BAD, "31.12.2025": BAD, "Jan 5 2026": BAD, "now": BAD,
    "today": BAD, "-0001-01-01": BAD, "2026-W05": BAD, "2026-01-01T00:00:00+25:00": BAD, "2026-01-05 12:00 PM": BAD,
    "NaT": BAD, "1969-12-31T23:59:59Z": BAD, "2041-08-17T00:00:00Z": BAD, "2008-12-31": BAD, "26-01-05": BAD,
    "12:30": BAD,
    "2026-01-05T12:00:00 Europe/Berlin": BAD, "2026-01-05": GOOD, "2026-01-05 12:00:00": GOOD,
    "2026-01-05T12:00Z": GOOD,
    "2026-01-05T12:00:00.123456789Z": GOOD, "2026-01-05T12:00:00+02:00": GOOD, "20260105": GOOD,
}  # fmt: skip
TRUTHS: dict[str, Fate] = {
    "yes": GOOD, "F": GOOD, "0": GOOD, "TRUE": GOOD, "maybe": BAD, "2": BAD, "on": BAD, "-1": BAD, "ja": BAD,
    "0.0": BAD,
}  # fmt: skip
KINDS: dict[str, Fate] = {
    "boat": BAD, "BUS": BAD, "": BAD, "null": BAD, "bus\u200b": BAD, "bus;rail": BAD, "b\u00fcs": BAD, "=bus": BAD,
    "tram": GOOD,
}  # fmt: skip
# Values of a jsonl file's cell, in columns of other types.
JSON: tuple[tuple[str, Any, Fate], ...] = (
    ("x", "12.5", GOOD), ("x", "twelve", BAD), ("x", True, BAD), ("x", [1.5], BAD), ("x", {"km": 1.5}, BAD),
    ("x", float("nan"), GOOD), ("x", float("inf"), BAD), ("x", float("-inf"), BAD), ("x", "", BAD), ("n", 1.5, BAD),
    ("n", 2.0, GOOD), ("n", 1 << 63, BAD), ("n", -(1 << 63), GOOD), ("n", 10**40, BAD), ("n", "7", GOOD),
    ("n", False, BAD),
    ("n", [], BAD), ("at", 1767225600, BAD), ("at", 1767225600000.5, BAD), ("at", True, BAD),
    ("at", ["2026-01-01"], BAD),
    ("at", {"$date": "2026-01-01T00:00:00Z"}, BAD), ("ok", "yes", GOOD), ("ok", 1, GOOD), ("ok", 2, BAD),
    ("ok", [], BAD),
    ("kind", 5, BAD), ("kind", None, BAD), ("kind", {"a": 1}, BAD), ("note", 5, GOOD), ("note", [1, 2], GOOD),
    ("note", {"a": {"b": 1}}, GOOD), ("id", None, BAD), ("id", "x", BAD), ("id", 1.25, BAD), ("y", None, BAD),
)  # fmt: skip
SHEET: tuple[tuple[str, Any, Fate], ...] = (
    ("x", "12.5", GOOD), ("x", "twelve", BAD), ("x", "inf", BAD), ("x", True, BAD), ("n", 1.5, BAD),
    ("n", 1e300, BAD),
    ("at", "2026-01-05T00:00:00Z", GOOD), ("at", 46023.5, BAD), ("at", "5 January", BAD), ("ok", "maybe", BAD),
    ("kind", 5, BAD), ("kind", None, BAD), ("note", 5, GOOD), ("id", "eleven", BAD), ("y", "", BAD),
)  # fmt: skip


def samples() -> Iterator[Sample]:
    yield from _spelt()
    for number, (column, value, fate) in enumerate(JSON):
        content = jsonl_of(changed(f"json-{number}", column, value))
        yield Sample(f"cells/{column}-{_slug(repr(value))}-{number}.jsonl", content, fate, (column,), _left(fate))
    for number, (column, value, fate) in enumerate(SHEET):
        content = excel_of(changed(f"sheet-{number}", column, value))
        yield Sample(f"cells/{column}-{_slug(repr(value))}-{number}.xlsx", content, fate, (column,), _left(fate))
    yield from _columns()


def _spelt() -> Iterator[Sample]:
    """For each column, a file of all spellings that are bad and one of those that are odd but good; some alone, too."""
    for column, spelt in {"x": NUMBERS, "n": INTEGERS, "at": TIMES, "ok": TRUTHS, "kind": KINDS}.items():
        for number, (text, fate) in enumerate(spelt.items()):
            if number % 4 == 0:
                place = f"spelt-{column}-{number}"
                content = csv_of(changed(place, column, text))
                yield Sample(f"cells/{column}-{_slug(text)}-{number}.csv", content, fate, (column,), _left(fate))
        for fate in (BAD, GOOD):
            place = f"spelt-{column}-{fate}"
            told = [text for text, becomes in spelt.items() if becomes == fate]
            table = rows(place, 4 * len(told))
            for row, text in zip(table, told, strict=False):
                row[column] = text
            name = f"cells/{column}-in-every-{'bad' if fate == BAD else 'odd'}-spelling.csv"
            yield Sample(name, csv_of(table), "partly" if fate == BAD else "whole", (column,), 3 * len(told) + (
                0 if fate == BAD else len(told)))  # fmt: skip


def _columns() -> Iterator[Sample]:
    """Columns whose values are all wrong: exchanged, of another type, in another unit."""

    def swapped(place: str, one: str, other: str) -> bytes:
        table = rows(place)
        return csv_of([{**row, one: row[other], other: row[one]} for row in table])

    for one, other, says in (
        ("x", "y", ("no valid rows", "expect_column_values_to_be_between(x)")),
        ("x", "kind", ("no valid rows", "12 type")),
        ("at", "y", ("no valid rows", "12 type")),
        ("place", "kind", ("no valid rows", "in_set(kind)")),
        ("id", "at", ("no valid rows", "12 type")),
    ):
        content = swapped(f"swapped-{one}-{other}", one, other)
        yield Sample(f"cells/values-of-{one}-and-{other}-exchanged.csv", content, "refused", says)
    half = [*rows("half-swapped")[:7], *[{**row, "x": row["y"], "y": row["x"]} for row in rows("half-swapped")[7:]]]
    yield Sample("cells/values-exchanged-from-row-8-on.csv", csv_of(half), "partly", ("x = 1094.5",), 7)
    units = [{**row, "x": row["x"] * 1000 + 1000} for row in rows("units")]
    yield Sample("cells/in-metres-for-kilometres.jsonl", jsonl_of(units), "refused", ("no valid rows", "between(x)"))
    future = [{**row, "at": "2041-08-17T00:00:00Z"} for row in rows("future")]
    yield Sample("cells/all-of-the-future.csv", csv_of(future), "refused", ("no valid rows", "future"))
    quoted = joined([line.replace(",", "','") for line in lines("quoted")])
    yield Sample("cells/apostrophes-around-values.csv", quoted, "refused", ("quote", "header", "not closed"))
    text = csv_of([{**row, "note": '=HYPERLINK("http://x","y")'} for row in rows("formula")])
    yield Sample("cells/formulas-as-text.csv", text, "whole", rows=ROWS)


def _left(fate: Fate) -> int:
    return ROWS if fate == GOOD else ROWS - 1


def _slug(text: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in text)[:24] or "nothing"
