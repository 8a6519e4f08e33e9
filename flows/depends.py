"""What each stage of a training depends on, with what it is given: no pandas, MLflow or Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.evaluation.gates import too_old
from tasks.provenance import Parts, flat
from tasks.refs import ModelRef, TrainingSetRef
from tasks.stores import recipes


def judged_by(config: PipelineConfig) -> dict[str, JsonValue]:
    """The fields that landed files are judged by."""
    return flat(config.model_dump(mode="json", include={"source", "labels", "contract", "expectations", "validation"}))


def features_parts(config: PipelineConfig, dataset: str, champion_columns: Sequence[str]) -> Parts:
    """What a training set depends on.

    Args:
        config: The pipeline.
        dataset: Digest of the data.
        champion_columns: Columns that only the champion takes.
    """
    return recipes.parts(config, "features", {"dataset": dataset, "champion_columns": [*champion_columns]})


def training_parts(config: PipelineConfig, made: TrainingSetRef) -> Parts:
    """What a fitted model depends on."""
    return recipes.parts(config, "training", {"training_set": made.digest})


def evaluation_parts(
    config: PipelineConfig, model: ModelRef, holdout: str, champion: int | None, moment: datetime
) -> Parts:
    """What a judgement depends on. The clock counts where a rule asks for the data's age: as whether it is broken.

    Args:
        config: The pipeline.
        model: What is judged.
        holdout: Digest of the training set that the holdout belongs to.
        champion: The version that it is held against.
        moment: The run's clock.
    """
    inputs: dict[str, JsonValue] = {"model": model.run_id, "holdout": holdout, "champion": champion}
    if config.policy.max_data_age_days is not None:
        inputs["too_old"] = bool(too_old(model.newest_event, moment, config.policy.max_data_age_days))
    return recipes.parts(config, "evaluation", inputs)
