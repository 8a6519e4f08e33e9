"""Metrics in their natural sign, each with its direction, for one model on one set of rows."""

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


def digest_of(answers: Answers) -> str:
    """Digest of all that a model said of rows, to the last bit."""
    return fitted_digest([answers.point, answers.probabilities, list(answers.classes)])


Shares = Sequence[Floats]


@dataclass(frozen=True)
class MetricKind:
    """One metric.

    Attributes:
        greater_is_better: Its direction.
        shares: Each row's shares, columns of shape (n_rows,), where the metric is `finish` of their means; else None.
        finish: From the means of the shares, shape (..., n_columns), to the metric, shape (...,). NaN: it is no number.
        whole: The metric of all rows, where it is not defined by its shares.
    """

    greater_is_better: bool
    shares: Callable[[npt.NDArray[Any], Answers], Shares] | None = None
    finish: Callable[[Floats], Floats] = lambda means: means[..., 0]
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


def areas(truth: npt.NDArray[Any], answers: Answers) -> Iterator[tuple[npt.NDArray[np.bool_], Floats]]:
    """What the areas under ROC curves are of: whether each row is positive, and its score.

    The second class where there are two; each against the rest, where there are more.
    """
    probabilities = _probabilities(answers)
    for index in [1] if len(answers.classes) == 2 else range(len(answers.classes)):
        yield np.equal(truth, answers.classes[index]), probabilities[:, index]


def _roc_auc(truth: npt.NDArray[Any], answers: Answers) -> float:
    """Area under the ROC curve; one class against the rest, averaged, where there are more than two. NaN: one class."""
    found = [
        roc_auc_score(positive, scores)
        for positive, scores in areas(truth, answers)
        if positive.any() and not positive.all()
    ]
    return float(np.mean(found)) if found else float("nan")


def _r2(truth: npt.NDArray[Any], answers: Answers) -> float:
    return float(r2_score(truth, answers.point)) if len(truth) > 1 else float("nan")


def _r2_shares(truth: npt.NDArray[Any], answers: Answers) -> Shares:
    centred = np.asarray(truth, dtype=np.float64) - np.mean(truth)
    return centred, centred**2, (truth - answers.point) ** 2


def _r2_finish(means: Floats) -> Floats:
    variance = means[..., 1] - means[..., 0] ** 2
    return 1.0 - means[..., 2] / np.where(variance > 0, variance, np.nan)


def _confusion_shares(truth: npt.NDArray[Any], answers: Answers) -> Shares:
    """For each class that stands in truth or answers: is it true, is it given, is it both?"""
    classes = sorted({*np.unique(truth).tolist(), *np.unique(answers.point).tolist()})
    true = [np.equal(truth, name).astype(np.float64) for name in classes]
    given = [np.equal(answers.point, name).astype(np.float64) for name in classes]
    return [*true, *given, *(one * other for one, other in zip(true, given, strict=True))]


def _balanced_accuracy_finish(means: Floats) -> Floats:
    true, _, both = np.split(means, 3, axis=-1)
    return _mean_of_known(both, true)


def _f1_macro_finish(means: Floats) -> Floats:
    true, given, both = np.split(means, 3, axis=-1)
    return _mean_of_known(2.0 * both, true + given)


def _mean_of_known(above: Floats, below: Floats) -> Floats:
    """Mean of the quotients over the classes that stand there at all."""
    there = below > 0
    quotients = np.where(there, above / np.where(there, below, 1.0), 0.0)
    return np.asarray(quotients.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


KINDS: dict[Metric, MetricKind] = {
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
    "roc_auc": MetricKind(True, whole=_roc_auc),
}


def names(task: str) -> tuple[Metric, ...]:
    """The metrics of a task."""
    return REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS


def value(metric: Metric, truth: npt.NDArray[Any], answers: Answers) -> float:
    """One metric of one model.

    Args:
        metric: Its name.
        truth: True targets, shape (n_rows,).
        answers: The model's answers for the same rows.
    """
    kind = KINDS[metric]
    if kind.whole is not None:
        return kind.whole(truth, answers)
    if kind.shares is None:
        raise ValueError(f"metric {metric} has neither shares nor a whole form")
    return float(kind.finish(np.array([np.mean(one) for one in kind.shares(truth, answers)])))


def measure(task: str, truth: npt.NDArray[Any], answers: Answers) -> MetricSet:
    """All metrics of a task that these rows allow; one that is not a number is left out."""
    values = {name: value(name, truth, answers) for name in names(task)}
    return MetricSet(rows=len(truth), values={name: number for name, number in values.items() if np.isfinite(number)})
