"""The names of stages, wherever one is reported or asked for: reports, options, manifests, OpenLineage jobs."""

from __future__ import annotations

from typing import Literal, get_args

# Those of a training, which are reused where nothing that they depend on changed.
TrainingStage = Literal["features", "training", "evaluation"]
# Those that keep a manifest, in their order; a run ends with one of them.
StageName = Literal["ingestion", TrainingStage, "release"]
# What a run may start from. `decision`: score, look for drift, and retrain only if the policy says so.
StartFrom = Literal["ingestion", "decision", TrainingStage, "release"]
# All that the report of a run has. `recovery` finishes what a killed run left.
ReportedStage = Literal["ingestion", "recovery", "scoring", "monitoring", "decision", TrainingStage, "release"]

TRAINING_STAGES: tuple[TrainingStage, ...] = get_args(TrainingStage)
STAGES: tuple[StageName, ...] = get_args(StageName)
