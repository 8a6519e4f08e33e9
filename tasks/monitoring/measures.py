"""Distances between two samples, by Evidently. The only module that talks to it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tasks.stores.settings import QUIET


class ColumnDistance(NamedTuple):
    """One column's distance and how surprising it would be without drift (p-value, not corrected)."""

    column: str
    numeric: bool
    effect: float
    p_value: float


def column_distances(
    current: pd.DataFrame, reference: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]
) -> list[ColumnDistance]:
    """Measure each column that both samples have values of.

    Numbers: Wasserstein distance in standard deviations of the reference, and the Kolmogorov-Smirnov test.
    Categories: Jensen-Shannon distance, and the chi-squared test.

    Args:
        current: The newest rows, shape (n_rows, n_columns).
        reference: The rows it is compared with.
        numeric: Columns of numbers.
        categorical: Columns of categories.
    """
    os.environ.update(QUIET)
    usable = [
        name for name in [*numeric, *categorical] if current[name].notna().any() and reference[name].notna().any()
    ]
    tests = {name: ("wasserstein", "ks") if name in numeric else ("jensenshannon", "chisquare") for name in usable}
    found = _run(current[usable], reference[usable], tests)
    return [
        ColumnDistance(
            name, name in numeric, _finite(found[name, tests[name][0]]), _finite(found[name, tests[name][1]])
        )
        for name in usable
    ]


def _run(
    current: pd.DataFrame, reference: pd.DataFrame, tests: dict[str, tuple[str, str]]
) -> dict[tuple[str, str], float]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    if not tests:
        return {}
    definition = DataDefinition(
        numerical_columns=[name for name, (first, _) in tests.items() if first == "wasserstein"],
        categorical_columns=[name for name, (first, _) in tests.items() if first == "jensenshannon"],
    )
    metrics: list[Any] = [ValueDrift(column=name, method=method) for name, pair in tests.items() for method in pair]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A category that the reference lacks divides by zero inside the chi-squared test: its p-value is then 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        sides = [Dataset.from_pandas(side, data_definition=definition) for side in (current, reference)]
        snapshot = Report(metrics).run(sides[0], sides[1])
    results: dict[str, Any] = snapshot.dict()
    return {(one["config"]["column"], one["config"]["method"]): float(one["value"]) for one in results["metrics"]}


def _finite(number: float) -> float:
    return float(number) if np.isfinite(number) else 0.0
