"""The command `perennial data`: a table of the lake as it is, or as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from perennial.cli.render import print_result
from perennial.cli.render import table as aligned
from tasks.errors import UsageError
from tasks.stores.files import tabular
from tasks.stores.lake import delta
from tasks.stores.lake.schemas import TableName
from tasks.stores.lake.tables import Lake
from tasks.stores.lake.versions import AsOf, Snapshot, format_timestamp, snapshot

_WIDEST = 24


def data(
    name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)],
    table: Annotated[TableName, typer.Option(help="Which table.")] = "observations",
    as_of: Annotated[
        str | None,
        typer.Option(help="A version, or a time (ISO 8601, UTC without a zone). Left out, the newest."),
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Names of columns, with commas between. Left out, all.")] = None,
    to: Annotated[Path | None, typer.Option(help="Write the rows to this file: .csv, .parquet or .jsonl.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="How many rows are shown.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Show a table of the lake as it is or was, or write its rows to a file."""
    from flows.context import open_pipeline

    config, settings = open_pipeline(name)
    if to is not None:
        tabular.check(to)
    found = _find(Lake(settings, config), table, None if as_of is None else moment_or_version(as_of))
    schema = _chosen(found, columns)
    written = None if to is None else tabular.write(to, schema, _batches(found, schema))
    first = [] if to is not None else list(islice(_rows(found, schema), rows))
    count = found.table.count() if written is None else written
    value = {
        "pipeline": name,
        "table": table,
        "version": found.version,
        "at": found.at.isoformat(),
        "rows": count,
        "columns": {field.name: str(field.type) for field in tabular.plain(schema)},
        "first": first,
        "file": None if to is None else str(to),
    }
    head = f"{name} {table}: {count} rows, version {found.version} of {format_timestamp(found.at)}"
    text = f"{head}, written to {to}" if to is not None else "\n".join([head, "", *_text(schema, first)])
    print_result(as_json, value, text.rstrip())


def moment_or_version(text: str) -> AsOf:
    """What --as-of says.

    Raises:
        UsageError: it is neither a version nor a time.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--as-of: found {text!r}; expected a version, such as 12, or a time, such as 2026-03-01 or "
            "2026-03-01T06:00:00+01:00."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _find(lake: Lake, table: TableName, as_of: AsOf | None) -> Snapshot:
    if table not in lake.tables:
        raise UsageError(f"--table: {lake.pipeline} has no {table}; it has {', '.join(lake.tables)}.")
    found = snapshot(lake.url(table), as_of)
    if found is None:
        raise UsageError(f"{lake.pipeline} has no data yet. Land files, then `perennial run {lake.pipeline}`.")
    return found


def _chosen(found: Snapshot, columns: str | None) -> pa.Schema:
    schema = pa.schema(found.table.schema().to_arrow())
    if columns is None:
        return schema
    names = [one.strip() for one in columns.split(",") if one.strip()]
    missing = [one for one in names if one not in schema.names]
    if missing or not names:
        raise UsageError(
            f"--columns: found {', '.join(missing) or 'none'}; version {found.version} has {', '.join(schema.names)}."
        )
    return pa.schema([schema.field(one) for one in dict.fromkeys(names)])


def _batches(found: Snapshot, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    return delta.stream(found.table, schema.names)


def _rows(found: Snapshot, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    for batch in _batches(found, schema):
        for index in range(batch.num_rows):
            yield from tabular.plain_rows(batch.slice(index, 1))


def _text(schema: pa.Schema, first: Sequence[dict[str, Any]]) -> list[str]:
    """The columns, each with its type and values of the first rows."""
    head = ("column", "type", *(f"row {number}" for number in range(1, len(first) + 1)))
    lines = [
        (field.name, str(field.type), *(_cell(row[field.name]) for row in first)) for field in tabular.plain(schema)
    ]
    return aligned([head, *lines]).splitlines()


def _cell(value: Any) -> str:
    text = "–" if value is None else " ".join(str(value).split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
