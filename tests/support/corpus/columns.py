"""Damage of parquet and feather files: footers that lie, types that flip, columns that are not there."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.corpus.base import ROWS, SCHEMA, Fate, Sample, arrow_of, feather_of, parquet_of, rows

_MOMENT = 1_767_225_600_000_000


def samples() -> Iterator[Sample]:
    yield from _types()
    yield from _footers()
    yield from _bombs()
    yield from _sound()


def _with(place: str, column: str, values: pa.Array) -> pa.Table:
    table = arrow_of(rows(place))
    return table.set_column(table.column_names.index(column), column, values)


def _types() -> Iterator[Sample]:
    """A column of another type: as the whole column's, or some of its values."""
    n = np.arange(ROWS)
    floats = n * 1.5
    kinds: tuple[tuple[str, str, Callable[[], pa.Array], Fate, tuple[str, ...]], ...] = (
        ("x", "text", lambda: pa.array([f"{one:g}" for one in floats]), "whole", ()),
        (
            "x",
            "text-with-a-word",
            lambda: pa.array(["a few", *[f"{one:g}" for one in floats[1:]]]),
            "partly",
            ("a few",),
        ),
        ("x", "nan", lambda: pa.array([float("nan"), *floats[1:]]), "whole", ()),
        ("x", "infinity", lambda: pa.array([float("inf"), *floats[1:]]), "partly", ("x", "inf")),
        ("x", "minus-infinity", lambda: pa.array([float("-inf"), *floats[1:]]), "partly", ("x", "inf")),
        ("x", "half-precision", lambda: pa.array(floats.astype(np.float16)), "whole", ()),
        ("x", "decimal", lambda: pa.array([Decimal(f"{one:.2f}") for one in floats]), "whole", ()),
        ("x", "boolean", lambda: pa.array(n % 2 == 0), "either", ()),
        ("x", "list", lambda: pa.array([[one] for one in floats]), "refused", ("no valid rows",)),
        ("x", "struct", lambda: pa.array([{"km": one} for one in floats]), "refused", ("no valid rows",)),
        ("x", "map", lambda: pa.array([[("a", 1.0)]] * ROWS, pa.map_(pa.string(), pa.float64())), "refused", ()),
        ("x", "date", lambda: pa.array([date(2026, 1, 1)] * ROWS), "refused", ("no valid rows",)),
        ("x", "binary", lambda: pa.array([b"\xff\xfe"] * ROWS), "refused", ("no valid rows",)),
        ("x", "dictionary", lambda: pa.array(floats).dictionary_encode(), "whole", ()),
        ("x", "all-missing", lambda: pa.nulls(ROWS), "whole", ()),
        ("y", "all-missing", lambda: pa.nulls(ROWS, pa.float64()), "refused", ("no valid rows", "not_be_null(y)")),
        ("n", "beyond-64-bits", lambda: pa.array([1 << 63, *range(1, ROWS)], pa.uint64()), "partly", ("n",)),
        ("n", "fractions", lambda: pa.array([0.5, *map(float, n[1:])]), "partly", ("n",)),
        ("n", "huge-floats", lambda: pa.array([1e300, *map(float, n[1:])]), "partly", ("n",)),
        (
            "n",
            "a-decimal-beyond-64-bits",
            lambda: pa.array([Decimal(10**30), *map(Decimal, n[1:].tolist())]),
            "partly",
            ("n",),
        ),
        ("at", "text", lambda: pa.array([f"2026-01-{one + 1:02} 00:00" for one in n]), "whole", ()),
        ("at", "nanoseconds", lambda: pa.array(_MOMENT * 1000 + n, pa.timestamp("ns")), "whole", ()),
        ("at", "seconds", lambda: pa.array(_MOMENT // 1_000_000 + n, pa.timestamp("s")), "whole", ()),
        (
            "at",
            "beyond-the-year-9999",
            lambda: pa.array([1 << 62, *(_MOMENT + n[1:]).tolist()], pa.timestamp("us")),
            "partly",
            ("at",),
        ),
        (
            "at",
            "before-the-year-1",
            lambda: pa.array([-(1 << 62), *(_MOMENT + n[1:]).tolist()], pa.timestamp("us")),
            "partly",
            ("at",),
        ),
        ("at", "days", lambda: pa.array([date(2026, 1, 1 + one) for one in range(ROWS)]), "whole", ()),
        ("at", "a-number", lambda: pa.array(_MOMENT + n), "refused", ("no valid rows",)),
        ("at", "a-time-of-day", lambda: pa.array([time(12)] * ROWS), "refused", ("no valid rows",)),
        ("at", "a-duration", lambda: pa.array([timedelta(1)] * ROWS), "refused", ("no valid rows",)),
        ("ok", "numbers", lambda: pa.array(n % 2), "whole", ()),
        ("ok", "a-two", lambda: pa.array([2, *(n[1:] % 2).tolist()]), "partly", ("ok",)),
        ("kind", "numbers", lambda: pa.array(n), "refused", ("in_set(kind)",)),
        ("kind", "large-text", lambda: pa.array(["bus"] * ROWS, pa.large_string()), "whole", ()),
        ("kind", "bytes-that-are-no-text", lambda: pa.array([b"\xff"] * ROWS), "refused", ()),
        ("id", "fractions", lambda: pa.array(n + 0.5), "refused", ("no valid rows",)),
        ("id", "all-the-same", lambda: pa.array(n * 0), "refused", ("duplicate_key",)),
    )
    for column, slug, values, fate, says in kinds:
        place = f"types-{column}-{slug}"
        left = {"whole": ROWS, "partly": ROWS - 1}.get(fate)
        name = f"parquet/{column}-is-{slug}.parquet"
        yield Sample(name, parquet_of(_with(place, column, values())), fate, says, left)
    for column, slug, values, fate, says in kinds:
        if (column, slug) in (("x", "struct"), ("x", "infinity"), ("at", "a-duration"), ("n", "beyond-64-bits")):
            place = f"feather-{column}-{slug}"
            left = {"whole": ROWS, "partly": ROWS - 1}.get(fate)
            yield Sample(
                f"feather/{column}-is-{slug}.feather", feather_of(_with(place, column, values())), fate, says, left
            )


def _footers() -> Iterator[Sample]:
    def sound(place: str) -> bytes:
        return parquet_of(rows(f"footer-{place}"))

    def tail(content: bytes, length: int, magic: bytes = b"PAR1") -> bytes:
        return content[:-8] + struct.pack("<I", length & 0xFFFFFFFF) + magic

    for slug, content, says in (
        ("footer-of-no-length", tail(sound("a"), 0), ()),
        ("footer-longer-than-the-file", tail(sound("b"), 1 << 30), ()),
        ("footer-of-negative-length", tail(sound("c"), -1), ()),
        ("footer-a-byte-short", tail(sound("d"), struct.unpack("<I", sound("d")[-8:-4])[0] - 1), ()),
        ("encrypted-by-its-last-bytes", tail(sound("e"), struct.unpack("<I", sound("e")[-8:-4])[0], b"PARE"), ()),
        ("wrong-last-bytes", sound("f")[:-4] + b"XXXX", ()),
        ("garbage-behind", sound("g") + b"more", ()),
        ("pages-overwritten", sound("i")[:4] + bytes(600) + sound("i")[604:], ()),
        ("only-magic", b"PAR1" + bytes(4) + b"PAR1", ()),
        ("a-column-missing", parquet_of(arrow_of(rows("footer-j")).drop_columns(["y"])), ("columns missing: y",)),
        ("no-column-known", parquet_of(pa.table({"a": [1], "b": [2]})), ("columns missing", "found: a, b")),
        ("a-column-twice", parquet_of(_twice("footer-k")), ("twice: x",)),
        ("columns-below-one", parquet_of(pa.table({"r": arrow_of(rows("footer-l")).to_struct_array()})), ("missing",)),
        ("columns-beyond-the-limit", parquet_of(pa.table({f"c{one}": [1] for one in range(201)})), ("201 columns",)),
        ("more-rows-declared-than-there-are", _declared("footer-m"), ()),
        ("rows-beyond-the-limit", parquet_of(pa.table({"id": np.arange(20_001)})), ("20,001 rows",)),
    ):  # fmt: skip
        yield Sample(f"parquet/{slug}.parquet", content, "refused", says)
    yield Sample("parquet/garbage-before.parquet", b"more" + sound("h"), "either")
    double = sound("n") + sound("o")
    yield Sample("parquet/two-files-in-one.parquet", double, "either")
    feather = feather_of(rows("footer-p"))
    yield Sample("feather/garbage-behind.feather", feather + b"more", "refused")
    without = feather_of(arrow_of(rows("footer-q")).drop_columns(["y"]))
    yield Sample("feather/a-column-missing.feather", without, "refused", ("columns missing: y",))
    yield Sample("feather/body-overwritten.feather", feather[:300] + bytes(800) + feather[1100:], "either")


def _twice(place: str) -> pa.Table:
    table = arrow_of(rows(place))
    return pa.Table.from_arrays([*table.columns, table["x"]], names=[*table.column_names, "x"])


def _declared(place: str) -> bytes:
    """A file of 77 rows whose footer speaks of 16 million million."""
    content = parquet_of(rows(place, 77))
    length = struct.unpack("<I", content[-8:-4])[0]
    footer = content[-8 - length : -8].replace(b"\x16\x9a\x01", b"\x16" + _varint(1 << 45))
    return content[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _bombs() -> Iterator[Sample]:
    many = pa.table({"id": pa.repeat(pa.scalar(1), 5_000_000)})
    yield Sample("parquet/five-million-rows-in-a-few-bytes.parquet", parquet_of(many), "refused", ("5,000,000 rows",))
    long = arrow_of([{**one, "at": datetime(2026, 1, 1, tzinfo=UTC)} for one in rows("bomb-a", 2000)]).set_column(
        8, "note", pa.repeat(pa.scalar("z" * 60_000), 2000).dictionary_encode()
    )
    yield Sample(
        "parquet/one-long-text-2000-times.parquet", parquet_of(long), "refused", ("decompressed", "20,971,520")
    )
    plain = arrow_of(rows("bomb-b", 500)).set_column(8, "note", pa.repeat(pa.scalar("z" * 50_000), 500))
    content = parquet_of(plain, compression="zstd", use_dictionary=False)
    yield Sample("parquet/grows-400-fold.parquet", content, "refused", ("decompressed", "decompressed_bytes"))
    packed = feather_of(plain, compression="zstd")
    yield Sample("feather/grows-400-fold.feather", packed, "refused", ("decompressed_bytes",))
    again = feather_of(long, compression="uncompressed")
    yield Sample("feather/one-long-text-2000-times.feather", again, "refused", ("decompressed", "20,971,520"))


def _sound() -> Iterator[Sample]:
    """Odd, and sound."""
    for codec in ("none", "gzip", "zstd", "lz4", "brotli"):
        content = parquet_of(rows(f"codec-{codec}"), compression=codec)
        yield Sample(f"parquet/packed-with-{codec}.parquet", content, "whole", rows=ROWS)
    yield Sample(
        "parquet/a-row-group-each-row.parquet", parquet_of(rows("groups"), row_group_size=1), "whole", rows=ROWS
    )
    order = arrow_of(rows("order")).select([*reversed(SCHEMA.names)])
    yield Sample("parquet/columns-in-another-order.parquet", parquet_of(order), "whole", rows=ROWS)
    old = parquet_of(rows("old"), version="1.0", use_deprecated_int96_timestamps=True)
    yield Sample("parquet/times-of-96-bits.parquet", old, "whole", rows=ROWS)
    sink: Any = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        writer.write_table(arrow_of([]))
        writer.write_table(arrow_of(rows("empty-group")))
    yield Sample("parquet/an-empty-row-group.parquet", sink.getvalue(), "whole", rows=ROWS)
    yield Sample("feather/packed-with-lz4.feather", feather_of(rows("lz4"), compression="lz4"), "whole", rows=ROWS)
    naive = arrow_of(rows("naive")).set_column(2, "at", pa.array([datetime(2026, 1, 5)] * ROWS))  # noqa: DTZ001  # meant
    yield Sample("parquet/times-without-a-zone.parquet", parquet_of(naive), "whole", rows=ROWS)
