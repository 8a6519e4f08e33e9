"""Metrics are scikit-learn's, in their natural sign."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from configs.schema import CLASSIFICATION_METRICS, REGRESSION_METRICS
from tasks.statistics.metrics import METRIC_KINDS, ModelPredictions, compute_metrics, metric_value, predictions_digest

numbers = st.floats(-1e6, 1e6)
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40)


def classified(
    n: int, classes: tuple[Any, ...], seed: int, probabilities: bool = True
) -> tuple[npt.NDArray[Any], ModelPredictions]:
    """Seeded truth in which every class stands, and answers that are better than chance."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(len(classes)), rng.integers(0, len(classes), n - len(classes))])
    raw = rng.random((n, len(classes))) + 0.7 * np.eye(len(classes))[codes]
    shares = raw / raw.sum(axis=1, keepdims=True)
    # As target_values has them: texts as objects, integers and booleans as they are.
    names = np.array(classes, dtype=object if isinstance(classes[0], str) else None)
    return names[codes], ModelPredictions(names[shares.argmax(axis=1)], shares if probabilities else None, classes)


KINDS_OF_CLASSES: tuple[tuple[Any, ...], ...] = (("no", "yes"), ("a", "b", "c"), (0, 1), (False, True), (1, 2, 3, 7))


def test_every_metric_of_the_schema_is_there() -> None:
    assert set(METRIC_KINDS) == {*REGRESSION_METRICS, *CLASSIFICATION_METRICS}


def test_directions_are_the_natural_ones() -> None:
    lower = {name for name, kind in METRIC_KINDS.items() if not kind.greater_is_better}
    assert lower == {"mae", "rmse", "log_loss", "brier"}


@given(pairs)
def test_regression_metrics_are_scikit_learn_s(values: list[tuple[float, float]]) -> None:
    truth, point = (np.array(one) for one in zip(*values, strict=True))
    answers = ModelPredictions(point)
    assert metric_value("mae", truth, answers) == pytest.approx(sk.mean_absolute_error(truth, point))
    assert metric_value("rmse", truth, answers) == pytest.approx(
        sk.root_mean_squared_error(truth, point), rel=1e-9, abs=1e-12
    )
    assert metric_value("r2", truth, answers) == pytest.approx(sk.r2_score(truth, point))


@pytest.mark.parametrize("classes", KINDS_OF_CLASSES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_classification_metrics_are_scikit_learn_s(classes: tuple[Any, ...], seed: int) -> None:
    truth, answers = classified(120, classes, seed)
    codes = np.array([classes.index(one) for one in truth])
    guesses = np.array([classes.index(one) for one in answers.point])
    assert answers.probabilities is not None
    every = np.arange(len(classes))
    assert metric_value("log_loss", truth, answers) == pytest.approx(
        sk.log_loss(codes, answers.probabilities, labels=every)
    )
    assert metric_value("accuracy", truth, answers) == pytest.approx(sk.accuracy_score(codes, guesses))
    assert metric_value("balanced_accuracy", truth, answers) == pytest.approx(
        sk.balanced_accuracy_score(codes, guesses)
    )
    assert metric_value("f1_macro", truth, answers) == pytest.approx(sk.f1_score(codes, guesses, average="macro"))
    one_hot = np.eye(len(classes))[codes]
    assert metric_value("brier", truth, answers) == pytest.approx(
        ((answers.probabilities - one_hot) ** 2).sum(1).mean() / 2
    )
    if len(classes) == 2:
        assert metric_value("brier", truth, answers) == pytest.approx(
            sk.brier_score_loss(codes, answers.probabilities[:, 1])
        )
        assert metric_value("roc_auc", truth, answers) == pytest.approx(
            sk.roc_auc_score(codes, answers.probabilities[:, 1])
        )
    else:
        expected = sk.roc_auc_score(codes, answers.probabilities, multi_class="ovr", average="macro")
        assert metric_value("roc_auc", truth, answers) == pytest.approx(expected)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_perfect_model_has_perfect_metrics(task: str) -> None:
    if task == "regression":
        truth: npt.NDArray[Any] = np.array([1.0, 5.0, -3.0])
        found = compute_metrics(task, truth, ModelPredictions(truth)).values
        assert found == {"mae": 0, "rmse": 0, "r2": 1}
    else:
        truth = np.array(["a", "b", "c"], dtype=object)
        found = compute_metrics(task, truth, ModelPredictions(truth, np.eye(3), ("a", "b", "c"))).values
        assert found == pytest.approx(
            {"log_loss": 0, "brier": 0, "accuracy": 1, "balanced_accuracy": 1, "f1_macro": 1, "roc_auc": 1}
        )


def test_a_classifier_without_probabilities_is_taken_at_its_word() -> None:
    truth, answers = classified(50, ("no", "yes"), 0, probabilities=False)
    assert metric_value("brier", truth, answers) == pytest.approx(1 - metric_value("accuracy", truth, answers))
    assert np.isfinite(metric_value("log_loss", truth, answers))


def test_a_class_that_the_model_never_saw_counts_as_wrong() -> None:
    truth = np.array(["a", "b", "new"], dtype=object)
    answers = ModelPredictions(
        np.array(["a", "b", "a"], dtype=object), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), ("a", "b")
    )
    assert metric_value("accuracy", truth, answers) == pytest.approx(2 / 3)
    expected = -(np.log(0.9) + np.log(0.8) + np.log(1e-15)) / 3
    assert metric_value("log_loss", truth, answers) == pytest.approx(expected)


