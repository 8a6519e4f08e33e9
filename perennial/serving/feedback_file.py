"""Labels as one file in the form that a pipeline's labels land in. Equal labels make equal bytes."""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from configs.contract import Column
from configs.source import COMPRESSIONS, ENDINGS, Source
from tasks.errors import UsageError
from tasks.stores.lake.schemas import column_schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_FORMAT = {"csv": ".csv", "parquet": ".parquet", "jsonl": ".jsonl", "feather": ".feather", "excel": ".xlsx"}
Columns = Mapping[str, Sequence[Any]]


def file_name(source: Source, tag: str) -> str:
    """A name that the source takes, with a tag in it.

    Raises:
        UsageError: no such name is taken, or its form is none that is written.
    """
    name = source.pattern.replace("*", tag, 1).replace("*", "")
    if source.pattern.endswith("*") and name.endswith(tag) and not _name_format(name)[0]:
        name += _OF_FORMAT[source.format or "jsonl"]
    taken = fnmatch.fnmatch(name, source.pattern) and tag in name and not name.startswith((".", "_"))
    if not taken or (source.ready == "marker" and name.endswith(source.marker)):
        raise UsageError(
            f"labels.pattern: found {source.pattern!r}; for labels that come by key, expected one with a `*`, such as "
            "'labels-*.csv'."
        )
    if _form(source, name) in (None, "excel"):
        raise UsageError(
            f"labels: files named {source.pattern!r} can't be written for labels that come by key; expected csv, "
            "jsonl, parquet or feather, given by the pattern's ending or by `format`."
        )
    return name


def is_text(source: Source, name: str) -> bool:
    """Whether a file of this name says values as bare text, so that one can be taken for a missing one."""
    return _form(source, name) == "csv"


def content(source: Source, name: str, columns: Columns, contract: Mapping[str, Column]) -> bytes:
    """The bytes of a file.

    Args:
        source: How it is written.
        name: Its name.
        columns: Values by column, timestamps as microseconds since 1970 UTC.
        contract: The columns' types.

    Raises:
        UnicodeEncodeError: the source's encoding does not know a character.
    """
    write = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "feather": _feather}[_form(source, name) or ""]
    plain = write(source, name, columns, contract)
    compression = source.compression or _name_format(name)[1] or "none"
    return _COMPRESS[compression](plain, name)


def _name_format(name: str) -> tuple[str, str]:
    """Format and compression by a name's ending; empty where it tells none."""
    lower = name.lower()
    packed = next((ending for ending in COMPRESSIONS if lower.endswith(ending)), "")
    bare = lower.removesuffix(packed)
    return next((form for ending, form in ENDINGS.items() if bare.endswith(ending)), ""), COMPRESSIONS.get(packed, "")


def _form(source: Source, name: str) -> str | None:
    return source.format or _name_format(name)[0] or None


def _timestamp_text(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _timestamps_as_text(columns: Columns, contract: Mapping[str, Column]) -> dict[str, Sequence[Any]]:
    """The columns, timestamps as text."""
    return {
        name: [None if one is None else _timestamp_text(one) for one in values]
        if contract[name].type == "timestamp"
        else values
        for name, values in columns.items()
    }


def _csv(source: Source, name: str, columns: Columns, contract: Mapping[str, Column]) -> bytes:
    sink = io.StringIO(newline="")
    comma = ";" if source.decimal == "," else ","
    delimiter = source.delimiter or ("\t" if ".tsv" in name.lower() else comma)
    if source.quote == "none":
        writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    else:
        writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n", quotechar=source.quote or '"')
    missing = "" if "" in source.missing else (*source.missing, "")[0]
    writer.writerow(columns)
    for row in zip(*_timestamps_as_text(columns, contract).values(), strict=True):
        writer.writerow([_cell(one, missing, source.decimal or ".") for one in row])
    return sink.getvalue().encode(source.encoding or "utf-8")


def _cell(value: Any, missing: str, decimal: str) -> str:
    if value is None:
        return missing
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).replace(".", decimal) if isinstance(value, float) else str(value)


def _jsonl(source: Source, name: str, columns: Columns, contract: Mapping[str, Column]) -> bytes:  # noqa: ARG001
    rows = zip(*_timestamps_as_text(columns, contract).values(), strict=True)
    text = b"".join(
        orjson.dumps(dict(zip(columns, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in rows
    )
    return text if source.encoding is None else text.decode().encode(source.encoding)


def _table(columns: Columns, contract: Mapping[str, Column]) -> pa.Table:
    schema = column_schema({name: contract[name] for name in columns})
    return pa.table(dict(columns), schema=schema)


def _parquet(source: Source, name: str, columns: Columns, contract: Mapping[str, Column]) -> bytes:  # noqa: ARG001
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(_table(columns, contract), sink)
    return bytes(sink.getvalue())


def _feather(source: Source, name: str, columns: Columns, contract: Mapping[str, Column]) -> bytes:  # noqa: ARG001
    import pyarrow.feather as feather

    sink = pa.BufferOutputStream()
    feather.write_feather(_table(columns, contract), sink)
    return bytes(sink.getvalue())


def _zipped(plain: bytes, name: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name.removesuffix(".zip")), plain, zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def _zstd(plain: bytes, name: str) -> bytes:  # noqa: ARG001
    return bytes(pa.Codec("zstd").compress(plain, asbytes=True))


_COMPRESS: dict[str, Callable[[bytes, str], bytes]] = {
    "none": lambda plain, _: plain,
    "gzip": lambda plain, _: gzip.compress(plain, mtime=0),
    "zstd": _zstd,
    "zip": _zipped,
}
