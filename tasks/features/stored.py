"""Where a training set is kept, and what of the champion's columns it keeps: no pandas, no Prefect."""

from __future__ import annotations

from pathlib import Path

from configs.schema import PipelineConfig
from tasks.records.data import TrainingSetRef
from tasks.records.model import ModelRef

REF = "ref.json"


def champion_columns(config: PipelineConfig, champion: ModelRef | None) -> list[str]:
    """Columns that only the champion takes, and that the observations still have."""
    wanted = [*champion.feature_columns, champion.split.column] if champion else []
    return sorted({name for name in wanted if name in config.observation_columns} - {*config.training_columns})


def lacks(ref: TrainingSetRef) -> str:
    """Empty where a training set is there as it was stored; else what is missing."""
    missing = [name for name in ("train.arrow", "holdout.arrow", REF) if not (Path(ref.folder) / name).is_file()]
    return f"{missing[0]} of the training set is not there any more" if missing else ""