def test_an_unseen_class_is_a_whole_mistake_to_brier() -> None:
    """Two ways to be sure and wrong: of a class that was known, and of one that was not."""
    sure = np.array([[1.0, 0.0]])
    answers = ModelPredictions(np.array(["a"], dtype=object), sure, ("a", "b"))
    known = metric_value("brier", np.array(["b"], dtype=object), answers)
    unknown = metric_value("brier", np.array(["new"], dtype=object), answers)
    assert unknown == known == 1.0


def test_probabilities_in_single_precision_are_finite() -> None:
    truth = np.array([0, 1])
    sure = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32).astype(np.float64)
    assert metric_value("log_loss", truth, ModelPredictions(np.array([1, 0]), sure, (0, 1))) == pytest.approx(
        -np.log(1e-15)
    )


def test_what_can_t_be_measured_is_left_out() -> None:
    one_class = np.array(["yes"] * 4, dtype=object)
    answers = ModelPredictions(one_class, np.full((4, 2), 0.5), ("no", "yes"))
    found = compute_metrics("classification", one_class, answers)
    assert set(found.values) == {"log_loss", "accuracy", "balanced_accuracy", "f1_macro", "brier"}
    assert found.rows == 4
    assert set(compute_metrics("regression", np.array([1.0]), ModelPredictions(np.array([1.5]))).values) == {
        "mae",
        "rmse",
    }


def test_roc_auc_leaves_out_a_class_that_does_not_stand_in_the_rows() -> None:
    truth = np.array(["a", "b", "a", "b"], dtype=object)
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.5, 0.2, 0.3], [0.55, 0.4, 0.05]])
    answers = ModelPredictions(truth, shares, ("a", "b", "c"))
    first = sk.roc_auc_score([1, 0, 1, 0], shares[:, 0])
    second = sk.roc_auc_score([0, 1, 0, 1], shares[:, 1])
    assert metric_value("roc_auc", truth, answers) == pytest.approx((first + second) / 2)


def test_measure_has_all_metrics_of_the_task() -> None:
    truth, answers = classified(40, ("a", "b"), 1)
    assert set(compute_metrics("classification", truth, answers).values) == set(CLASSIFICATION_METRICS)
    assert set(compute_metrics("regression", np.arange(3.0), ModelPredictions(np.zeros(3))).values) == set(
        REGRESSION_METRICS
    )


def test_rows_can_be_taken() -> None:
    truth, answers = classified(30, ("a", "b"), 2)
    rows = np.array([5, 3, 3])
    taken = answers.take(rows)
    assert taken.point.tolist() == [answers.point[one] for one in rows]
    assert answers.probabilities is not None
    assert taken.probabilities is not None
    assert taken.probabilities.tolist() == answers.probabilities[rows].tolist()
    assert ModelPredictions(np.arange(3)).take(np.array([2])).probabilities is None
    assert metric_value("accuracy", truth[rows], taken) == np.mean([truth[one] == answers.point[one] for one in rows])


def test_the_digest_of_answers_is_another_for_a_single_bit() -> None:
    point, probabilities = np.array([0.5, 1.5]), np.array([[0.25, 0.75], [0.5, 0.5]])
    known = predictions_digest(ModelPredictions(point, probabilities, ("a", "b")))
    assert predictions_digest(ModelPredictions(point.copy(), probabilities.copy(), ("a", "b"))) == known
    assert predictions_digest(ModelPredictions(np.nextafter(point, 2.0), probabilities, ("a", "b"))) != known
    assert predictions_digest(ModelPredictions(point, np.nextafter(probabilities, 1.0), ("a", "b"))) != known
    assert predictions_digest(ModelPredictions(point, probabilities, ("b", "a"))) != known
    assert predictions_digest(ModelPredictions(point, None)) != known
