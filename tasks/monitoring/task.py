"""Prefect tasks of monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.monitoring import page, retraining
from tasks.monitoring.window import newest_batches, newest_evidence, scored_batches, stored_records
from tasks.records.base import artifact_key
from tasks.records.data import BatchRecord, DatasetRef
from tasks.records.decision import DriftVerdict, PerformanceVerdict, RetrainDecision, WatchState
from tasks.records.model import ModelRef
from tasks.retry import RETRIES
from tasks.stores.lake.schemas import ROW_ID, SEQ, decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.settings import load_settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit

if TYPE_CHECKING:
    import pandas as pd


@task(name="check-drift", cache_policy=NO_CACHE, **RETRIES)
def check_drift(config: PipelineConfig, champion: ModelRef | None, now: datetime) -> DriftVerdict:
    """Compare the newest batches with what the champion was trained on."""
    lake = Lake(load_settings(), config)
    window = newest_batches(lake.ledger(), champion, config.monitoring.window_batches)
    if champion is None:
        verdict = DriftVerdict(state="unknown", reasons=("there is no champion yet",), champion=None)
    elif not window:
        reason = f"no batch came in since champion {champion.version} was trained"
        verdict = DriftVerdict(state="unknown", reasons=(reason,), champion=champion.version)
    else:
        verdict = _measure(config, lake, champion, window)
    verdict = verdict.model_copy(update={"through_seq": max((one.seq for one in window), default=0)})
    create_markdown_artifact(
        page.drift_page(config.name, verdict), key=artifact_key(config.name, "drift"), description=verdict.state
    )
    lake.append("decisions", decision_row(now, "drift", verdict.state, "", verdict.stored_json()))
    return verdict


def _measure(config: PipelineConfig, lake: Lake, champion: ModelRef, window: Sequence[BatchRecord]) -> DriftVerdict:
    import pandas as pd

    from tasks.monitoring.drift import column_drifts, drift_state
    from tasks.monitoring.measures import column_distances

    reference = pd.read_parquet(Path(champion.folder) / models.EXTRA / models.REFERENCE_FILE)
    current = _current(config, lake, champion, window)
    batches = tuple(one.path for one in window)
    sizes = {"window_rows": len(current), "reference_rows": len(reference)}
    rules = config.monitoring
    if min(sizes.values()) < rules.min_rows:
        reason = f"{len(current)} new and {len(reference)} training rows, at least {rules.min_rows} of each are needed"
        return DriftVerdict(state="unknown", reasons=(reason,), champion=champion.version, batches=batches, **sizes)
    numeric, categorical = watched(config, champion)
    missing = [
        name for name in [*numeric, *categorical] if reference[name].notna().any() and not current[name].notna().any()
    ]
    measured = column_distances(
        current,
        reference,
        [one for one in numeric if one not in missing],
        [one for one in categorical if one not in missing],
    )
    found = column_drifts(measured, missing, rules)
    state, reasons = drift_state(found, rules)
    return DriftVerdict(
        state=state, reasons=reasons, champion=champion.version, columns=found, batches=batches, **sizes
    )


def watched(config: PipelineConfig, champion: ModelRef) -> tuple[list[str], list[str]]:
    """The champion's columns that are watched: numbers, and categories. Event times always move."""
    known = champion.columns
    names = [name for name in champion.feature_columns if name not in config.monitoring.ignore]
    declared = set(config.features.categorical)
    numeric = [one for one in names if known[one].type in ("number", "integer", "boolean") and one not in declared]
    return numeric, [one for one in names if known[one].type != "timestamp" and one not in numeric]


def _current(config: PipelineConfig, lake: Lake, champion: ModelRef, window: Sequence[BatchRecord]) -> pd.DataFrame:
    import numpy as np

    from tasks.features.frame import feature_frame

    wanted = pc.field(SEQ).isin([one.seq for one in window])
    table = lake.read("observations", champion.feature_columns, where=wanted)
    if table.num_rows > config.monitoring.sample_rows:
        rng = np.random.default_rng(config.seed)
        rows = np.sort(rng.choice(table.num_rows, size=config.monitoring.sample_rows, replace=False))
        table = table.take(pa.array(rows))
    return feature_frame(table, champion.feature_columns, champion.columns)


@task(name="drift-so-far", cache_policy=NO_CACHE, **RETRIES)
def stored_drift(config: PipelineConfig, champion: ModelRef) -> DriftVerdict | None:
    """The stored verdict on the newest batches; None where they were not looked at yet."""
    lake = Lake(load_settings(), config)
    window = newest_batches(lake.ledger(), champion, config.monitoring.window_batches)
    known = [DriftVerdict.model_validate_json(record) for record in stored_records(lake, "drift")]
    mine = [verdict for verdict in known if verdict.champion == champion.version]
    verdict = max(mine, key=lambda one: one.through_seq, default=None)
    if window and (verdict is None or verdict.through_seq < window[-1].seq):
        return None
    return verdict or DriftVerdict(state="unknown", reasons=("nothing new to look at",), champion=champion.version)


