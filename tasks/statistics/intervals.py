"""Bootstrap: how sure is a metric, and how sure is it that one model is better than another on the same rows?

Percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; whole days or groups
are drawn where errors within one hang together (the cluster bootstrap). A resample is how often each unit was drawn:
every metric of every model is told by those weights, so that all are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.schema import Metric
from tasks.records.decision import Interval
from tasks.statistics.metrics import KINDS, Answers, Floats, areas, value

Units = npt.NDArray[np.int64]
_MOST_UNITS = 2_000
_MOST_ROWS = 20_000  # for the area under a ROC curve, which is no mean: each resample goes through every row
_MOST_VISITS = 20_000_000  # of rows by the area, where it is not the metric that decides: resamples beyond are left out
_LEAST_AREAS = 200  # resamples that it is given all the same
_CHUNK = 100
# From how often each unit was drawn, shape (n_resamples, n_units), to the metric, shape (n_resamples,).
_Weighed = Callable[[Floats], Floats]


def improvements(
    metrics: Sequence[Metric],
    truth: npt.NDArray[Any],
    candidate: Answers,
    champion: Answers,
    units: Units | None,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Improvement of the candidate over the champion by each metric, positive where it is better, in its unit.

    A metric that is no number on these rows is left out, as the area under a ROC curve of one class alone.

    Args:
        metrics: The metrics compared, on the same draws. The first decides: it gets every resample; the area under a
            ROC curve, where it is not the first, fewer where there are many rows and classes.
        truth: True targets, shape (n_rows,).
        candidate: The candidate's answers.
        champion: The champion's answers for the same rows.
        units: Which unit each row belongs to, shape (n_rows,); None: each row is its own.
        resamples: Number of resamples.
        confidence: Of the two-sided intervals.
        seed: Of the draws.
    """
    draws = _draws(metrics, truth, (candidate, champion), units, resamples, seed)
    found = {}
    for metric in metrics:
        sign = 1.0 if KINDS[metric].greater_is_better else -1.0
        estimate = sign * (value(metric, truth, candidate) - value(metric, truth, champion))
        found[metric] = _percentiles(estimate, sign * (draws[metric][0] - draws[metric][1]), confidence)
    return {metric: one for metric, one in found.items() if one is not None}


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
    draws = _draws((metric,), truth, (answers,), units, resamples, seed)
    return _percentiles(value(metric, truth, answers), draws[metric][0], confidence)


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
    models: Sequence[Answers],
    units: Units | None,
    resamples: int,
    seed: int,
) -> dict[Metric, Floats]:
    """Each metric of each model over resamples that all share, shape (n_models, resamples)."""
    rng = np.random.default_rng(seed)
    pooled = _pooled(units, len(truth), rng)
    n_units = int(pooled.max()) + 1
    weighed = {name: [_weighed(name, truth, one, pooled, seed) for one in models] for name in metrics}
    draws = {name: np.full((len(models), resamples), np.nan) for name in metrics}
    most = {name: resamples if name == metrics[0] else _most(name, truth, models) for name in metrics}
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=size).astype(np.float64)
        for name, each in weighed.items():
            if start < most[name]:
                draws[name][:, start : start + size] = [one(weights) for one in each]
    return draws


def _most(metric: Metric, truth: npt.NDArray[Any], models: Sequence[Answers]) -> float:
    """How many resamples a metric is worth that does not decide."""
    if KINDS[metric].shares is not None:
        return float("inf")
    visits = min(len(truth), _MOST_ROWS) * sum(len(one.classes) - (len(one.classes) == 2) for one in models)
    return max(_LEAST_AREAS, 2 * _MOST_VISITS / max(visits, 1))


def _pooled(units: Units | None, n_rows: int, rng: np.random.Generator) -> Units:
    """Unit numbers 0..n-1, shape (n_rows,). Very many units are pooled at random: the mean's spread stays the same."""
    numbers = np.arange(n_rows) if units is None else np.unique(units, return_inverse=True)[1]
    n_units = int(numbers.max()) + 1
    if n_units <= _MOST_UNITS:
        return numbers
    return (rng.permutation(n_units) % _MOST_UNITS)[numbers]


def _weighed(metric: Metric, truth: npt.NDArray[Any], answers: Answers, pooled: Units, seed: int) -> _Weighed:
    """A model's metric as a function of the weights. By sums of each unit where it can: then rows cost nothing."""
    kind = KINDS[metric]
    if kind.shares is None:
        return _weighed_area(truth, answers, pooled, seed)
    n_units = int(pooled.max()) + 1
    counts = np.bincount(pooled, minlength=n_units).astype(np.float64)
    shares = kind.shares(truth, answers)
    sums = np.column_stack([np.bincount(pooled, weights=one, minlength=n_units) for one in shares])
    return lambda weights: kind.finish((weights @ sums) / (weights @ counts)[:, np.newaxis])


def _weighed_area(truth: npt.NDArray[Any], answers: Answers, pooled: Units, seed: int) -> _Weighed:
    """The area under the ROC curve, on a seeded sample of many rows: wider an interval, never a narrower one."""
    if len(truth) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(truth), size=_MOST_ROWS, replace=False))
        truth, answers, pooled = truth[rows], answers.take(rows), pooled[rows]
    each = [_one_area(positive, scores, pooled) for positive, scores in areas(truth, answers)]
    return lambda weights: _mean_of_numbers(np.stack([one(weights) for one in each]))


def _one_area(positive: npt.NDArray[np.bool_], scores: Floats, pooled: Units) -> _Weighed:
    """Share of the pairs of a positive and a negative row that the scores have in order; equal ones count half."""
    order = np.argsort(scores[~positive], kind="stable")
    negative = scores[~positive][order]
    below, upto = (np.searchsorted(negative, scores[positive], side) for side in ("left", "right"))
    ours, theirs = pooled[positive], pooled[~positive][order]

    def of(weights: Floats) -> Floats:
        passed = np.zeros((len(weights), len(theirs) + 1))
        np.cumsum(weights[:, theirs], axis=1, out=passed[:, 1:])
        drawn = weights[:, ours]
        ordered = np.einsum("ij,ij->i", drawn, passed[:, below]) + np.einsum("ij,ij->i", drawn, passed[:, upto])
        pairs = 2.0 * drawn.sum(axis=1) * passed[:, -1]
        return np.asarray(ordered / np.where(pairs > 0, pairs, np.nan))

    return of


def _mean_of_numbers(values: Floats) -> Floats:
    """Mean over the first axis of what is a number; NaN where nothing is."""
    there = np.isfinite(values)
    number = there.sum(axis=0)
    return np.asarray(np.where(there, values, 0.0).sum(axis=0) / np.where(number > 0, number, np.nan))
