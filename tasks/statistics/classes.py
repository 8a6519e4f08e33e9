"""Class probabilities in tables: one column per class."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from configs.contract import Column


def probability_columns(table: pa.Table, column: Column, prefix: str) -> dict[Any, str]:
    """Return the probability columns by class value.

    Classes that only other versions know are null in all rows and are left out.

    Args:
        table: Predictions of one version.
        column: The target.
        prefix: Prefix of the columns' names.
    """
    return {
        _class_value(name.removeprefix(prefix), column): name
        for name in table.column_names
        if name.startswith(prefix) and table.column(name).null_count < table.num_rows
    }


def _class_value(name: str, column: Column) -> Any:
    if column.type == "integer":
        return int(name)
    if column.type == "number":
        return float(name)
    return name == "True" if column.type == "boolean" else name
