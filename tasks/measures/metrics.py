"""Metrics in their natural sign, each with its direction, for one model on one set of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score, roc_auc_score

from configs.schema import CLASSIFICATION_METRICS, REGRESSION_METRICS, Metric
from tasks.refs import MetricSet

Floats = npt.NDArray[np.float64]
_EPS = 1e-15


@dataclass(frozen=True)
class Answers:
    """What a model says of rows.

    Attributes:
        point: Predicted values or classes, shape (n_rows,).
        probabilities: Shape (n_rows, n_classes); None for a regression or a classifier without them.
        classes: The classes, in the columns' order.
    """

    point: npt.NDArray[Any]
    probabilities: Floats | None = None
    classes: tuple[Any, ...] = ()

    def take(self, rows: npt.NDArray[np.int64]) -> Answers:
        """The same for some rows, by position."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Answers(self.point[rows], probabilities, self.classes)


@dataclass(frozen=True)
class MetricKind:
    """One metric.

    Attributes:
        greater_is_better: Its direction.
        rowwise: Each row's share, shape (n_rows,), where the metric is `finish(mean of shares)`; else None.
        finish: From the mean of shares to the metric.
        whole: The metric of all rows, where it has no row-wise form.
    """

    greater_is_better: bool
    rowwise: Callable[[npt.NDArray[Any], Answers], Floats] | None = None
    finish: Callable[[Floats], Floats] = lambda mean: mean
    whole: Callable[[npt.NDArray[Any], Answers], float] | None = None


def _probability_of_truth(truth: npt.NDArray[Any], answers: Answers) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Probability given to each row's true class (0 for a class the model never saw), and one-hot truth."""
    probabilities = _probabilities(answers)
    one_hot = np.column_stack([np.equal(truth, name) for name in answers.classes])
    return (probabilities * one_hot).sum(axis=1), one_hot


def _probabilities(answers: Answers) -> Floats:
    if answers.probabilities is not None:
        return answers.probabilities
    return np.column_stack([np.equal(answers.point, name) for name in answers.classes]).astype(np.float64)


def _log_loss(truth: npt.NDArray[Any], answers: Answers) -> Floats:
    given, _ = _probability_of_truth(truth, answers)
    return -np.log(np.clip(given, _EPS, 1.0))


def _brier(truth: npt.NDArray[Any], answers: Answers) -> Floats:
    """Brier score summed over classes and halved, so that two classes give Brier's (1950) single-column form."""
    _, one_hot = _probability_of_truth(truth, answers)
    unseen = 1.0 - one_hot.sum(axis=1)  # a class the model never saw was given probability 0
    squared: Floats = (((_probabilities(answers) - one_hot) ** 2).sum(axis=1) + unseen) / 2.0
    return squared


def _roc_auc(truth: npt.NDArray[Any], answers: Answers) -> float:
    """Area under the ROC curve; one class against the rest, averaged, where there are more than two. NaN: one class."""
    probabilities = _probabilities(answers)
    if len(answers.classes) == 2:
        positive = np.equal(truth, answers.classes[1])
        return (
            float("nan")
            if positive.all() or not positive.any()
            else float(roc_auc_score(positive, probabilities[:, 1]))
        )
    areas = []
    for index, name in enumerate(answers.classes):
        positive = np.equal(truth, name)
        if positive.any() and not positive.all():
            areas.append(roc_auc_score(positive, probabilities[:, index]))
    return float(np.mean(areas)) if areas else float("nan")


def _r2(truth: npt.NDArray[Any], answers: Answers) -> float:
    return float(r2_score(truth, answers.point)) if len(truth) > 1 else float("nan")


KINDS: dict[Metric, MetricKind] = {
    "mae": MetricKind(False, lambda y, a: np.abs(a.point - y)),
    "rmse": MetricKind(False, lambda y, a: (a.point - y) ** 2, np.sqrt),
    "r2": MetricKind(True, whole=_r2),
    "log_loss": MetricKind(False, _log_loss),
    "brier": MetricKind(False, _brier),
    "accuracy": MetricKind(True, lambda y, a: np.equal(a.point, y).astype(np.float64)),
    "balanced_accuracy": MetricKind(True, whole=lambda y, a: float(balanced_accuracy_score(y, a.point))),
    "f1_macro": MetricKind(True, whole=lambda y, a: float(f1_score(y, a.point, average="macro", zero_division=0))),
    "roc_auc": MetricKind(True, whole=_roc_auc),
}


def value(metric: Metric, truth: npt.NDArray[Any], answers: Answers) -> float:
    """One metric of one model.

    Args:
        metric: Its name.
        truth: True targets, shape (n_rows,).
        answers: The model's answers for the same rows.
    """
    kind = KINDS[metric]
    if kind.rowwise is not None:
        return float(kind.finish(np.asarray(np.mean(kind.rowwise(truth, answers)))))
    if kind.whole is None:
        raise ValueError(f"metric {metric} has neither a row-wise nor a whole form")
    return kind.whole(truth, answers)


def measure(task: str, truth: npt.NDArray[Any], answers: Answers) -> MetricSet:
    """All metrics of a task that these rows allow; one that is not a number is left out."""
    names: tuple[Any, ...] = REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS
    values = {name: value(name, truth, answers) for name in names}
    return MetricSet(rows=len(truth), values={name: number for name, number in values.items() if np.isfinite(number)})
