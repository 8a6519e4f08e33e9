"""Text in other encodings than it should be, and lines and files that are too long."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.corpus.base import ROWS, Fate, Sample, csv_of, joined, jsonl_of, lines, rows, written

NUL = "holds a NUL byte"


def samples() -> Iterator[Sample]:
    yield from _encodings()
    yield from _sizes()


def _encodings() -> Iterator[Sample]:
    def text(place: str, kind: str = "csv") -> str:
        return written(kind, f"{place}-{kind}").decode()

    cases: tuple[tuple[str, bytes, Fate, tuple[str, ...]], ...] = (
        ("all-latin-1", text("encodings-a").encode("latin-1"), "refused", ("not utf-8", "line 2", "cp1252")),
        (
            "some-lines-latin-1",
            b"".join(
                line.encode("latin-1" if number > 6 else "utf-8")
                for number, line in enumerate(text("encodings-b").splitlines(keepends=True))
            ),
            "refused",
            ("not utf-8", "line 8"),
        ),
        ("windows-quotes", text("encodings-c").replace("ü", "\x93").encode("latin-1"), "refused", ("not utf-8",)),
        ("macintosh", text("encodings-d").encode("mac-roman"), "refused", ("not utf-8",)),
        ("utf-16-little-without-mark", text("encodings-e").encode("utf-16-le"), "refused", ("NUL", "utf-16-le")),
        ("utf-16-big-without-mark", text("encodings-f").encode("utf-16-be"), "refused", ("NUL", "utf-16-be")),
        (
            "utf-16-of-odd-length",
            text("encodings-g").encode("utf-16")[:-1],
            "refused",
            ("inside a character", "truncated"),
        ),
        ("utf-32-without-mark", text("encodings-h").encode("utf-32-le"), "refused", ("NUL",)),
        ("ebcdic", text("encodings-i").encode("cp500"), "refused", ("not utf-8",)),
        ("shift-jis", text("encodings-j").replace("Zürich", "東京駅").encode("shift-jis"), "refused", ("not utf-8",)),
        ("overlong-utf-8", text("encodings-k").encode().replace("ü".encode(), b"\xc0\xaf"), "refused", ("not utf-8",)),
        (
            "halves-of-surrogates",
            text("encodings-l").replace("ü", "\ud83d").encode("utf-8", "surrogatepass"),
            "refused",
            ("not utf-8",),
        ),
        (
            "a-stray-continuation-byte",
            text("encodings-m").encode().replace("ü".encode(), b"\xbc", 1),
            "refused",
            ("line 2",),
        ),
        ("utf-16-with-mark", text("encodings-n").encode("utf-16"), "whole", ()),
        ("utf-32-with-mark", text("encodings-o").encode("utf-32"), "whole", ()),
        ("utf-8-with-mark", text("encodings-p").encode("utf-8-sig"), "whole", ()),
        ("mark-twice", b"\xef\xbb\xbf" + text("encodings-q").encode("utf-8-sig"), "whole", ()),
        ("mark-of-utf-16-before-utf-8", b"\xff\xfe" + text("encodings-r").encode(), "refused", ()),
        ("utf-8-read-twice", text("encodings-s").encode().decode("cp1252").encode(), "whole", ()),
        ("a-nul-in-a-cell", text("encodings-t").replace("ü", "\0", 1).encode(), "refused", (NUL, "line 2")),
        ("nuls-at-the-end", text("encodings-u").encode() + bytes(4096), "refused", (NUL,)),
        ("control-characters", text("encodings-v").replace("ü", "\x01\x1b[31m\x7f").encode(), "whole", ()),
        ("end-of-file-sign-of-dos", text("encodings-w").encode() + b"\x1a", "partly", ("1 field",)),
    )
    for slug, content, fate, says in cases:
        yield Sample(f"encodings/{slug}.csv", content, fate, says, ROWS if fate != "refused" else None)
    cases_2: tuple[tuple[str, bytes, Fate, tuple[str, ...]], ...] = (
        ("all-latin-1", text("encodings-a", "jsonl").encode("latin-1"), "refused", ("not utf-8", "cp1252")),
        ("utf-16-little-without-mark", text("encodings-b", "jsonl").encode("utf-16-le"), "refused", ("NUL",)),
        ("utf-8-with-mark", text("encodings-c", "jsonl").encode("utf-8-sig"), "whole", ()),
        ("utf-16-with-mark", text("encodings-d", "jsonl").encode("utf-16"), "whole", ()),
        ("a-nul-in-a-text", text("encodings-e", "jsonl").replace("ü", "\0", 1).encode(), "refused", (NUL,)),
        ("nul-as-an-escape", text("encodings-f", "jsonl").replace("ü", r"\u0000").encode(), "whole", ()),
        (
            "half-a-surrogate-as-an-escape",
            text("encodings-g", "jsonl").replace("ü", r"\ud83d", 1).encode(),
            "partly",
            ("Unicode",),
        ),
    )
    for slug, content, fate, says in cases_2:
        yield Sample(f"encodings/{slug}.jsonl", content, fate, says, {"whole": 12, "partly": 11}.get(fate))


def _sizes() -> Iterator[Sample]:
    def wide(place: str, kind: str, size: int) -> bytes:
        table = rows(f"{place}-{kind}")
        table[3]["note"] = "z" * size
        return csv_of(table) if kind == "csv" else jsonl_of(table)

    for kind in ("csv", "jsonl"):
        limit = ("65,536", "source.limits.row_bytes")
        yield Sample(f"sizes/a-huge-field.{kind}", wide("sizes-a", kind, 60_000), "whole", rows=ROWS)
        yield Sample(f"sizes/a-field-beyond-the-limit.{kind}", wide("sizes-b", kind, 70_000), "refused", limit)
        yield Sample(f"sizes/a-field-far-beyond-the-limit.{kind}", wide("sizes-c", kind, 1 << 20), "refused", limit)
    yield Sample("sizes/one-line-without-end.csv", b"id,place" * 20_000, "refused", ("limit", "row_bytes"))
    yield Sample("sizes/one-line-without-end.jsonl", b'{"id": 1, ' * 20_000, "refused", ("limit",))
    header = ",".join(f"c{number}" for number in range(192))
    many = joined([f"{line},{header if not place else ',' * 191}" for place, line in enumerate(lines("sizes-d"))])
    yield Sample("sizes/columns-beyond-the-limit.csv", many, "refused", ("201 columns", "200", "columns"))
    few = joined(
        [
            f"{line},{header[:400].rpartition(',')[0] if not place else ''}"
            for place, line in enumerate(lines("sizes-e"))
        ]
    )
    yield Sample("sizes/a-header-wider-than-the-rows.csv", few, "refused", ("no valid rows",))
    wider = [{**row, **{f"c{number}": 1 for number in range(192)}} for row in rows("sizes-f")]
    yield Sample("sizes/columns-beyond-the-limit.jsonl", jsonl_of(wider), "refused", ("201 columns",))
    short = b"".join(b"%d,r,2026-01-01,1,1000,1,bus\n" % number for number in range(20_001))
    head = b"id,place,at,x,y,n,kind\n"
    yield Sample("sizes/rows-beyond-the-limit.csv", head + short, "refused", ("20,001 rows", "source.limits.rows"))
    tiny = b"".join(b'{"id":%d}\n' % number for number in range(20_002))
    yield Sample("sizes/rows-beyond-the-limit.jsonl", tiny, "refused", ())
    yield Sample(
        "sizes/larger-than-taken.csv", head + b"1,s,2026-01-01,1,1000,1,bus\n" * 80_000, "refused", ("file_bytes",)
    )
