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
from tasks.refs import Candidate, ModelRef, TrainingSetRef, Verdict, artifact_key, digest
from tasks.retry import RETRIES
from tasks.stores import candidates, models, staging
from tasks.stores.audit import Audit
from tasks.stores.environment import code_digest, environment_digest
from tasks.stores.lake import Lake
from tasks.stores.settings import load_settings
from tasks.stores.tables import decision_row
from tasks.stores.tracking import Tracking, metric_names

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.evaluation.judge import Holdout
    from tasks.measures.metrics import Answers


@task(name="judge", cache_policy=NO_CACHE, **RETRIES)
def judge(
    config: PipelineConfig,
    ref: TrainingSetRef,
    model: ModelRef,
    champion: ModelRef | None,
    probe: CleanProcess,
    now: datetime,
    actor: str,
) -> Verdict:
    """Hold the candidate against the gates; the verdict is stored with the candidate until it is deployed."""
    from tasks.evaluation.judge import Circumstances, answers, verdict
    from tasks.features.frame import feature_frame

    table = staging.read(Path(ref.folder) / "holdout.arrow")
    frame = feature_frame(table, model.feature_columns, model.columns)
    trusted = config.training.trusted_types
    found = verdict(
        config,
        _holdout(config, table, champion),
        answers(models.load(Path(model.folder) / models.MODEL_FILE, trusted), frame),
        answers(models.load(Path(model.folder) / models.EXTRA / models.BASELINE_FILE), frame),
        _champion_answers(config, table, champion),
        Circumstances(
            champion_version=None if champion is None else champion.version,
            train_rows=model.train_rows,
            newest_event=model.newest_event,
            now=now,
            lineage=_lineage(config, model),
        ),
        lambda: probe.difference(model.folder, trusted),
    )
    _store(config, Candidate(model=model, verdict=found), now, actor)
    return found


def _holdout(config: PipelineConfig, table: pa.Table, champion: ModelRef | None) -> Holdout:
    import numpy as np

    from tasks.evaluation.judge import Holdout
    from tasks.features.frame import target_values
    from tasks.features.split import unseen_by
    from tasks.features.training_set import event_times, resample_units, split_hashes

    times = event_times(table, config.contract.event_time)
    unseen = np.ones(table.num_rows, dtype=bool)
    if champion is not None:
        sequences = np.asarray(table.column("_seq").to_numpy())
        same_clock = champion.split.kind != "time" or champion.split.column == config.contract.event_time
        hashes = split_hashes(table, champion.split)
        unseen = unseen_by(champion.split, champion.through_seq, sequences, times if same_clock else None, hashes)
    truth = target_values(table.select(["_target"]), config.contract.columns[config.contract.target])
    return Holdout(truth, resample_units(config, table), unseen)


def _champion_answers(config: PipelineConfig, table: pa.Table, champion: ModelRef | None) -> Answers | None:
    """The champion's answers; None where there is none. A column that was dropped since is missing to it."""
    from tasks.evaluation.judge import answers
    from tasks.features.frame import feature_frame

    if champion is None:
        return None
    frame = feature_frame(table, champion.feature_columns, champion.columns)
    loaded = models.load(Path(champion.folder) / models.MODEL_FILE, config.training.trusted_types)
    return answers(loaded, frame)


def _lineage(config: PipelineConfig, model: ModelRef) -> dict[str, str]:
    return {
        "dataset": model.dataset_digest,
        "config": digest(config.model_dump(mode="json")),
        "code": code_digest(["tasks/features", "tasks/training"]),
        "environment": environment_digest(),
        "run": model.run_id,
    }


def _store(config: PipelineConfig, candidate: Candidate, now: datetime, actor: str) -> None:
    settings, verdict = load_settings(), candidate.verdict
    tracking = Tracking(settings, config.name)
    metrics: dict[str, Any] = {**verdict.metrics.values, **metric_names("baseline_", verdict.baseline)}
    if verdict.champion_metrics is not None:
        metrics |= metric_names("champion_", verdict.champion_metrics)
    tracking.log_metrics(candidate.model.run_id, metrics)
    page = verdict_page(config, verdict)
    tracking.log_text(candidate.model.run_id, page, "verdict.md")
    tracking.log_text(candidate.model.run_id, verdict.model_dump_json(indent=2), "verdict.json")
    outcome = "passed" if verdict.passed else "rejected"
    row = decision_row(now, "verdict", outcome, candidate.model.recipe, verdict.model_dump_json())
    create_markdown_artifact(page, key=artifact_key(config.name, "evaluate"), description=outcome)
    Lake(settings, config).append_once("decisions", row, f"verdict:{candidate.model.run_id}", 1)
    candidates.put(Audit(settings), candidate, at=now, actor=actor)
