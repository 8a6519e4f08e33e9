"""The feature frame of observations: columns, order and types are defined by the contract alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from configs.contract import Column


def feature_frame(table: pa.Table, names: Sequence[str], columns: Mapping[str, Column]) -> pd.DataFrame:
    """Return the feature rows, shape (n_rows, n_columns).

    Types follow the contract, never the data: numbers and nullable integers are float64, other integers int64,
    texts `str`, booleans of nullable columns float64, timestamps datetime64[us] in UTC without a zone.
    """
    return pd.DataFrame({name: _values(_column(table, name), columns[name]) for name in names}, copy=False)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column; nulls if the table lacks it because the contract has dropped it."""
    return table.column(name) if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows)])


def _values(values: pa.ChunkedArray, column: Column) -> Any:
    if column.type == "timestamp":
        return values.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")).to_numpy()
    if column.type == "string":
        return pd.Series(values.cast(pa.string()).to_pandas(), dtype="str")
    if column.type == "number" or column.nullable or values.null_count:
        return values.cast(pa.float64()).to_numpy()
    return values.to_numpy()


def target_values(table: pa.Table, column: Column) -> npt.NDArray[Any]:
    """Return the target, shape (n_rows,): float64 for numbers, object for texts, int64 or bool unchanged."""
    name = table.column(0) if table.num_columns == 1 else None
    if name is None:
        raise ValueError("target_values takes a table of one column")
    if column.type == "string":
        return np.asarray(name.to_pylist(), dtype=object)
    return np.asarray(name.to_numpy())
