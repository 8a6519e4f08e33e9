"""Reference distributions from the champion's training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue

from configs.base import ColumnType
from configs.contract import Column, Expectation

BINS = 10
MOST_VALUES = 1000
# Weight reserved for values that the training data lack. Without it a single such value makes the divergence infinite.
UNSEEN_SHARE = 0.001


def partition(values: pd.Series[Any], kind: ColumnType) -> dict[str, JsonValue]:
    """Return a column's distribution as a Great Expectations partition: values or bins, and weights with sum 1.

    Args:
        values: Shape (n_rows,); missing ones are left out.
        kind: Type of the column. Numbers are put into bins that hold about as many rows each.

    Raises:
        ValueError: there is no value, there are too many different ones, or the type has no distribution.
    """
    present = values.dropna()
    if kind == "timestamp":
        raise ValueError("it is a timestamp, and timestamps always increase")
    if present.empty:
        raise ValueError("the champion's training data have no values for it")
    return _bins(present.to_numpy(dtype=np.float64)) if kind in ("integer", "number") else _categories(present, kind)


def _categories(present: pd.Series[Any], kind: ColumnType) -> dict[str, JsonValue]:
    shares = present.astype(bool if kind == "boolean" else str).value_counts(normalize=True).sort_index()
    if len(shares) > MOST_VALUES:
        raise ValueError(f"it has {len(shares)} different values, at most {MOST_VALUES} can be compared")
    values: list[JsonValue] = shares.index.tolist()
    weights: list[JsonValue] = [float(share) for share in shares]
    return {"values": values, "weights": weights}


def _bins(present: Any) -> dict[str, JsonValue]:
    finite = present[np.isfinite(present)]
    if not finite.size:
        raise ValueError("the champion's training data have no finite values for it")
    # Every edge is a value that is there, so that no bin is empty: its weight of 0 would allow nothing.
    edges = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, BINS + 1), method="inverted_cdf"))
    if edges.size == 1:
        reach = max(0.5, abs(float(edges[0])) * 1e-6)
        edges = np.array([edges[0] - reach, edges[0] + reach])
    counts, _ = np.histogram(finite, edges)
    bins: list[JsonValue] = edges.tolist()
    weights: list[JsonValue] = (counts / counts.sum()).tolist()
    return {"bins": bins, "weights": weights}


def with_reference(
    expectations: Sequence[Expectation], sample: pd.DataFrame | None, columns: Mapping[str, Column]
) -> tuple[list[Expectation], list[str]]:
    """Return expectations with the champion's distributions filled in, and notes on those that are skipped.

    Args:
        expectations: The configured expectations.
        sample: The champion's stored sample of its training data; None where there is no champion.
        columns: The contract's columns.
    """
    filled, notes = [], []
    for expectation in expectations:
        try:
            filled.append(
                expectation if expectation.reference is None else _with_partition(expectation, sample, columns)
            )
        except ValueError as error:
            notes.append(f"{expectation.type} of {expectation.arguments.get('column')} is skipped: {error}")
    return filled, notes


def _with_partition(
    expectation: Expectation, sample: pd.DataFrame | None, columns: Mapping[str, Column]
) -> Expectation:
    name = str(expectation.arguments.get("column"))
    if sample is None:
        raise ValueError("there is no champion yet")
    if name not in sample:
        raise ValueError("the champion was trained without this column")
    distribution = partition(sample[name], columns[name].type)
    defaults: dict[str, JsonValue] = {"tail_weight_holdout": UNSEEN_SHARE, "partition_object": distribution}
    missing = {name: value for name, value in defaults.items() if name not in expectation.arguments}
    return expectation.model_copy(update={"arguments": {**expectation.arguments, **missing}})
