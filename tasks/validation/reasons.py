"""Why a row is refused, in words: what was found in it and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.stores.lake.schemas import ARROW_TYPES, ROW
from tasks.stores.lake.staging import UNREADABLE
from tasks.validation.case import Case

_SHOWN = 300
_TYPES = {arrow: name for name, arrow in ARROW_TYPES.items()}
_NULL = "expect_column_values_to_not_be_null("


def row_reason(row: Mapping[str, Any], name: str, detail: str, schema: pa.Schema) -> str:
    """A row's reason.

    Args:
        row: Its values, without those that are missing.
        name: What it is refused for: an expectation, `type`, a policy.
        detail: What is said of that.
        schema: The staged rows'.
    """
    if name == "type":
        return _unreadable(json.loads(row[UNREADABLE]), detail, schema)
    column = name.partition("(")[2].rstrip(")")
    if name.startswith(_NULL):
        return f"{column} is missing, expected a value"
    value = f"{column} = {_short(str(row.get(column, 'missing')))}" if column else ""
    return ", ".join(part for part in (value, detail) if part) or name


def with_example(case: Case, reason: str) -> str:
    """The reason for which a file is refused, with that of the first of its refused rows where rows are the reason."""
    refused = case.refusals.refused
    first = int(np.argmax(refused)) if refused.any() else None
    piece = next((one for one in case.pieces() if first is not None and first < one.start + one.rows.num_rows), None)
    if first is None or piece is None:
        return reason
    found = piece.rows.slice(first - piece.start, 1).to_pylist()[0]
    row = {name: value for name, value in found.items() if value is not None}
    return f"{reason}. Row {row[ROW]:,}: {row_reason(row, *case.refusals.why(first), case.staged.schema)}"


def _unreadable(cells: Mapping[str, str], detail: str, schema: pa.Schema) -> str:
    if "" in cells:
        return f"can't be read as a row: {_short(cells[''])}"
    told = [f"{name} = {_short(text)}, expected {_TYPES[schema.field(name).type]}" for name, text in cells.items()]
    return f"{detail}: {'; '.join(told)}"


def _short(text: str) -> str:
    shown = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text[:_SHOWN])
    return shown if len(text) <= _SHOWN else f"{shown}…"
