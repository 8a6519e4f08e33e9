"""Messages on rejected rows: what was found and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.stores.lake.schemas import ARROW_TYPES, ROW
from tasks.stores.lake.staging import UNREADABLE
from tasks.validation.file_validation import FileValidation

_SHOWN = 300
_TYPES = {arrow: name for name, arrow in ARROW_TYPES.items()}
_NULL = "expect_column_values_to_not_be_null("


def row_reason(row: Mapping[str, Any], name: str, detail: str, schema: pa.Schema) -> str:
    """Return the message on a rejected row.

    Args:
        row: Its values, without those that are missing.
        name: The reason: an expectation, `type`, or a policy.
        detail: Its description.
        schema: Schema of the staged rows.
    """
    if name == "type":
        return _unreadable(json.loads(row[UNREADABLE]), detail, schema)
    column = name.partition("(")[2].rstrip(")")
    if name.startswith(_NULL):
        return f"{column} is missing, expected a value"
    value = f"{column} = {_truncate(str(row.get(column, 'missing')))}" if column else ""
    return ", ".join(part for part in (value, detail) if part) or name


def with_example(validation: FileValidation, reason: str) -> str:
    """Return the reason to reject a file, with the message on its first rejected row."""
    refused = validation.rejections.rejected
    first = int(np.argmax(refused)) if refused.any() else None
    piece = next(
        (one for one in validation.pieces() if first is not None and first < one.start + one.rows.num_rows), None
    )
    if first is None or piece is None:
        return reason
    values = piece.rows.slice(first - piece.start, 1).to_pylist()[0]
    row = {name: value for name, value in values.items() if value is not None}
    return (
        f"{reason}. Row {row[ROW]:,}: {row_reason(row, *validation.rejections.reason(first), validation.staged.schema)}"
    )


def _unreadable(cells: Mapping[str, str], detail: str, schema: pa.Schema) -> str:
    if "" in cells:
        return f"can't be read as a row: {_truncate(cells[''])}"
    messages = [
        f"{name} = {_truncate(text)}, expected {_TYPES[schema.field(name).type]}" for name, text in cells.items()
    ]
    return f"{detail}: {'; '.join(messages)}"


def _truncate(text: str) -> str:
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[:_SHOWN])
    return shown if len(text) <= _SHOWN else f"{shown}…"
