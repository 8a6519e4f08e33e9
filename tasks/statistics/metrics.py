"""Metrics in their natural sign, each with its direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score, roc_auc_score

from configs.schema import CLASSIFICATION_METRICS, REGRESSION_METRICS, Metric
from tasks.records.decision import MetricSet
from tasks.stores.registry.fitted import fitted_digest

Floats = npt.NDArray[np.float64]
_EPS = 1e-15


@dataclass(frozen=True)
class ModelPredictions:
    """The predictions of a model for rows.

    Attributes:
        point: Predicted values or classes, shape (n_rows,).
        probabilities: Shape (n_rows, n_classes); None for a regression or a classifier without them.
        classes: The classes, in the columns' order.
    """

    point: npt.NDArray[Any]
    probabilities: Floats | None = None
    classes: tuple[Any, ...] = ()

    def take(self, rows: npt.NDArray[np.int64]) -> ModelPredictions:
        """Return the predictions of some rows, by position."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return ModelPredictions(self.point[rows], probabilities, self.classes)


def predictions_digest(predictions: ModelPredictions) -> str:
    """Return a digest of predictions, probabilities and classes, to the last bit."""
    return fitted_digest([predictions.point, predictions.probabilities, list(predictions.classes)])


Shares = Sequence[Floats]


@dataclass(frozen=True)
class MetricKind:
    """One metric.

    Attributes:
        greater_is_better: Whether greater values are better.
        row_terms: Terms of each row, columns of shape (n_rows,), if the metric is a function of their means; else None.
        from_means: From the means of the terms, shape (..., n_columns), to the metric, shape (...,). NaN: undefined.
        on_all_rows: The metric of all rows, if it is not defined by terms.
    """

    greater_is_better: bool
    row_terms: Callable[[npt.NDArray[Any], ModelPredictions], Shares] | None = None
    from_means: Callable[[Floats], Floats] = lambda means: means[..., 0]
    on_all_rows: Callable[[npt.NDArray[Any], ModelPredictions], float] | None = None


