"""Bootstrap intervals of a metric, and of the improvement of one model over another on the same rows.

Percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; whole days or groups
are drawn if errors within one are correlated (the cluster bootstrap). A resample is the number of draws of each unit;
every metric of every model is computed from these weights, so that all are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.schema import Metric
from tasks.records.decision import Interval
from tasks.statistics.metrics import METRIC_KINDS, Floats, ModelPredictions, metric_value, roc_inputs

Units = npt.NDArray[np.int64]
_MAX_UNITS = 2_000
_MAX_ROWS = 20_000  # for the area under a ROC curve, which is not a mean: each resample visits every row
_MAX_ROW_VISITS = 20_000_000  # row visits for the area, if it is not the primary metric
_MIN_AREA_RESAMPLES = 200  # minimum number of resamples
_CHUNK = 100
# From the number of draws of each unit, shape (n_resamples, n_units), to the metric, shape (n_resamples,).
_WeightedMetric = Callable[[Floats], Floats]


def improvements(
    metrics: Sequence[Metric],
    truth: npt.NDArray[Any],
    candidate: ModelPredictions,
    champion: ModelPredictions,
    units: Units | None,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Return the improvement of the candidate over the champion by metric, in its unit; positive is better.

    A metric that is undefined on these rows is left out, such as the area under a ROC curve with a single class.

    Args:
        metrics: The metrics, compared on the same draws. The first is primary and gets every resample; the area under
            a ROC curve, if not the first, gets fewer for many rows and classes.
        truth: True targets, shape (n_rows,).
        candidate: The candidate's predictions.
        champion: The champion's predictions for the same rows.
        units: Unit of each row, shape (n_rows,); None: each row is a unit.
        resamples: Number of resamples.
        confidence: Of the two-sided intervals.
        seed: Of the draws.
    """
    draws = _draws(metrics, truth, (candidate, champion), units, resamples, seed)
    intervals = {}
    for metric in metrics:
        sign = 1.0 if METRIC_KINDS[metric].greater_is_better else -1.0
        estimate = sign * (metric_value(metric, truth, candidate) - metric_value(metric, truth, champion))
        intervals[metric] = _percentiles(estimate, sign * (draws[metric][0] - draws[metric][1]), confidence)
    return {metric: one for metric, one in intervals.items() if one is not None}


def interval(
    metric: Metric,
    truth: npt.NDArray[Any],
    predictions: ModelPredictions,
    units: Units | None,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval | None:
    """Return one model's metric with its interval; None if it is undefined on these rows.

    Args:
        metric: The metric.
        truth: True targets, shape (n_rows,).
        predictions: The model's predictions.
        units: Unit of each row, shape (n_rows,); None: each row is a unit.
        resamples: Number of resamples.
        confidence: Of the two-sided interval.
        seed: Of the draws.
    """
    draws = _draws((metric,), truth, (predictions,), units, resamples, seed)
    return _percentiles(metric_value(metric, truth, predictions), draws[metric][0], confidence)


def _percentiles(estimate: float, draws: Floats, confidence: float) -> Interval | None:
    tail = (1.0 - confidence) / 2.0
    finite = draws[np.isfinite(draws)]
    if not np.isfinite(estimate) or finite.size == 0:
        return None
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return Interval(estimate=estimate, low=float(low), high=float(high), confidence=confidence)


def _draws(
    metrics: Sequence[Metric],
    truth: npt.NDArray[Any],
    models: Sequence[ModelPredictions],
    units: Units | None,
    resamples: int,
    seed: int,
) -> dict[Metric, Floats]:
    """Return each metric of each model over common resamples, shape (n_models, resamples)."""
    rng = np.random.default_rng(seed)
    pooled = _pooled(units, len(truth), rng)
    n_units = int(pooled.max()) + 1
    weighted = {name: [_weighted_metric(name, truth, one, pooled, seed) for one in models] for name in metrics}
    draws = {name: np.full((len(models), resamples), np.nan) for name in metrics}
    max_resamples = {name: resamples if name == metrics[0] else _max_resamples(name, truth, models) for name in metrics}
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=size).astype(np.float64)
        for name, metrics_of_models in weighted.items():
            if start < max_resamples[name]:
                draws[name][:, start : start + size] = [one(weights) for one in metrics_of_models]
    return draws