@task(name="check-performance", cache_policy=NO_CACHE, **RETRIES)
def check_performance(config: PipelineConfig, champion: ModelRef | None, now: datetime) -> PerformanceVerdict:
    """Compare the champion's predictions with the labels that have come since."""
    settings = load_settings()
    lake = Lake(settings, config)
    ledger = lake.ledger()
    metric = config.evaluation.primary
    scored = [] if champion is None else scored_batches(lake, ledger, champion)
    if champion is None:
        verdict = PerformanceVerdict(
            state="unknown", reasons=("there is no champion yet",), champion=None, metric=metric
        )
    elif not scored:
        reason = f"champion {champion.version} has scored nothing yet"
        verdict = PerformanceVerdict(state="unknown", reasons=(reason,), champion=champion.version, metric=metric)
    else:
        holdout = candidates.holdout_metric(Audit(settings), config.name, champion.version, metric)
        verdict = _compare_with_labels(config, lake, champion, scored, holdout)
    verdict = verdict.model_copy(update={"through_seq": newest_evidence(config, ledger, scored)})
    create_markdown_artifact(
        page.performance_page(config.name, verdict),
        key=artifact_key(config.name, "performance"),
        description=verdict.state,
    )
    lake.append("decisions", decision_row(now, "performance", verdict.state, "", verdict.stored_json()))
    return verdict


def _compare_with_labels(
    config: PipelineConfig, lake: Lake, champion: ModelRef, scored: Sequence[BatchRecord], holdout: float | None
) -> PerformanceVerdict:
    from tasks.monitoring import performance

    target, most = config.contract.target, config.monitoring.window_batches
    among = pc.field(SEQ).isin([one.seq for one in scored])
    labels = None if config.labels is None else lake.read("labels", [ROW_ID, SEQ, target])
    observations = lake.read("observations", performance.needed_columns(config), where=among)
    window = performance.labelled_window(observations, labels, target, most)
    numbers = performance.window_batches(window)
    mine = (pc.field("model_version") == champion.version) & pc.field(SEQ).isin(pa.array(numbers, pa.int64()))
    rows = performance.join_predictions(window, lake.read("predictions", where=mine))
    enough = rows.num_rows >= config.monitoring.performance.min_rows
    current, units = performance.measure_performance(config, rows) if enough else (None, None)
    state = performance.performance_state(config, holdout, current, rows.num_rows, units, len(numbers))
    return PerformanceVerdict(
        state=state.state,
        reasons=state.reasons,
        champion=champion.version,
        metric=config.evaluation.primary,
        holdout=holdout,
        current=None if current is None else current.estimate,
        interval=current,
        limit=state.limit,
        rows=rows.num_rows,
        batches=tuple(one.path for one in scored if one.seq in numbers),
    )


@task(name="performance-so-far", cache_policy=NO_CACHE, **RETRIES)
def stored_performance(config: PipelineConfig, champion: ModelRef) -> PerformanceVerdict | None:
    """The stored verdict on the newest labels; None where they were not looked at yet."""
    lake = Lake(load_settings(), config)
    ledger = lake.ledger()
    newest = newest_evidence(config, ledger, scored_batches(lake, ledger, champion))
    known = [PerformanceVerdict.model_validate_json(record) for record in stored_records(lake, "performance")]
    mine = [verdict for verdict in known if verdict.champion == champion.version and verdict.through_seq >= newest]
    if mine or newest:
        return mine[-1] if mine else None
    return PerformanceVerdict(
        state="unknown",
        reasons=(f"champion {champion.version} has scored nothing yet",),
        champion=champion.version,
        metric=config.evaluation.primary,
    )


@task(name="decide-retrain", cache_policy=NO_CACHE, **RETRIES)
def decide_retrain(
    config: PipelineConfig,
    dataset: DatasetRef,
    drift: WatchState,
    performance: WatchState,
    recipe: str,
    now: datetime,
) -> RetrainDecision:
    """Decide by the `retrain` policy whether a new model is due."""
    settings = load_settings()
    decision = retraining.decision(
        config, settings, labelled=dataset.labelled, drift=drift, performance=performance, recipe=recipe, now=now
    )
    outcome = "due" if decision.due else "wait"
    create_markdown_artifact(
        page.decision_page(config.name, decision), key=artifact_key(config.name, "decision"), description=outcome
    )
    Lake(settings, config).append("decisions", decision_row(now, "retrain", outcome, recipe, decision.stored_json()))
    return decision
