"""Class probabilities as tables keep them: a column a class, named after it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from configs.contract import Column


def probability_columns(table: pa.Table, column: Column, start: str) -> dict[Any, str]:
    """The columns that hold probabilities, by their class, as the target has it.

    A class that only other versions know, which is null in all rows of this one, is left out.

    Args:
        table: Rows of one version's answers.
        column: The target.
        start: What the columns' names begin with.
    """
    return {
        _class(name.removeprefix(start), column): name
        for name in table.column_names
        if name.startswith(start) and table.column(name).null_count < table.num_rows
    }


def _class(name: str, column: Column) -> Any:
    if column.type == "integer":
        return int(name)
    if column.type == "number":
        return float(name)
    return name == "True" if column.type == "boolean" else name