def _max_resamples(metric: Metric, truth: npt.NDArray[Any], models: Sequence[ModelPredictions]) -> float:
    """Return the number of resamples for a metric that is not primary."""
    if METRIC_KINDS[metric].row_terms is not None:
        return float("inf")
    visits = min(len(truth), _MAX_ROWS) * sum(len(one.classes) - (len(one.classes) == 2) for one in models)
    return max(_MIN_AREA_RESAMPLES, 2 * _MAX_ROW_VISITS / max(visits, 1))


def _pooled(units: Units | None, n_rows: int, rng: np.random.Generator) -> Units:
    """Return unit numbers 0..n-1, shape (n_rows,). Many units are pooled at random, which keeps the mean's variance."""
    numbers = np.arange(n_rows) if units is None else np.unique(units, return_inverse=True)[1]
    n_units = int(numbers.max()) + 1
    if n_units <= _MAX_UNITS:
        return numbers
    return (rng.permutation(n_units) % _MAX_UNITS)[numbers]


def _weighted_metric(
    metric: Metric, truth: npt.NDArray[Any], predictions: ModelPredictions, pooled: Units, seed: int
) -> _WeightedMetric:
    """Return a model's metric as a function of the weights, from sums per unit if possible."""
    kind = METRIC_KINDS[metric]
    if kind.row_terms is None:
        return _weighted_roc_auc(truth, predictions, pooled, seed)
    n_units = int(pooled.max()) + 1
    counts = np.bincount(pooled, minlength=n_units).astype(np.float64)
    terms = kind.row_terms(truth, predictions)
    sums = np.column_stack([np.bincount(pooled, weights=one, minlength=n_units) for one in terms])
    return lambda weights: kind.from_means((weights @ sums) / (weights @ counts)[:, np.newaxis])


def _weighted_roc_auc(
    truth: npt.NDArray[Any], predictions: ModelPredictions, pooled: Units, seed: int
) -> _WeightedMetric:
    """Return the area under the ROC curve; of many rows, on a seeded sample, which widens the interval."""
    if len(truth) > _MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(truth), size=_MAX_ROWS, replace=False))
        truth, predictions, pooled = truth[rows], predictions.take(rows), pooled[rows]
    class_areas = [_class_roc_auc(positive, scores, pooled) for positive, scores in roc_inputs(truth, predictions)]
    return lambda weights: _finite_mean(np.stack([one(weights) for one in class_areas]))


def _class_roc_auc(positive: npt.NDArray[np.bool_], scores: Floats, pooled: Units) -> _WeightedMetric:
    """Return the share of correctly ordered pairs of a positive and a negative row; ties count half."""
    order = np.argsort(scores[~positive], kind="stable")
    negative = scores[~positive][order]
    below, below_or_equal = (np.searchsorted(negative, scores[positive], side) for side in ("left", "right"))
    positive_units, negative_units = pooled[positive], pooled[~positive][order]

    def of(weights: Floats) -> Floats:
        passed = np.zeros((len(weights), len(negative_units) + 1))
        np.cumsum(weights[:, negative_units], axis=1, out=passed[:, 1:])
        drawn = weights[:, positive_units]
        ordered = np.einsum("ij,ij->i", drawn, passed[:, below]) + np.einsum(
            "ij,ij->i", drawn, passed[:, below_or_equal]
        )
        pairs = 2.0 * drawn.sum(axis=1) * passed[:, -1]
        return np.asarray(ordered / np.where(pairs > 0, pairs, np.nan))

    return of


def _finite_mean(values: Floats) -> Floats:
    """Return the mean of finite values over the first axis; NaN if there are none."""
    is_finite = np.isfinite(values)
    n_finite = is_finite.sum(axis=0)
    return np.asarray(np.where(is_finite, values, 0.0).sum(axis=0) / np.where(n_finite > 0, n_finite, np.nan))
