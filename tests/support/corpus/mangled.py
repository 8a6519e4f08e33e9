"""Damage that knows nothing of formats: bytes flipped, files cut, contents under another name, nothing at all."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.corpus.base import (
    Fate,
    Sample,
    arrow_of,
    feather_of,
    gz,
    jsonl_of,
    parquet_of,
    rows,
    written,
    zipped,
    zst,
)
from tests.support.corpus.sheets import workbook

TEXT = ("csv", "tsv", "jsonl")
BINARY = ("parquet", "feather", "xlsx")
PACKED = ("csv.gz", "csv.zst", "csv.zip", "jsonl.gz", "jsonl.zst", "jsonl.zip", "parquet.gz")
# Formats whose checksums tell every change in the rows.
CHECKED = ("xlsx", "csv.gz", "csv.zip", "jsonl.gz", "jsonl.zip", "parquet.gz")


def samples() -> Iterator[Sample]:
    yield from _flipped()
    yield from _cut()
    yield from _misnamed()
    yield from _nothing()


def _flipped() -> Iterator[Sample]:
    for ending in (*TEXT, *BINARY, *PACKED):
        fate: Fate = "all_or_nothing" if ending in CHECKED else "either"
        for count, tries in ((1, 3), (3, 2), (30, 1)):
            for seed in range(1, (2 if ending == "feather" else 1 + tries)):
                place = f"flipped-{count}-bits-try-{seed}-{ending.replace('.', '-')}"
                chance = random.Random(place)  # noqa: S311  # not a secret
                content = bytearray(written(ending, place))
                for at in chance.sample(range(len(content)), count):
                    content[at] ^= 1 << chance.randrange(8)
                yield Sample(f"flipped/{place}.{ending}", bytes(content), fate)
    place = "flipped-one-bit-in-a-page-with-checksum"
    content = bytearray(parquet_of(rows(place), write_page_checksum=True, compression="none"))
    content[content.index(b"stop 7")] ^= 1
    yield Sample(f"flipped/{place}.parquet", bytes(content), "refused", ("checksum", "Land it again"))


def _cut() -> Iterator[Sample]:
    for ending in (*TEXT, *BINARY, *PACKED):
        shares = (0.02, 0.5, 0.999) if ending == "feather" else (0.02, 0.1, 0.5, 0.9, 0.999)
        for share in shares:
            place = f"cut-to-{share * 100:g}-percent-{ending.replace('.', '-')}"
            content = written(ending, place)
            # The end of a text may be missing where nobody can tell.
            fate: Fate = "either" if ending in TEXT and share > 0.02 else "refused"
            yield Sample(
                f"cut/{place}.{ending}", content[: min(max(int(len(content) * share), 1), len(content) - 1)], fate
            )
    yield from _cut_csv()
    yield from _cut_json()
    place = "footer-cut-off"
    for ending, tail in (("parquet", 8), ("feather", 10)):
        yield Sample(f"cut/{place}.{ending}", written(ending, place)[:-tail], "refused", (ending,))


def _cut_csv() -> Iterator[Sample]:
    place = "in-the-header"
    content = written("csv", place)
    yield Sample(f"cut/{place}.csv", content[: content.index(b",at")], "refused", ("no rows",))
    place = "after-the-header-line"
    content = written("csv", place)
    yield Sample(f"cut/{place}.csv", content[: content.index(b"\n") + 1], "refused", ("no rows",))
    place = "inside-a-utf-8-character"
    content = written("csv", place)
    cut = content[: content.rindex("ü".encode()) + 1]
    yield Sample(f"cut/{place}.csv", cut, "refused", ("inside a character", "line 13", "truncated"))
    place = "inside-a-quoted-field"
    content = written("csv", place)
    yield Sample(f"cut/{place}.csv", content[: content.rindex(b", Z")], "refused", ("quote", "never closed"))
    place = "inside-the-last-row"
    content = written("csv", place)
    yield Sample(f"cut/{place}.csv", content[: content.rindex(b",tram")], "partly", ("6 fields", "expected 9"), 11)
    place = "after-a-whole-row"
    content = written("csv", place)
    yield Sample(f"cut/{place}.csv", content[: content[:-1].rindex(b"\n")], "whole", rows=11)


def _cut_json() -> Iterator[Sample]:
    for slug, mark in (("inside-a-key", b'te"'), ("inside-a-text", b"rich"), ("inside-a-number", b'8.5, "n'),
                       ("before-the-last-brace", b"}")):  # fmt: skip
        content = written("jsonl", slug)
        yield Sample(f"cut/{slug}.jsonl", content[: content.rindex(mark)], "partly", ("not a JSON object",), 11)
    place = "inside-a-utf-8-character-of-jsonl"
    content = written("jsonl", place)
    yield Sample(
        f"cut/{place}.jsonl",
        content[: content.rindex("ü".encode()) + 1],
        "refused",
        ("inside a character", "truncated"),
    )


def _misnamed() -> Iterator[Sample]:
    """Contents under the names of all other formats."""
    endings = ("csv", "jsonl", "parquet", "feather", "xlsx", "csv.gz", "csv.zst", "csv.zip")
    for made in endings:
        for named in endings:
            if made == named:
                continue
            place = f"{made.replace('.', '-')}-called-{named.replace('.', '-')}"
            says = ("can't be read as csv", "by its first bytes") if named == "csv" and made != "jsonl" else ()
            yield Sample(f"misnamed/{place}.{named}", written(made, place), "refused", says)
    for slug, content in {
        "an-old-excel-file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
        "a-pdf-file": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
        "an-sqlite-file": b"SQLite format 3\0" + bytes(84),
        "an-orc-file": b"ORC" + bytes(40) + b"\x04ORC\x17",
        "an-avro-file": b"Obj\x01\x04\x14avro.codec\x08null" + bytes(16),
        "a-picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17),
        "a-page-of-html": b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body></body></html>\n",
        "an-xml-file": b'<?xml version="1.0"?>\n<rows>\n<row id="1" x="2"/>\n</rows>\n',
        "a-program": b"\x7fELF\x02\x01\x01" + bytes(57),
    }.items():
        for ending in ("csv", "jsonl", "xlsx", "parquet"):
            if (slug, ending) in (("a-page-of-html", "xlsx"), ("an-xml-file", "xlsx")) or len(slug) % 2 == 0:
                continue
            yield Sample(f"misnamed/{slug}-called-{ending}.{ending}", content + ending.encode(), "refused")
        yield Sample(f"misnamed/{slug}-of-its-own.csv", content + b" ", "refused")
    for ending in ("txt", "xls", "json", "bz2", "csv.bz2", "tar", "csv~", "CSV2", "xml"):
        content = written("csv", f"ending-{ending}")
        yield Sample(
            f"misnamed/unknown-ending.{ending}", content, "refused", ("xls" if ending == "xls" else "unknown",)
        )
    yield Sample("misnamed/no-ending-at-all", written("csv", "no-ending"), "refused", ("no extension", "source.format"))
    yield Sample("misnamed/capitals.CSV", written("csv", "capitals"), "whole", rows=12)
    yield Sample("misnamed/capitals-twice.JSONL.GZ", written("jsonl.gz", "capitals-twice"), "whole", rows=12)
    for slug in ("blanks in its name", "ünï-cödé-名前", "a,b;c 'd' \"e\" $(f) 100% #g", "-rf", "x" * 200):
        yield Sample(f"misnamed/{slug}.csv", written("csv", f"name-{slug[:20]}"), "whole", rows=12)


def _nothing() -> Iterator[Sample]:
    """Files in which there is nothing."""
    yield Sample("empty/no-bytes.csv", b"", "refused", ("empty",))
    header = b"id,place,at,x,y,n,kind"
    for slug, ending, content in (
        ("a-line-end", "csv", b"\n"),
        ("a-line-end", "tsv", b"\r\n"),
        ("line-ends", "jsonl", b"\n\n\n"),
        ("blanks", "csv", b"   \n  \n"),
        ("blanks", "jsonl", b" \n \n"),
        ("a-byte-order-mark", "csv", b"\xef\xbb\xbf"),
        ("a-byte-order-mark", "jsonl", b"\xef\xbb\xbf\n"),
        ("zeros", "csv", bytes(100)),
        ("zeros", "jsonl", bytes(101)),
        ("zeros", "parquet", bytes(102)),
        ("zeros", "feather", bytes(103)),
        ("zeros", "xlsx", bytes(104)),
        ("zeros", "csv.gz", bytes(105)),
        ("zeros", "csv.zst", bytes(106)),
        ("zeros", "csv.zip", bytes(107)),
        ("only-a-header", "csv", header + b"\n"),
        ("only-a-header-without-line-end", "csv", header),
        ("only-a-header-and-blank-lines", "csv", header + b"\n\n\n"),
        ("only-a-header", "tsv", header.replace(b",", b"\t") + b"\n"),
        ("only-an-empty-object", "jsonl", b"{}\n"),
        ("an-empty-list", "jsonl", b"[]\n"),
        ("null", "jsonl", b"null\n"),
        ("no-rows", "parquet", parquet_of([])),
        ("no-rows", "feather", feather_of([])),
        ("no-columns", "parquet", parquet_of(arrow_of([]).select([]))),
        ("only-a-header", "xlsx", workbook([list(rows("x")[0])])),
        ("an-empty-sheet", "xlsx", workbook([])),
        ("nothing-packed", "csv.gz", gz(b"")),
        ("nothing-packed", "csv.zst", zst(b"")),
        ("an-empty-file-packed", "csv.zip", zipped(("a.csv", b""))),
        ("no-file-packed", "csv.zip", zipped(comment=b"nothing")),
        ("only-a-header-packed", "csv.gz", gz(header)),
        ("blank-lines-packed", "jsonl.gz", gz(jsonl_of([]) + b"\n")),
    ):
        yield Sample(f"empty/{slug}.{ending}", content, "refused")
