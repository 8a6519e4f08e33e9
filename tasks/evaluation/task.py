"""Prefect tasks of evaluation."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.evaluation.page import verdict_page
from tasks.evaluation.probe import CleanProcess
from tasks.records.base import artifact_key, digest
from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate, Verdict
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies
from tasks.retry import RETRIES
from tasks.stores.lake import staging
from tasks.stores.lake.schemas import decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.tracking import Tracking, metric_names
from tasks.stores.settings import load_settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.statistics.metrics import ModelPredictions


@task(name="evaluate", cache_policy=NO_CACHE, **RETRIES)
def evaluate(
    config: PipelineConfig,
    ref: TrainingSetRef,
    model: ModelRef,
    champion: ModelRef | None,
    training_dependencies: StageDependencies,
    evaluation_dependencies: StageDependencies,
    probe: CleanProcess,
    now: datetime,
) -> Verdict:
    """Evaluate a model, and store the verdict.

    Args:
        config: The pipeline.
        ref: The training set that the model was fitted on, with its holdout.
        model: The model.
        champion: The model to compare with; None before the first champion.
        training_dependencies: Dependencies of the model's training.
        evaluation_dependencies: Dependencies of this evaluation.
        probe: The clean process of gate S01.
        now: The run's clock.
    """
    from tasks.evaluation.evaluate import CandidateContext, evaluate_candidate, predict_rows
    from tasks.evaluation.holdout import build_holdout
    from tasks.features.frame import feature_frame
    from tasks.stores.threads import available_threads, limit_threads

    table = staging.read(Path(ref.folder) / "holdout.arrow")
    frame = feature_frame(table, model.feature_columns, model.columns)
    trusted = config.training.trusted_types
    with limit_threads(available_threads(config.training.threads)):
        candidate_predictions = predict_rows(models.load(Path(model.folder) / models.MODEL_FILE, trusted), frame)
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
            now=now,
            lineage=_lineage(config, model, training_dependencies),
        ),
        lambda: probe.difference(model.folder, trusted),
    )
    _store_verdict(config, model, verdict, evaluation_dependencies, now)
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


def _store_verdict(
    config: PipelineConfig,
    model: ModelRef,
    verdict: Verdict,
    evaluation_dependencies: StageDependencies,
    now: datetime,
) -> None:
    settings = load_settings()
    tracking = Tracking(settings, config.name)
    metrics: dict[str, Any] = {
        **verdict.metrics.values,
        **metric_names("baseline_", verdict.baseline),
    }
    if verdict.champion_metrics is not None:
        metrics |= metric_names("champion_", verdict.champion_metrics)
    tracking.log_metrics(model.run_id, metrics)
    page = verdict_page(config, verdict)
    tracking.log_text(model.run_id, page, "verdict.md")
    tracking.log_text(model.run_id, verdict.stored_json(indent=2), "verdict.json")
    outcome = "passed" if verdict.passed else "rejected"
    row = decision_row(now, "verdict", outcome, model.recipe, verdict.stored_json())
    create_markdown_artifact(page, key=artifact_key(config.name, "evaluation"), description=outcome)
    Lake(settings, config).append_once(
        "decisions", row, f"verdict:{model.run_id}:{evaluation_dependencies.fingerprint}", 1
    )


@task(name="submit-candidate", cache_policy=NO_CACHE, **RETRIES)
def submit_candidate(candidate: Candidate, now: datetime, actor: str) -> bool:
    """Store an evaluated candidate for release, once; return whether it was new."""
    return candidates.submit(Audit(load_settings()), candidate, at=now, actor=actor) is not None
