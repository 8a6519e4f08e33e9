"""The stage evaluation: a model on the holdout, by the gates, compared with the champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.schema import PipelineConfig
from tasks.context import StageContext
from tasks.evaluation import probe
from tasks.evaluation.page import verdict_page
from tasks.records.base import Record, digest
from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate, Verdict
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies
from tasks.stores.lake import staging
from tasks.stores.lake.schemas import decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.tracking import Tracking, metric_names
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.statistics.metrics import ModelPredictions


class EvaluationInputs(Record):
    """What the stage is given.

    Attributes:
        training_set: The training set that the model was fitted on, with its holdout.
        model: The model.
        champion: The model to compare with; None before the first champion.
        training: Dependencies of the model's training.
        evaluation: Dependencies of this evaluation.
    """

    training_set: TrainingSetRef
    model: ModelRef
    champion: ModelRef | None
    training: StageDependencies
    evaluation: StageDependencies


def run_evaluation(context: StageContext, inputs: EvaluationInputs) -> Verdict:
    """Evaluate a model, and store the verdict.

    The clean process of gate S01 is that of the enclosing `probe.clean_process` block, or one of its own.
    """
    from tasks.evaluation.evaluate import CandidateContext, evaluate_candidate, predict_rows
    from tasks.evaluation.holdout import build_holdout
    from tasks.features.frame import feature_frame
    from tasks.stores.threads import available_threads, limit_threads

    config, model, champion = context.config, inputs.model, inputs.champion
    table = staging.read(Path(inputs.training_set.folder) / "holdout.arrow")
    frame = feature_frame(table, model.feature_columns, model.columns)
    trusted = config.training.trusted_types
    with limit_threads(available_threads(config.training.threads)):
        candidate_predictions = predict_rows(models.load(Path(model.folder) / models.MODEL_FILE, trusted), frame)
    with probe.clean_process() as process:
        verdict = evaluate_candidate(
            config,
            build_holdout(config, table, champion),
            candidate_predictions,
            predict_rows(models.load(Path(model.folder) / models.EXTRA / models.BASELINE_FILE), frame),
            _champion_predictions(config, table, champion),
            CandidateContext(
                champion_version=None if champion is None else champion.version,
                train_rows=model.train_rows,
                newest_event=model.newest_event,
                now=context.now,
                lineage=_lineage(config, model, inputs.training),
                table=table,
                folder=Path(model.folder),
            ),
            lambda: process.difference(model.folder, trusted),
        )
    _store_verdict(context, inputs, verdict)
    return verdict


def _champion_predictions(
    config: PipelineConfig, table: pa.Table, champion: ModelRef | None
) -> ModelPredictions | None:
    """Return the champion's predictions; None without champion. Columns dropped since are missing values."""
    from tasks.evaluation.evaluate import predict_rows
    from tasks.features.frame import feature_frame

    if champion is None:
        return None
    frame = feature_frame(table, champion.feature_columns, champion.columns)
    loaded = models.load(Path(champion.folder) / models.MODEL_FILE, config.training.trusted_types)
    return predict_rows(loaded, frame)


def _lineage(config: PipelineConfig, model: ModelRef, training_dependencies: StageDependencies) -> dict[str, str]:
    return {
        "dataset": model.dataset_digest,
        "config": digest(config.model_dump(mode="json")),
        "code": digest(training_dependencies.code) if training_dependencies.code else "",
        "environment": digest(training_dependencies.libraries) if training_dependencies.libraries else "",
        "run": model.run_id,
    }


def _store_verdict(context: StageContext, inputs: EvaluationInputs, verdict: Verdict) -> None:
    config, model = context.config, inputs.model
    tracking = Tracking(context.settings, config.name)
    metrics: dict[str, Any] = {
        **verdict.metrics.values,
        **metric_names("baseline_", verdict.baseline),
    }
    if verdict.champion_metrics is not None:
        metrics |= metric_names("champion_", verdict.champion_metrics)
    tracking.log_metrics(model.run_id, metrics)
    tracking.log_text(model.run_id, verdict_page(config, verdict), "verdict.md")
    tracking.log_text(model.run_id, verdict.stored_json(indent=2), "verdict.json")
    row = decision_row(context.now, "verdict", verdict.outcome, model.recipe, verdict.stored_json())
    transaction = f"verdict:{model.run_id}:{inputs.evaluation.fingerprint}"
    Lake(context.settings, config).append_once("decisions", row, transaction, 1)


def submit_candidate(context: StageContext, candidate: Candidate) -> bool:
    """Store an evaluated candidate for release, once; return whether it was new."""
    audit = Audit(context.settings)
    return candidates.submit(audit, candidate, at=context.now, actor=context.actor) is not None
