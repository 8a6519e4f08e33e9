"""Bootstrap: how sure is a metric, and how sure is it that one model is better than another on the same rows?

Percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; whole days or groups
are drawn where errors within one hang together (the cluster bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.schema import Metric
from tasks.measures.metrics import KINDS, Answers, Floats, MetricKind, value
from tasks.refs import Interval

Units = npt.NDArray[np.int64]
_MOST_UNITS = 2_000
_MOST_ROWS = 20_000
_CHUNK = 100


def improvement(
    metric: Metric,
    truth: npt.NDArray[Any],
    candidate: Answers,
    champion: Answers,
    units: Units | None,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval | None:
    """Improvement of the candidate over the champion, positive where it is better, in the metric's unit.

    None where the metric is no number on these rows, as the area under a ROC curve of one class alone.

    Args:
        metric: The metric compared.
        truth: True targets, shape (n_rows,).
        candidate: The candidate's answers.
        champion: The champion's answers for the same rows.
        units: Which unit each row belongs to, shape (n_rows,); None: each row is its own.
        resamples: Number of resamples.
        confidence: Of the two-sided interval.
        seed: Of the draws.
    """
    sign = 1.0 if KINDS[metric].greater_is_better else -1.0
    estimate = sign * (value(metric, truth, candidate) - value(metric, truth, champion))
    draws = _draws(metric, truth, (candidate, champion), units, resamples, np.random.default_rng(seed))
    return _percentiles(estimate, sign * (draws[0] - draws[1]), confidence)


def interval(
    metric: Metric,
    truth: npt.NDArray[Any],
    answers: Answers,
    units: Units | None,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval | None:
    """One model's metric, in its natural sign and unit; None where it is no number on these rows.

    Args:
        metric: The metric.
        truth: True targets, shape (n_rows,).
        answers: The model's answers.
        units: Which unit each row belongs to, shape (n_rows,); None: each row is its own.
        resamples: Number of resamples.
        confidence: Of the two-sided interval.
        seed: Of the draws.
    """
    draws = _draws(metric, truth, (answers,), units, resamples, np.random.default_rng(seed))
    return _percentiles(value(metric, truth, answers), draws[0], confidence)


def _percentiles(estimate: float, draws: Floats, confidence: float) -> Interval | None:
    tail = (1.0 - confidence) / 2.0
    finite = draws[np.isfinite(draws)]
    if not np.isfinite(estimate) or finite.size == 0:
        return None
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return Interval(estimate=estimate, low=float(low), high=float(high), confidence=confidence)


def _draws(
    metric: Metric,
    truth: npt.NDArray[Any],
    models: Sequence[Answers],
    units: Units | None,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """The metric of each model over resamples that they share, shape (n_models, resamples)."""
    kind = KINDS[metric]
    if kind.rowwise is not None:
        return _rowwise_draws(kind, kind.rowwise, truth, models, units, resamples, rng)
    return _whole_draws(metric, truth, models, units, resamples, rng)


def _rowwise_draws(
    kind: MetricKind,
    rowwise: Callable[[npt.NDArray[Any], Answers], Floats],
    truth: npt.NDArray[Any],
    models: Sequence[Answers],
    units: Units | None,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """From sums by unit, so that a resample's cost is independent of rows."""
    pooled = _pooled(units, len(truth), rng)
    n_units = int(pooled.max()) + 1
    counts = np.bincount(pooled, minlength=n_units).astype(np.float64)
    sums = [np.bincount(pooled, weights=rowwise(truth, one), minlength=n_units) for one in models]
    draws = np.empty((len(models), resamples))
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=size).astype(np.float64)
        total = weights @ counts
        draws[:, start : start + size] = [kind.finish((weights @ one) / total) for one in sums]
    return draws


def _pooled(units: Units | None, n_rows: int, rng: np.random.Generator) -> Units:
    """Unit numbers 0..n-1, shape (n_rows,). Very many units are pooled at random: the mean's spread stays the same."""
    numbers = np.arange(n_rows) if units is None else np.unique(units, return_inverse=True)[1]
    n_units = int(numbers.max()) + 1
    if n_units <= _MOST_UNITS:
        return numbers
    return (rng.permutation(n_units) % _MOST_UNITS)[numbers]


def _whole_draws(
    metric: Metric,
    truth: npt.NDArray[Any],
    models: Sequence[Answers],
    units: Units | None,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """For metrics of the whole; on a seeded sample of many rows."""
    rows = np.arange(len(truth))
    if rows.size > _MOST_ROWS:
        rows = np.sort(rng.choice(rows, size=_MOST_ROWS, replace=False))
    numbers = np.arange(rows.size) if units is None else np.unique(units[rows], return_inverse=True)[1]
    order = np.argsort(numbers, kind="stable")
    groups = np.split(rows[order], np.flatnonzero(np.diff(numbers[order])) + 1)
    draws = np.empty((len(models), resamples))
    for index in range(resamples):
        chosen = rng.integers(0, len(groups), size=len(groups))
        drawn = np.concatenate([groups[one] for one in chosen]) if units is not None else rows[chosen]
        draws[:, index] = [value(metric, truth[drawn], one.take(drawn)) for one in models]
    return draws
