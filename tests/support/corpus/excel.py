"""Damage of Excel files: cells of other kinds, parts that are missing or lie, bombs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.corpus.archives import flagged
from tests.support.corpus.base import ROWS, Fate, Sample, excel_of, rows, zipped
from tests.support.corpus.sheets import SHEET, Xml, sheet, workbook


def samples() -> Iterator[Sample]:
    yield from _cells()
    yield from _grids()
    yield from _parts()
    yield from _bombs()


def _grid(place: str, count: int = ROWS) -> list[list[Any]]:
    table = rows(f"excel-{place}", count)
    return [list(table[0]), *[list(row.values()) for row in table]]


def _cells() -> Iterator[Sample]:
    """Cells as Excel has them and a person may not expect."""
    cases: tuple[tuple[str, int, str, Fate, tuple[str, ...]], ...] = (
        ("an-error-of-reference", 3, '<c r="{ref}" t="e"><v>#REF!</v></c>', "partly", ("#REF!",)),
        ("an-error-of-division", 3, '<c r="{ref}" t="e"><v>#DIV/0!</v></c>', "partly", ("#DIV/0!",)),
        ("an-error-not-available", 4, '<c r="{ref}" t="e"><v>#N/A</v></c>', "partly", ("#N/A",)),
        ("a-formula-with-its-value", 3, '<c r="{ref}"><f>1+1</f><v>2</v></c>', "whole", ()),
        ("a-formula-never-computed", 4, '<c r="{ref}"><f>A1*2</f></c>', "partly", ("y",)),
        ("a-formula-of-text", 3, '<c r="{ref}" t="str"><f>B2</f><v>text</v></c>', "partly", ("text",)),
        ("a-date-shown-as-a-number", 2, '<c r="{ref}"><v>46023.5</v></c>', "partly", ("at", "46023")),
        ("a-date-as-iso-text", 2, '<c r="{ref}" t="d"><v>2026-01-05T00:00:00</v></c>', "whole", ()),
        ("a-duration", 2, '<c r="{ref}" s="2"><v>1.5</v></c>', "partly", ("at",)),
        ("a-negative-date", 2, '<c r="{ref}" s="1"><v>-5</v></c>', "either", ()),
        ("a-date-of-the-year-12000", 2, '<c r="{ref}" s="1"><v>3700000</v></c>', "either", ()),
        ("a-date-in-a-column-of-numbers", 3, '<c r="{ref}" s="1"><v>46023</v></c>', "partly", ("x",)),
        ("a-number-beyond-all", 3, '<c r="{ref}"><v>1e999</v></c>', "partly", ("x",)),
        ("a-number-that-is-none", 3, '<c r="{ref}"><v>12abc</v></c>', "refused", ()),
        ("nan", 4, '<c r="{ref}"><v>NaN</v></c>', "either", ()),
        ("a-shared-text-that-is-not-there", 8, '<c r="{ref}" t="s"><v>99</v></c>', "refused", ()),
        ("a-style-that-is-not-there", 3, '<c r="{ref}" s="77"><v>5</v></c>', "either", ()),
        ("of-an-unknown-kind", 3, '<c r="{ref}" t="q"><v>5</v></c>', "either", ()),
        ("without-a-place", 3, "<c><v>5</v></c>", "either", ()),
        ("far-to-the-right", 8, '<c r="XFD5"><v>5</v></c>', "whole", ()),
        ("beyond-the-last-column", 8, '<c r="ZZZZ5"><v>5</v></c>', "either", ()),
        ("a-place-that-is-none", 8, '<c r="5E"><v>5</v></c>', "either", ()),
        ("boolean-of-two", 7, '<c r="{ref}" t="b"><v>2</v></c>', "either", ()),
        ("rich-text", 8, '<c r="{ref}" t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r></is></c>', "whole", ()),
    )
    for slug, column, xml, fate, says in cases:
        grid = _grid(slug)
        grid[4][column] = Xml(xml)
        left = {"whole": ROWS, "partly": ROWS - 1}.get(fate)
        yield Sample(f"excel/a-cell-is-{slug}.xlsx", workbook(grid), fate, says, left)


def _grids() -> Iterator[Sample]:
    def refilled(place: str, head: Sequence[Any]) -> bytes:
        return workbook([list(head), *_grid(place)[1:]])

    names = list(rows("x")[0])
    yield Sample("excel/blank-rows-on-top.xlsx", workbook([[], [], *_grid("a")]), "whole", rows=ROWS)
    gaps = _grid("b")
    yield Sample("excel/blank-rows-between.xlsx", workbook([*gaps[:5], [], [], *gaps[5:]]), "whole", rows=ROWS)
    beyond = [[*row, *([] if not at else ["beyond"])] for at, row in enumerate(_grid("c"))]
    yield Sample("excel/cells-beyond-the-header.xlsx", workbook(beyond), "whole", rows=ROWS)
    title = [["Trips of January"], *_grid("d")]
    yield Sample("excel/a-title-above.xlsx", workbook(title), "refused", ("columns missing", "Trips"))
    total = [*_grid("e"), ["Total", None, None, 478.5]]
    yield Sample("excel/a-row-of-totals.xlsx", workbook(total), "partly", ("Total",), ROWS)
    short = [*_grid("f")[:5], [5, "excel-f"], *_grid("f")[6:]]
    yield Sample("excel/a-short-row.xlsx", workbook(short), "partly", ("at",), ROWS - 1)
    yield Sample(
        "excel/a-column-missing.xlsx", refilled("g", [*names[:4], "why", *names[5:]]), "refused", ("missing: y",)
    )
    yield Sample("excel/a-column-twice.xlsx", refilled("h", [*names[:8], "x"]), "refused", ("twice: x",))
    yield Sample(
        "excel/names-exchanged.xlsx", refilled("i", [*names[:3], "y", "x", *names[5:]]), "refused", ("no valid rows",)
    )
    yield Sample("excel/numbers-as-names.xlsx", refilled("j", range(9)), "refused", ("columns missing", "found: 0"))
    wide = [[*row, *(f"c{one}" if not at else 1 for one in range(192))] for at, row in enumerate(_grid("k"))]
    yield Sample("excel/columns-beyond-the-limit.xlsx", workbook(wide), "refused", ("201 columns",))


def _parts() -> Iterator[Sample]:
    for slug, changes, says in (
        ("no-sheet", {SHEET: None}, ()),
        ("no-list-of-sheets", {"xl/workbook.xml": None}, ()),
        ("no-types", {"[Content_Types].xml": None}, ()),
        ("no-relations", {"xl/_rels/workbook.xml.rels": None}, ()),
        ("a-list-of-no-sheets", {"xl/workbook.xml": _parts_of("workbook", "<sheets/>")}, ()),
        ("an-empty-sheet-part", {SHEET: b""}, ()),
        ("a-sheet-that-is-no-xml", {SHEET: b"id,place\n1,a\n"}, ()),
        ("a-sheet-cut-in-the-middle", {SHEET: sheet(_grid("cut")).encode()[:2000]}, ()),
        ("a-sheet-of-zeros", {SHEET: bytes(500)}, ()),
        ("a-sheet-not-utf-8", {SHEET: sheet(_grid("latin")).encode("latin-1")}, ()),
        ("styles-that-are-no-xml", {"xl/styles.xml": b"none"}, ()),
        ("shared-texts-cut", {"xl/sharedStrings.xml": b"<sst><si><t>a"}, ()),
    ):
        # Some parts may be missing where nothing refers to them.
        fate: Fate = "either" if slug in ("shared-texts-cut", "no-types") else "refused"
        yield Sample(f"excel/{slug}.xlsx", workbook(_grid(f"parts-{slug}"), changes), fate, says)
    yield Sample("excel/no-shared-texts.xlsx", workbook(_grid("m"), {"xl/sharedStrings.xml": None}), "either")
    yield Sample("excel/encrypted-by-its-flags.xlsx", flagged(excel_of(rows("excel-n"))), "refused", ("encrypted",))
    led = workbook(_grid("o"), {"../../evil.xml": b"<x/>"})
    yield Sample("excel/a-part-that-leads-elsewhere.xlsx", led, "refused", ("invalid name", "evil"))
    yield Sample("excel/an-archive-of-something-else.xlsx", zipped(("readme.txt", b"excel")), "refused")
    yield Sample(
        "excel/an-old-file-with-a-password.xlsx", b"\xd0\xcf\x11\xe0" + bytes(510), "refused", ("password", ".xls")
    )


def _parts_of(root: str, inside: str) -> str:
    return f'<{root} xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{inside}</{root}>'


def _bombs() -> Iterator[Sample]:
    laughs = '<!DOCTYPE x [<!ENTITY a "' + "ha" * 500 + '">' + "".join(
        f'<!ENTITY {chr(98 + one)} "{f"&{chr(97 + one)};" * 20}">' for one in range(8)) + "]>"  # fmt: skip
    grid = _grid("laughs")
    grid[4][8] = Xml('<c r="{ref}" t="inlineStr"><is><t>&i;</t></is></c>')
    yield Sample("excel/entities-that-multiply.xlsx", workbook(grid, {SHEET: sheet(grid, laughs)}), "refused")
    outside = _grid("outside")
    outside[4][8] = Xml('<c r="{ref}" t="inlineStr"><is><t>&e;</t></is></c>')
    entity = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    yield Sample("excel/an-entity-from-outside.xlsx", workbook(outside, {SHEET: sheet(outside, entity)}), "either")
    huge = workbook(_grid("p"), {"xl/media/picture.bin": bytes(24 << 20)})
    yield Sample("excel/a-part-of-24-mebibytes-of-zeros.xlsx", huge, "refused", ("decompressed", "25,1"))
    rows_far = sheet(_grid("q")).replace('<row r="9">', '<row r="1048570">').replace('9">', '1048570">')
    yield Sample("excel/a-row-far-below.xlsx", workbook(_grid("q"), {SHEET: rows_far}), "either")
    below = sheet(_grid("r")).replace('<row r="13">', '<row r="9999999">')
    yield Sample("excel/a-row-below-the-last-possible.xlsx", workbook(_grid("r"), {SHEET: below}), "refused", ("rows",))
    names = list(rows("x")[0])
    refer = Xml('<c r="{ref}" t="s"><v>0</v></c>')
    same = [names, *[[one, "excel-s", row["at"], 1.0, 1000.0, 1, "bus", True, refer] for one, row in
                     enumerate(rows("excel-s", 2000))]]  # fmt: skip
    long = workbook(same, shared=["z" * 60_000])
    yield Sample("excel/one-long-text-2000-times.xlsx", long, "refused", ("decompressed",))
    size = sheet(_grid("t")).replace("<sheetData>", '<dimension ref="A1:XFD1048576"/><sheetData>')
    yield Sample("excel/says-to-be-of-all-cells.xlsx", workbook(_grid("t"), {SHEET: size}), "whole", rows=ROWS)