def _probability_of_truth(
    truth: npt.NDArray[Any], predictions: ModelPredictions
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the probability of each row's true class (0 for a class unknown to the model), and one-hot truth."""
    probabilities = _probabilities(predictions)
    one_hot = np.column_stack([np.equal(truth, name) for name in predictions.classes])
    return (probabilities * one_hot).sum(axis=1), one_hot


def _probabilities(predictions: ModelPredictions) -> Floats:
    if predictions.probabilities is not None:
        return predictions.probabilities
    return np.column_stack([np.equal(predictions.point, name) for name in predictions.classes]).astype(np.float64)


def _log_loss(truth: npt.NDArray[Any], predictions: ModelPredictions) -> Floats:
    probabilities, _ = _probability_of_truth(truth, predictions)
    return -np.log(np.clip(probabilities, _EPS, 1.0))


def _brier(truth: npt.NDArray[Any], predictions: ModelPredictions) -> Floats:
    """Brier score summed over classes and halved, so that two classes give Brier's (1950) single-column form."""
    _, one_hot = _probability_of_truth(truth, predictions)
    unseen = 1.0 - one_hot.sum(axis=1)  # classes unknown to the model have probability 0
    squared: Floats = (((_probabilities(predictions) - one_hot) ** 2).sum(axis=1) + unseen) / 2.0
    return squared


def roc_inputs(
    truth: npt.NDArray[Any], predictions: ModelPredictions
) -> Iterator[tuple[npt.NDArray[np.bool_], Floats]]:
    """Yield for each ROC curve whether each row is positive, and its score.

    Two classes: the second. More: each against the rest.
    """
    probabilities = _probabilities(predictions)
    for index in [1] if len(predictions.classes) == 2 else range(len(predictions.classes)):
        yield np.equal(truth, predictions.classes[index]), probabilities[:, index]


def _roc_auc(truth: npt.NDArray[Any], predictions: ModelPredictions) -> float:
    """Area under the ROC curve; for more than two classes the mean of one against the rest. NaN: a single class."""
    areas = [
        roc_auc_score(positive, scores)
        for positive, scores in roc_inputs(truth, predictions)
        if positive.any() and not positive.all()
    ]
    return float(np.mean(areas)) if areas else float("nan")


def _r2(truth: npt.NDArray[Any], predictions: ModelPredictions) -> float:
    return float(r2_score(truth, predictions.point)) if len(truth) > 1 else float("nan")


def _r2_shares(truth: npt.NDArray[Any], predictions: ModelPredictions) -> Shares:
    centred = np.asarray(truth, dtype=np.float64) - np.mean(truth)
    return centred, centred**2, (truth - predictions.point) ** 2


def _r2_finish(means: Floats) -> Floats:
    variance = means[..., 1] - means[..., 0] ** 2
    return 1.0 - means[..., 2] / np.where(variance > 0, variance, np.nan)


def _confusion_shares(truth: npt.NDArray[Any], predictions: ModelPredictions) -> Shares:
    """Return for each class in truth or predictions: is it true, is it predicted, is it both?"""
    classes = sorted({*np.unique(truth).tolist(), *np.unique(predictions.point).tolist()})
    true = [np.equal(truth, name).astype(np.float64) for name in classes]
    predicted = [np.equal(predictions.point, name).astype(np.float64) for name in classes]
    return [*true, *predicted, *(one * other for one, other in zip(true, predicted, strict=True))]


def _balanced_accuracy_finish(means: Floats) -> Floats:
    true, _, both = np.split(means, 3, axis=-1)
    return _mean_over_present(both, true)


def _f1_macro_finish(means: Floats) -> Floats:
    true, predicted, both = np.split(means, 3, axis=-1)
    return _mean_over_present(2.0 * both, true + predicted)


def _mean_over_present(numerators: Floats, denominators: Floats) -> Floats:
    """Mean of the quotients over the classes that occur."""
    is_present = denominators > 0
    quotients = np.where(is_present, numerators / np.where(is_present, denominators, 1.0), 0.0)
    return np.asarray(quotients.sum(axis=-1) / np.maximum(is_present.sum(axis=-1), 1))


METRIC_KINDS: dict[Metric, MetricKind] = {
    "mae": MetricKind(False, lambda y, a: [np.abs(a.point - y)]),
    "rmse": MetricKind(False, lambda y, a: [(a.point - y) ** 2], lambda means: np.sqrt(means[..., 0])),
    "r2": MetricKind(True, _r2_shares, _r2_finish, _r2),
    "log_loss": MetricKind(False, lambda y, a: [_log_loss(y, a)]),
    "brier": MetricKind(False, lambda y, a: [_brier(y, a)]),
    "accuracy": MetricKind(True, lambda y, a: [np.equal(a.point, y).astype(np.float64)]),
    "balanced_accuracy": MetricKind(
        True,
        _confusion_shares,
        _balanced_accuracy_finish,
        lambda y, a: float(balanced_accuracy_score(y, a.point)),
    ),
    "f1_macro": MetricKind(
        True,
        _confusion_shares,
        _f1_macro_finish,
        lambda y, a: float(f1_score(y, a.point, average="macro", zero_division=0)),
    ),
    "roc_auc": MetricKind(True, on_all_rows=_roc_auc),
}


def task_metrics(task: str) -> tuple[Metric, ...]:
    """Return the metrics of a task."""
    return REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS


def metric_value(metric: Metric, truth: npt.NDArray[Any], predictions: ModelPredictions) -> float:
    """Return one metric of one model.

    Args:
        metric: Its name.
        truth: True targets, shape (n_rows,).
        predictions: The model's predictions for the same rows.
    """
    kind = METRIC_KINDS[metric]
    if kind.on_all_rows is not None:
        return kind.on_all_rows(truth, predictions)
    if kind.row_terms is None:
        raise ValueError(f"metric {metric} has neither row terms nor a function of all rows")
    return float(kind.from_means(np.array([np.mean(one) for one in kind.row_terms(truth, predictions)])))


def compute_metrics(task: str, truth: npt.NDArray[Any], predictions: ModelPredictions) -> MetricSet:
    """Return all metrics of a task that are defined on these rows."""
    values = {name: metric_value(name, truth, predictions) for name in task_metrics(task)}
    return MetricSet(rows=len(truth), values={name: number for name, number in values.items() if np.isfinite(number)})
