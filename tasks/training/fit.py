"""Fit the estimator, and a dummy baseline beside it: one scikit-learn Pipeline from feature row to prediction.

This module and its imports determine the model; the training flow and `reproduce` both use it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import Pipeline

from configs.schema import CLASSIFICATION_METRICS, Metric, PipelineConfig
from tasks.errors import DataRejectedError, UsageError
from tasks.features.definitions import build_transformer, create_estimator
from tasks.features.frame import feature_frame, target_values
from tasks.stores.threads import limit_threads


class TrainingResult(NamedTuple):
    """The result of a training.

    Attributes:
        model: The fitted Pipeline.
        baseline: The fitted dummy.
        frame: The feature rows it was fitted on, shape (n_samples, n_columns).
        target: Their targets, shape (n_samples,).
    """

    model: Pipeline
    baseline: Any
    frame: pd.DataFrame
    target: npt.NDArray[Any]


def train(config: PipelineConfig, table: pa.Table, threads: int) -> TrainingResult:
    """Fit a pipeline's estimator, and a baseline beside it.

    Args:
        config: The pipeline.
        table: Its training rows, as `training_set.assemble` made them.
        threads: Number of threads for BLAS and OpenMP.

    Raises:
        UsageError: the estimator can't be instantiated, is of another task, or rejects its parameters.
        DataRejectedError: the estimator rejects the data.
        PerennialError: this number of threads is not available.
    """
    frame = feature_frame(table, config.feature_columns, config.contract.columns)
    target = target_values(table.select(["_target"]), config.contract.columns[config.contract.target])
    estimator = create_estimator(config.training.estimator, config.training.parameters, "training.estimator")
    check_estimator_task(config, estimator)
    unfitted = assemble(config, build_transformer(config.features, config.contract.event_time), estimator)
    with limit_threads(threads):
        model = fit(unfitted, frame, target)
    return TrainingResult(model, fit_baseline(config.evaluation.primary, target), frame, target)


def assemble(config: PipelineConfig, transformer: Any, estimator: Any) -> Pipeline:
    """Return the unfitted Pipeline, with all random states seeded and all n_jobs 1 (for reproducible forests)."""
    pipeline = Pipeline([("features", transformer), ("model", estimator)])
    names = pipeline.get_params()
    fixed: dict[str, Any] = {name: config.seed for name in names if name.rpartition("__")[2] == "random_state"}
    # None means 1 already, and some estimators deprecate the parameter.
    fixed.update({name: 1 for name, value in names.items() if name.rpartition("__")[2] == "n_jobs" and value})
    return pipeline.set_params(**fixed)


def check_estimator_task(config: PipelineConfig, estimator: Any) -> None:
    """Check that an estimator is of the pipeline's task.

    Raises:
        UsageError: a classifier for a regression, or the other way round.
    """
    suits = is_classifier(estimator) if config.task == "classification" else is_regressor(estimator)
    if not suits:
        raise UsageError(
            f"training.estimator: {config.training.estimator} is not a "
            f"{'classifier' if config.task == 'classification' else 'regressor'}, as required by task: {config.task}."
        )


def fit(pipeline: Pipeline, features: pd.DataFrame, target: npt.NDArray[Any]) -> Pipeline:
    """Fit a clone of the Pipeline.

    Args:
        pipeline: The unfitted Pipeline.
        features: Feature rows, shape (n_samples, n_columns).
        target: Targets, shape (n_samples,).

    Raises:
        UsageError: the estimator rejects its parameters.
        DataRejectedError: the estimator rejects the data.
    """
    from sklearn.utils._param_validation import InvalidParameterError

    try:
        return clone(pipeline).fit(features, target)
    except InvalidParameterError as error:
        raise UsageError(f"training.parameters: {error}") from None
    except ValueError as error:
        first = (str(error).splitlines() or ["no message"])[0]
        raise DataRejectedError(
            f"{type(pipeline[-1]).__name__} can't be fitted on these {len(features)} rows: {first}"
        ) from error


def fit_baseline(metric: Metric, target: npt.NDArray[Any]) -> Any:
    """Fit a dummy on the target alone: the best constant for the metric.

    That is the median for the mean absolute error, the mean for squared errors, and the class shares for a
    classification.
    """
    if metric in CLASSIFICATION_METRICS:
        dummy = DummyClassifier(strategy="prior")
    else:
        dummy = DummyRegressor(strategy="median" if metric == "mae" else "mean")
    return dummy.fit(np.zeros((len(target), 1)), target)


def sample_positions(n_rows: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Return ascending positions of a seeded sample without replacement, shape (min(n_rows, size),)."""
    if n_rows <= size:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, size=size, replace=False))
