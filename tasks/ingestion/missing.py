"""Values that mean missing, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Column
from tasks.ingestion.cast import cast_column

Values: TypeAlias = pa.ChunkedArray | pa.Array


class MissingValues:
    """The values of one column that mean missing: compared as trimmed text, number or timestamp."""

    def __init__(self, column: Column, timezone: str) -> None:
        texts = [_text(value) for value in column.missing]
        self._texts = pa.array(texts, pa.string())
        numbers = [
            float(value) for value in column.missing if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        self._numbers = pa.array(numbers, pa.float64())
        typed, _ = cast_column(pa.array(texts, pa.string()), column, timezone)
        self._typed_values = typed.drop_null()

    def mask_raw(self, values: Values) -> Values:
        """Replace raw values that mean missing by null.

        Args:
            values: Of any type; see cells.plain.
        """
        if pa.types.is_string(values.type):
            return _mask(values, pc.is_in(pc.utf8_trim_whitespace(values), self._texts))
        number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
        if number and len(self._numbers):
            return _mask(values, pc.is_in(values.cast(pa.float64(), safe=False), self._numbers))
        return values

    def mask_typed(self, typed: Values) -> Values:
        """Replace typed values that mean missing by null."""
        if pa.types.is_string(typed.type):
            return _mask(typed, pc.is_in(pc.utf8_trim_whitespace(typed), self._texts))
        return _mask(typed, pc.is_in(typed, self._typed_values)) if len(self._typed_values) else typed


def missing_values(columns: Mapping[str, Column], timezone: str) -> dict[str, MissingValues]:
    """Return the missing values of the columns that define some."""
    return {name: MissingValues(column, timezone) for name, column in columns.items() if column.missing}


def _text(value: str | float | bool) -> str:
    return value.strip() if isinstance(value, str) else str(value)


def _mask(values: Values, is_missing: Values) -> Values:
    return pc.if_else(is_missing, pa.scalar(None, values.type), values) if pc.any(is_missing).as_py() else values
