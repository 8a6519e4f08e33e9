"""What each stage of a training depends on, with what it is given: no pandas, MLflow or Prefect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.evaluation.data_age import data_age_violation
from tasks.features.stored import missing_reason
from tasks.provenance import fingerprints
from tasks.records.data import TrainingSetRef
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies, flat
from tasks.stores.settings import Settings
from tasks.stores.state.manifests import Manifests


def missing_files(manifests: Manifests, missing: Callable[[ModelRef], str]) -> str:
    """Empty where the last training set and the last model are there; else what is not.

    Args:
        manifests: The pipeline's manifests.
        missing: Says what is missing of a model's files.
    """
    features, training = manifests.newest("features"), manifests.newest("training")
    if features is None or training is None:
        return "no model was trained yet"
    return missing_reason(manifests.output(features, TrainingSetRef)) or missing(manifests.output(training, ModelRef))


def missing_files_of_model(model: ModelRef, settings: Settings) -> str:
    """Empty where a model's files are there, as far as this disk tells; else what is missing."""
    folder = Path(model.folder)
    missing = folder.is_relative_to(settings.artifacts) and not (folder / "model.skops").is_file()
    return f"the files of run {model.run_id} are not there any more" if missing else ""


def validation_config(config: PipelineConfig) -> dict[str, JsonValue]:
    """The fields by which landed files are validated."""
    return flat(config.model_dump(mode="json", include={"source", "labels", "contract", "expectations", "validation"}))


def features_parts(config: PipelineConfig, dataset: str, champion_columns: Sequence[str]) -> StageDependencies:
    """What a training set depends on.

    Args:
        config: The pipeline.
        dataset: Digest of the data.
        champion_columns: Columns that only the champion takes.
    """
    return fingerprints.stage_dependencies(
        config, "features", {"dataset": dataset, "champion_columns": [*champion_columns]}
    )


def training_parts(config: PipelineConfig, made: TrainingSetRef) -> StageDependencies:
    """What a fitted model depends on."""
    return fingerprints.stage_dependencies(config, "training", {"training_set": made.digest})


def evaluation_parts(
    config: PipelineConfig, model: ModelRef, holdout: str, champion: int | None, moment: datetime
) -> StageDependencies:
    """What an evaluation depends on. The clock counts where a rule asks for the data's age: as whether it is broken.

    Args:
        config: The pipeline.
        model: What is evaluated.
        holdout: Digest of the training set that the holdout belongs to.
        champion: The version that it is compared with.
        moment: The run's clock.
    """
    inputs: dict[str, JsonValue] = {"model": model.run_id, "holdout": holdout, "champion": champion}
    if config.compliance.max_data_age_days is not None:
        inputs["too_old"] = bool(data_age_violation(model.newest_event, moment, config.compliance.max_data_age_days))
    return fingerprints.stage_dependencies(config, "evaluation", inputs)
