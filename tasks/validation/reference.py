"""What a distribution is held against: a partition made of the champion's training data."""

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
# The share that is set aside for what the training data lack: a value never seen, or outside the bins. Without it a
# single such value makes the divergence infinite.
HOLDOUT = 0.001


def partition(values: pd.Series[Any], kind: ColumnType) -> dict[str, JsonValue]:
    """A column's distribution as Great Expectations has it: values or bins, and weights that add up to 1.

    Args:
        values: Shape (n_rows,); missing ones are left out.
        kind: Type of the column. Numbers are put into bins that hold about as many rows each.

    Raises:
        ValueError: there is no value, there are too many different ones, or the type has no distribution.
    """
    present = values.dropna()
    if kind == "timestamp":
        raise ValueError("it is a time, and times always move")
    if present.empty:
        raise ValueError("the champion's training data have no value of it")
    return _bins(present.to_numpy(dtype=np.float64)) if kind in ("integer", "number") else _categories(present, kind)


def _categories(present: pd.Series[Any], kind: ColumnType) -> dict[str, JsonValue]:
    shares = present.astype(bool if kind == "boolean" else str).value_counts(normalize=True).sort_index()
    if len(shares) > MOST_VALUES:
        raise ValueError(f"it has {len(shares)} different values, at most {MOST_VALUES} can be compared")
    found: list[JsonValue] = shares.index.tolist()
    weights: list[JsonValue] = [float(share) for share in shares]
    return {"values": found, "weights": weights}


def _bins(present: Any) -> dict[str, JsonValue]:
    finite = present[np.isfinite(present)]
    if not finite.size:
        raise ValueError("the champion's training data have no finite value of it")
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
    """Expectations with the champion's distributions filled in; those that can't be asked yet left out, and why.

    Args:
        expectations: As the configuration has them.
        sample: The champion's stored sample of its training data; None where there is no champion.
        columns: The contract's columns.
    """
    filled, notes = [], []
    for one in expectations:
        try:
            filled.append(one if one.reference is None else _filled(one, sample, columns))
        except ValueError as error:
            notes.append(f"{one.type} of {one.arguments.get('column')} is not asked: {error}")
    return filled, notes


def _filled(one: Expectation, sample: pd.DataFrame | None, columns: Mapping[str, Column]) -> Expectation:
    name = str(one.arguments.get("column"))
    if sample is None:
        raise ValueError("there is no champion yet")
    if name not in sample:
        raise ValueError("the champion was trained without it")
    found = partition(sample[name], columns[name].type)
    defaults: dict[str, JsonValue] = {"tail_weight_holdout": HOLDOUT, "partition_object": found}
    missing = {name: value for name, value in defaults.items() if name not in one.arguments}
    return one.model_copy(update={"arguments": {**one.arguments, **missing}})
