"""Damage of compressed files: checksums, bombs, archives of many files or of none that may be."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from bz2 import compress as bz2
from collections.abc import Iterator

from tests.support.corpus.base import ROWS, Sample, csv_of, gz, jsonl_of, lines, parquet_of, rows, written, zipped, zst

_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def samples() -> Iterator[Sample]:
    yield from _gzip()
    yield from _zstd()
    yield from _zip()
    yield from _bombs()


def flagged(content: bytes, flags: int = 1) -> bytes:
    """A zip file whose members say that they are encrypted."""
    out = bytearray(content)
    for sign, place in ((_LOCAL, 6), (_CENTRAL, 8)):
        at = out.find(sign)
        while at >= 0:
            out[at + place] |= flags
            at = out.find(sign, at + 4)
    return bytes(out)


def _plain(place: str) -> bytes:
    return csv_of(rows(f"archives-{place}"))


def _gzip() -> Iterator[Sample]:
    def whole(place: str) -> bytes:
        return gz(_plain(f"gz-{place}"))

    def with_header(place: str) -> bytes:
        out = io.BytesIO()
        with gzip.GzipFile("a name.csv", "wb", fileobj=out, mtime=7) as packed:
            packed.write(_plain(f"gz-{place}"))
        return out.getvalue()

    first, second = _plain("gz-two").split(b"\n", 6)[:6], _plain("gz-two").split(b"\n", 6)[6]
    for slug, content in (
        ("members-joined", gz(b"\n".join(first) + b"\n") + gz(second)),
        ("zeros-behind", whole("a") + bytes(512)),
        ("a-name-in-its-header", with_header("b")),
        ("an-empty-member-behind", whole("c") + gz(b"")),
        ("an-empty-member-before", gz(b"") + whole("d")),
    ):
        yield Sample(f"archives/{slug}.csv.gz", content, "whole", rows=ROWS)
    for slug, content, says in (
        ("garbage-behind", whole("e") + b"garbage", ("gzip",)),
        ("wrong-checksum", whole("f")[:-8] + b"\1\2\3\4" + whole("f")[-4:], ("checksum",)),
        ("wrong-length", whole("g")[:-4] + b"\1\2\3\4", ("checksum",)),
        ("no-checksum", whole("h")[:-8], ("truncated",)),
        ("an-unknown-method", whole("i")[:2] + b"\7" + whole("i")[3:], ("method",)),
        ("packed-twice", gz(whole("j")), ("a gzip file",)),
        ("text-not-packed", _plain("gz-k"), ("gzip",)),
        ("packed-with-bzip2", bz2(_plain("gz-l")), ("gzip",)),
        ("packed-with-xz", lzma.compress(_plain("gz-m")), ("gzip",)),
        ("an-archive-of-tar", gz(_tar(_plain("gz-n"))), ()),
        ("a-second-member-cut", whole("o") + gz(b"more" * 99)[:-12], ("truncated",)),
        ("two-headers", gz(_plain("gz-p")) + gz(b"id;name\n1;x\n" * 20), ("rows rejected",)),
    ):
        yield Sample(f"archives/{slug}.csv.gz", content, "refused", says)


def _tar(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _zstd() -> Iterator[Sample]:
    def whole(place: str) -> bytes:
        return zst(_plain(f"zst-{place}"))

    head, tail = _plain("zst-two").split(b"\n", 6)[:6], _plain("zst-two").split(b"\n", 6)[6]
    yield Sample("archives/frames-joined.csv.zst", zst(b"\n".join(head) + b"\n") + zst(tail), "whole", rows=ROWS)
    skipped = b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"notes"
    yield Sample("archives/a-frame-to-skip-behind.csv.zst", whole("a") + skipped, "whole", rows=ROWS)
    for slug, content in (
        ("garbage-behind", whole("b") + b"garbage"),
        ("text-not-packed", _plain("zst-c")),
        ("a-second-frame-cut", whole("d") + zst(b"more" * 99)[:-5]),
        ("only-its-first-bytes", b"\x28\xb5\x2f\xfd"),
        ("packed-twice", zst(whole("e"))),
        ("a-dictionary-asked-for", b"\x28\xb5\x2f\xfd\x23\x11\x22\x33\x44\x10" + whole("f")[9:]),
    ):
        yield Sample(f"archives/{slug}.csv.zst", content, "refused")


def _zip() -> Iterator[Sample]:
    def one(place: str, name: str = "a.csv") -> bytes:
        return zipped((name, _plain(f"zip-{place}")))

    plain = _plain("zip-w")
    stored = zipped(("a.csv", plain), method=zipfile.ZIP_STORED)
    where = ("called", "expected")
    for slug, content, says in (
        ("two-files", zipped(("a.csv", _plain("zip-a")), ("b.csv", b"x")), ("2 files", "a.csv", "b.csv")),
        ("three-hundred-files", zipped(*[(f"{n}.csv", b"") for n in range(300)]), ("300 files",)),
        ("only-a-folder", zipped(("folder/", b"")), ("0 files",)),
        ("a-zip-in-it", zipped(("a.zip", one("b"))), ("unknown", "zip")),
        ("a-zip-called-csv-in-it", zipped(("a.csv", one("c"))), ("a zip",)),
        ("a-name-that-leads-up", one("d", "../../etc/a.csv"), ("..", *where)),
        ("a-name-that-leads-up-windows", one("e", "..\\a.csv"), ("..", *where)),
        ("a-name-from-the-root", one("f", "/etc/a.csv"), where),
        ("a-name-of-a-drive", one("g", "C:\\a.csv"), where),
        ("a-name-with-a-control-character", one("h", "a\x07.csv"), where),
        ("encrypted", flagged(one("i")), ("encrypted", "password")),
        ("wrong-checksum", stored.replace(b"stop 7", b"stop 8"), ("checksum",)),
        ("an-unknown-method", _method(one("j"), 99), ("compression",)),
        ("no-list-at-its-end", one("k")[: one("k").index(_CENTRAL)], ("zip",)),
        ("a-file-without-ending", one("l", "data").replace(b"inner", b"other"), ()),
        ("a-picture-in-it", one("m", "a.png"), ()),
        ("its-size-understated", _resized(one("n"), 100), ()),
        ("its-place-beyond-the-file", _moved(one("p"), 1 << 30), ()),
        ("a-parquet-file-in-it", zipped(("a.parquet", written("parquet", "archives-zip-q"))), ()),
    ):  # fmt: skip
        # Where the outer name says csv, that counts, whatever the member is called.
        called = slug in ("a-file-without-ending", "a-picture-in-it")
        outer = "csv.zip" if slug in ("a-parquet-file-in-it", "a-zip-called-csv-in-it") else "zip"
        yield Sample(
            f"archives/{slug}.{outer}",
            content,
            "refused",
            says if not called else ("no extension" if slug == "a-file-without-ending" else "unknown extension",),
        )
    yield Sample("archives/a-folder-around.zip", one("r", "folder/a.csv"), "whole", rows=ROWS)
    yield Sample(
        "archives/a-comment.zip", zipped(("a.csv", _plain("zip-s")), comment=b"of January"), "whole", rows=ROWS
    )
    yield Sample("archives/a-program-before.zip", b"#!/bin/sh\n" * 9 + one("t"), "whole", rows=ROWS)
    for slug, method in (("stored", zipfile.ZIP_STORED), ("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        content = zipped(("a.csv", _plain(f"zip-{slug}")), method=method)
        yield Sample(f"archives/method-{slug}.zip", content, "whole", rows=ROWS)
    yield Sample("archives/a-folder-beside.zip", zipped(("x/", b""), ("x/a.csv", _plain("zip-u"))), "whole", rows=ROWS)
    # Its checksum holds: nothing is missing.
    yield Sample("archives/its-size-overstated.zip", _resized(one("o"), 1 << 19), "whole", rows=ROWS)
    yield Sample("archives/jsonl-in-a-zip.zip", zipped(("a.jsonl", jsonl_of(rows("zip-v")))), "whole", rows=ROWS)


def _method(content: bytes, method: int) -> bytes:
    out = bytearray(content)
    struct.pack_into("<H", out, 8, method)
    struct.pack_into("<H", out, out.index(_CENTRAL) + 10, method)
    return bytes(out)


def _resized(content: bytes, size: int) -> bytes:
    out = bytearray(content)
    struct.pack_into("<I", out, 22, size)
    struct.pack_into("<I", out, out.index(_CENTRAL) + 24, size)
    return bytes(out)


def _moved(content: bytes, place: int) -> bytes:
    out = bytearray(content)
    struct.pack_into("<I", out, out.index(_CENTRAL) + 42, place)
    return bytes(out)


def _bombs() -> Iterator[Sample]:
    ratio, size = ("times its size", "source.limits.ratio"), ("decompressed", "source.limits.decompressed_bytes")
    zeros = joined_rows("bomb", 18 << 20)
    many = "".join(f"{(number * 2_654_435_761) % (1 << 32):08x}" for number in range(3 << 17)).encode()
    for ending, pack in (("csv.gz", gz), ("csv.zst", zst), ("csv.zip", lambda one: zipped(("a.csv", one)))):
        kind = ending.rpartition(".")[2]
        yield Sample(f"archives/grows-beyond-the-ratio.{ending}", pack(zeros + kind.encode()), "refused", ratio)
        wide = b"".join(many[at : at + (1 << 14)] * 8 for at in range(0, len(many), 1 << 14))
        yield Sample(f"archives/grows-beyond-the-size.{ending}", pack(wide + kind.encode()), "refused", size)
    yield Sample("archives/grows-beyond-the-ratio.jsonl.gz", gz(b" " * (18 << 20)), "refused", ratio)
    parquet = parquet_of(rows("bomb-parquet")) + bytes(18 << 20)
    yield Sample("archives/grows-beyond-the-ratio.parquet.gz", gz(parquet), "refused", ratio)


def joined_rows(place: str, size: int) -> bytes:
    """A csv file of one row again and again."""
    head, row = lines(place)[:2]
    return f"{head}\n".encode() + f"{row}\n".encode() * (size // len(row))
