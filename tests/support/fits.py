"""Trainings to repeat: estimators and searches over them, as a pipeline's YAML names them.

Run as a program, in a process of its own, it fits all of them on the rows in a file and prints their digests.
"""

from __future__ import annotations

import json
import sys
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from configs.schema import PipelineConfig
from tasks.features.frame import feature_frame
from tasks.features.training_set import TrainingSet, assemble
from tasks.statistics.metrics import ModelPredictions, predictions_digest
from tasks.stores.lake import staging
from tasks.stores.registry import models
from tasks.stores.registry.fitted import fitted_digest
from tasks.stores.threads import limit_threads
from tasks.training.fit import train
from tests.support.world import REGRESSION, merged, trips

THREADS = 2
FOREST = {"n_estimators": 5, "max_depth": 6}
GRID = {"cv": 2, "estimator": {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "parameters": FOREST}}


def boosting(kind: str) -> dict[str, Any]:
    return {
        "estimator": f"sklearn.ensemble.HistGradientBoosting{kind}",
        "parameters": {"max_iter": 2, "max_leaf_nodes": 7},
    }


REGRESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "forest": ("sklearn.ensemble.RandomForestRegressor", FOREST),
    "extra trees": ("sklearn.ensemble.ExtraTreesRegressor", {**FOREST, "bootstrap": True}),
    "ridge": ("sklearn.linear_model.Ridge", {"alpha": 0.5}),
    "boosting": ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 8, "max_features": 0.7}),
    "boosting, early": ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 8, "early_stopping": True}),
    "grid over ridge": (
        "sklearn.model_selection.GridSearchCV",
        {
            "cv": 2,
            "scoring": "neg_mean_absolute_error",
            "estimator": {"estimator": "sklearn.linear_model.Ridge"},
            "param_grid": {"alpha": [0.01, 0.1, 1.0]},
        },
    ),
    "grid over extra trees": ("sklearn.model_selection.GridSearchCV", {**GRID, "param_grid": {"max_depth": [3, 6]}}),
    "random over boosting": (
        "sklearn.model_selection.RandomizedSearchCV",
        {
            "cv": 2,
            "n_iter": 2,
            "estimator": boosting("Regressor"),
            "param_distributions": {"learning_rate": [0.05, 0.1, 0.3], "max_leaf_nodes": [5, 7]},
        },
    ),
    "halving over extra trees": (
        "sklearn.model_selection.HalvingGridSearchCV",
        {**GRID, "param_grid": {"max_depth": [3, 6], "min_samples_leaf": [1, 5]}},
    ),
}
CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "forest, classes": ("sklearn.ensemble.RandomForestClassifier", FOREST),
    "logistic": ("sklearn.linear_model.LogisticRegression", {"max_iter": 500}),
    "boosting, classes": ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 4}),
    "halving over forest, classes": (
        "sklearn.model_selection.HalvingRandomSearchCV",
        {
            "cv": 2,
            "n_candidates": 4,
            "estimator": {"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": FOREST},
            "param_distributions": {"max_depth": [2, 4, 6], "min_samples_leaf": [1, 5]},
        },
    ),
    "grid over boosting, classes": (
        "sklearn.model_selection.GridSearchCV",
        {"cv": 2, "estimator": boosting("Classifier"), "param_grid": {"learning_rate": [0.05, 0.2]}},
    ),
    "random over logistic": (
        "sklearn.model_selection.RandomizedSearchCV",
        {
            "cv": 2,
            "n_iter": 2,
            "scoring": "neg_log_loss",
            "estimator": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"max_iter": 500}},
            "param_distributions": {"C": [0.1, 1.0, 10.0]},
        },
    ),
}
ALL = REGRESSORS | CLASSIFIERS


def config(name: str) -> PipelineConfig:
    estimator, parameters = ALL[name]
    changes: dict[str, Any] = {
        "name": "fits",
        "source": {"landing": "fits"},
        "features": {"scale": True},
        "training": {"estimator": estimator, "parameters": parameters},
    }
    if name in CLASSIFIERS:
        classes = {"task": "classification", "evaluation": {"primary": "log_loss"}}
        changes |= {**classes, "contract": {"columns": {"y": {"type": "string"}}}}
    return PipelineConfig.model_validate_json(json.dumps(merged(deepcopy(REGRESSION), changes)))


def rows(count: int = 400) -> pa.Table:
    """Generated observations; `late` is the target of a classification."""
    found = trips(0, count, seed=5)
    table = pa.Table.from_pandas(found, preserve_index=False)
    ids = pa.array(np.random.default_rng(7).integers(-(2**62), 2**62, count))
    late = pa.array(np.where(found["y"] > 4, "very", np.where(found["y"] > 1, "late", "on time")).astype(object))
    for column, values in (("_row_id", ids), ("_seq", pa.array(np.ones(count, np.int64))), ("late", late)):
        table = table.append_column(column, values)
    return table


def training_set(name: str, table: pa.Table) -> TrainingSet:
    if name in CLASSIFIERS:
        table = table.drop_columns(["y"]).rename_columns({"late": "y"})
    else:
        table = table.drop_columns(["late"])
    return assemble(config(name), table, None)


def fit(name: str, made: TrainingSet, threads: int = THREADS) -> tuple[str, str, Any]:
    """Digests of a fitted model and of what it answers for the holdout, and the model."""
    own = config(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = train(own, made.train, threads).model
    return fitted_digest(model), answered(name, model, made), model


def answered(name: str, model: Any, made: TrainingSet) -> str:
    """Digest of what a model answers for the holdout, in one batch."""
    own = config(name)
    with limit_threads(THREADS):
        point, probabilities = models.predict(
            model, feature_frame(made.holdout, own.feature_columns, own.contract.columns)
        )
    return predictions_digest(ModelPredictions(point, probabilities, tuple(getattr(model, "classes_", ()))))


if __name__ == "__main__":
    stored = staging.read(Path(sys.argv[1]))
    json.dump({name: fit(name, training_set(name, stored))[:2] for name in ALL}, sys.stdout)
