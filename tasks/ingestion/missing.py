"""Values that mean missing, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Column
from tasks.ingestion.cast import cast_column

Values: TypeAlias = pa.ChunkedArray | pa.Array


class Missing:
    """The values of one column that mean missing: texts as trimmed text, numbers as numbers, moments as moments."""

    def __init__(self, column: Column, timezone: str) -> None:
        texts = [_text(one) for one in column.missing]
        self._texts = pa.array(texts, pa.string())
        numbers = [float(one) for one in column.missing if isinstance(one, int | float) and not isinstance(one, bool)]
        self._numbers = pa.array(numbers, pa.float64())
        typed, _ = cast_column(pa.array(texts, pa.string()), column, timezone)
        self._typed = typed.drop_null()

    def before(self, values: Values) -> Values:
        """Values as they were found, without those that mean missing.

        Args:
            values: Of any type; see cells.plain.
        """
        if pa.types.is_string(values.type):
            return _without(values, pc.is_in(pc.utf8_trim_whitespace(values), self._texts))
        number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
        if number and len(self._numbers):
            return _without(values, pc.is_in(values.cast(pa.float64(), safe=False), self._numbers))
        return values

    def after(self, typed: Values) -> Values:
        """Values of the contract's type, without those that mean missing."""
        if pa.types.is_string(typed.type):
            return _without(typed, pc.is_in(pc.utf8_trim_whitespace(typed), self._texts))
        return _without(typed, pc.is_in(typed, self._typed)) if len(self._typed) else typed


def missing_values(columns: Mapping[str, Column], timezone: str) -> dict[str, Missing]:
    """The values that mean missing, of the columns that have some."""
    return {name: Missing(column, timezone) for name, column in columns.items() if column.missing}


def _text(value: str | float | bool) -> str:
    return value.strip() if isinstance(value, str) else str(value)


def _without(values: Values, gone: Values) -> Values:
    return pc.if_else(gone, pa.scalar(None, values.type), values) if pc.any(gone).as_py() else values
