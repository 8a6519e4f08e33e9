"""Versions rebuilt in memory with the current code: recorded data, any configuration. Nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from configs.schema import PipelineConfig
from perennial.reporting.changes.candidates import EvaluatedVersion
from tasks.errors import PerennialError, UsageError
from tasks.evaluation.evaluate import predict_rows
from tasks.features.frame import feature_frame
from tasks.features.training_set import TrainingSet, assemble, needed_columns
from tasks.records.model import ModelRef
from tasks.statistics.metrics import ModelPredictions
from tasks.stores.lake.schemas import ROW_ID, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.training.fit import train


class VersionSetup(NamedTuple):
    """A version as it was recorded: its model with its files on local disk, its configuration, its threads."""

    model: ModelRef
    config: PipelineConfig
    threads: int


class VersionData(NamedTuple):
    """The observations and labels of a version, with every column that is asked for."""

    observations: pa.Table
    labels: pa.Table | None


class RebuiltModel(NamedTuple):
    """What a rebuilt model answers for rows, and the ids of those that it was trained on."""

    predictions: ModelPredictions
    trained_on: npt.NDArray[np.int64]


def recorded_version(version: EvaluatedVersion, model: ModelRef) -> VersionSetup:
    """What was written down of a version when it was trained.

    Args:
        version: The evaluated version.
        model: Its model, with its files on local disk.

    Raises:
        PerennialError: nothing was, it can't be read, or its configuration is none of the present schema.
    """
    try:
        provenance = models.provenance(Path(model.folder))
        # By way of JSON: the contract's columns within are strict, and take a list for a tuple only there.
        return VersionSetup(
            model, PipelineConfig.model_validate_json(json.dumps(provenance.config)), provenance.threads
        )
    except models.ModelError as error:
        raise PerennialError(f"{version.name} can't be rebuilt: {error}") from None
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        raise PerennialError(
            f"{version.name} can't be rebuilt: its configuration is not valid any more: {place}: {wrong['msg']}. Take "
            "versions that were trained since."
        ) from None


def version_data(lake: Lake, version: VersionSetup, configs: tuple[PipelineConfig, ...]) -> VersionData:
    """The data that a version was made of, with the columns that any of the configurations takes.

    Raises:
        UsageError: the tables' versions can't be read any more, or were not noted.
    """
    if version.model.observations is None:
        raise UsageError(
            f"version {version.model.version} can't be rebuilt: the version of its table was not recorded. Choose "
            "versions that were trained later."
        )
    columns = dict.fromkeys(name for config in configs for name in needed_columns(config))
    target = [ROW_ID, SEQ, version.config.contract.target]
    labels = None if version.model.labels is None else lake.read("labels", target, version=version.model.labels)
    return VersionData(lake.read("observations", list(columns), version=version.model.observations), labels)


def training_set(config: PipelineConfig, data: VersionData) -> TrainingSet:
    """The training set of a configuration and data."""
    return assemble(config, data.observations, data.labels)


def rebuild(config: PipelineConfig, data: VersionData, rows: pa.Table, threads: int) -> RebuiltModel:
    """A model of a configuration and data, and what it answers for other rows.

    Args:
        config: The configuration.
        data: The data.
        rows: The rows asked about, shape (n_rows, n_columns).
        threads: Threads to fit with.

    Raises:
        UsageError: the configuration can't be fitted.
        DataRejectedError: the data can't be fitted on.
    """
    table = training_set(config, data).train
    model = train(config, table, threads).model
    return RebuiltModel(predict(model, config, rows), np.asarray(table.column(ROW_ID).to_numpy()))


def predict(model: Any, config: PipelineConfig, rows: pa.Table) -> ModelPredictions:
    """What a model says of rows."""
    return predict_rows(model, feature_frame(rows, config.feature_columns, config.contract.columns))


def registered_predictions(version: VersionSetup, rows: pa.Table) -> ModelPredictions:
    """What the registered model of a version says of rows."""
    path = Path(version.model.folder) / models.MODEL_FILE
    return predict(models.load(path, version.config.training.trusted_types), version.config, rows)
