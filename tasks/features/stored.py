"""Files of a stored training set, and the champion's columns in it. Imports neither pandas nor Prefect."""

from __future__ import annotations

from pathlib import Path

from configs.schema import PipelineConfig
from tasks.records.data import TrainingSetRef
from tasks.records.model import ModelRef

REF_FILE = "ref.json"


def champion_columns(config: PipelineConfig, champion: ModelRef | None) -> list[str]:
    """Return columns that only the champion uses and the observations still have."""
    names = [*champion.feature_columns, champion.split.column] if champion else []
    return sorted({name for name in names if name in config.observation_columns} - {*config.training_columns})


def missing_reason(ref: TrainingSetRef) -> str:
    """Return why a stored training set is incomplete; empty if it is complete."""
    missing = [name for name in ("train.arrow", "holdout.arrow", REF_FILE) if not (Path(ref.folder) / name).is_file()]
    return f"{missing[0]} of the training set is missing" if missing else ""
