"""Fit the estimator, and a dummy baseline beside it: one scikit-learn Pipeline from feature row to prediction.

All that decides what a model is stands here and in the modules that this one imports: the flow and `reproduce` run it.
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

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError, UsageError
from tasks.features.definitions import build, make
from tasks.features.frame import feature_frame, target_values
from tasks.stores.threads import limit_threads


class Fitted(NamedTuple):
    """What a training gives.

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


def train(config: PipelineConfig, table: pa.Table, threads: int) -> Fitted:
    """Fit a pipeline's estimator, and a baseline beside it.

    Args:
        config: The pipeline.
        table: Its training rows, as `training_set.assemble` made them.
        threads: Threads that BLAS and OpenMP have meanwhile.

    Raises:
        UsageError: the estimator can't be made, is of another task, or refuses its parameters.
        DataRejectedError: the estimator refuses the data.
        PerennialError: this process can't have so many threads.
    """
    frame = feature_frame(table, config.feature_columns, config.contract.columns)
    target = target_values(table.select(["_target"]), config.contract.columns[config.contract.target])
    estimator = make(config.training.estimator, config.training.parameters, "training.estimator")
    refuse_other_task(config, estimator)
    unfitted = assemble(config, build(config.features, config.contract.event_time), estimator)
    with limit_threads(threads):
        model = fit(unfitted, frame, target)
    return Fitted(model, fit_baseline(config.task, target), frame, target)


def assemble(config: PipelineConfig, transformer: Any, estimator: Any) -> Pipeline:
    """The unfitted Pipeline, every random state seeded and every n_jobs 1 (more gives forests that vary by call)."""
    pipeline = Pipeline([("features", transformer), ("model", estimator)])
    names = pipeline.get_params()
    fixed: dict[str, Any] = {name: config.seed for name in names if name.rpartition("__")[2] == "random_state"}
    # None is 1 already, and some estimators deprecate being told.
    fixed.update({name: 1 for name, value in names.items() if name.rpartition("__")[2] == "n_jobs" and value})
    return pipeline.set_params(**fixed)


def refuse_other_task(config: PipelineConfig, estimator: Any) -> None:
    """Look whether an estimator is of the pipeline's task.

    Raises:
        UsageError: a classifier for a regression, or the other way round.
    """
    suits = is_classifier(estimator) if config.task == "classification" else is_regressor(estimator)
    if not suits:
        raise UsageError(
            f"training.estimator: {config.training.estimator} is no "
            f"{'classifier' if config.task == 'classification' else 'regressor'}, as task: {config.task} asks for."
        )


def fit(pipeline: Pipeline, features: pd.DataFrame, target: npt.NDArray[Any]) -> Pipeline:
    """A fitted clone of the Pipeline.

    Args:
        pipeline: The unfitted Pipeline.
        features: Feature rows, shape (n_samples, n_columns).
        target: Targets, shape (n_samples,).

    Raises:
        UsageError: the estimator refuses its parameters.
        DataRejectedError: the estimator refuses the data.
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


def fit_baseline(task: str, target: npt.NDArray[Any]) -> Any:
    """A dummy fitted on the target alone: the mean, or the class shares."""
    dummy = DummyRegressor(strategy="mean") if task == "regression" else DummyClassifier(strategy="prior")
    return dummy.fit(np.zeros((len(target), 1)), target)


def sample_positions(n_rows: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Seeded positions of a sample without repeats, ascending, shape (min(n_rows, size),)."""
    if n_rows <= size:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, size=size, replace=False))
