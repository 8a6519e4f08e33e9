"""The stage monitoring: drift of the newest batches, the champion by labels that came, whether a model is due."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.context import Execute, StageContext, direct
from tasks.events import emit
from tasks.monitoring import retraining
from tasks.monitoring.window import newest_batches, newest_evidence, scored_batches, stored_records
from tasks.records.base import Record, StoredRecord, digest
from tasks.records.data import BatchRecord
from tasks.records.decision import DriftVerdict, MonitorReport, PerformanceVerdict, RetrainDecision, WatchState
from tasks.records.model import ModelRef
from tasks.stores.lake.schemas import ROW_ID, SEQ, decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit

if TYPE_CHECKING:
    import pandas as pd


def check_drift(context: StageContext, champion: ModelRef | None) -> DriftVerdict:
    """Compare the newest batches with what the champion was trained on, and store the verdict."""
    config, lake = context.config, Lake(context.settings, context.config)
    window = newest_batches(lake.ledger(), champion, config.monitoring.window_batches)
    if champion is None:
        verdict = DriftVerdict(state="unknown", reasons=("there is no champion yet",), champion=None)
    elif not window:
        reason = f"no batch came in since champion {champion.version} was trained"
        verdict = DriftVerdict(state="unknown", reasons=(reason,), champion=champion.version)
    else:
        verdict = _measure(config, lake, champion, window)
    verdict = verdict.model_copy(update={"through_seq": max((one.seq for one in window), default=0)})
    _store(context, "drift", verdict.state, verdict)
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


def stored_drift(context: StageContext, champion: ModelRef) -> DriftVerdict | None:
    """The stored verdict on the newest batches; None where they were not looked at yet."""
    config, lake = context.config, Lake(context.settings, context.config)
    window = newest_batches(lake.ledger(), champion, config.monitoring.window_batches)
    known = [DriftVerdict.model_validate_json(record) for record in stored_records(lake, "drift")]
    mine = [verdict for verdict in known if verdict.champion == champion.version]
    verdict = max(mine, key=lambda one: one.through_seq, default=None)
    if window and (verdict is None or verdict.through_seq < window[-1].seq):
        return None
    return verdict or DriftVerdict(state="unknown", reasons=("nothing new to look at",), champion=champion.version)


def check_performance(context: StageContext, champion: ModelRef | None) -> PerformanceVerdict:
    """Compare the champion's predictions with the labels that have come since, and store the verdict."""
    config, settings = context.config, context.settings
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
    _store(context, "performance", verdict.state, verdict)
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


def stored_performance(context: StageContext, champion: ModelRef) -> PerformanceVerdict | None:
    """The stored verdict on the newest labels; None where they were not looked at yet."""
    config, lake = context.config, Lake(context.settings, context.config)
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


class DecisionInputs(Record):
    """What the decision is given.

    Attributes:
        labelled: Labelled rows there are.
        drift: Verdict of the newest drift check.
        performance: Verdict of the newest check of the champion's predictions against labels.
        recipe: Digest of the configuration, code and libraries that a training now would go by.
    """

    labelled: int
    drift: WatchState
    performance: WatchState
    recipe: str


def run_decision(context: StageContext, inputs: DecisionInputs) -> RetrainDecision:
    """Decide by the `retrain` policy whether a new model is due, and store the decision."""
    decision = retraining.decision(
        context.config,
        context.settings,
        labelled=inputs.labelled,
        drift=inputs.drift,
        performance=inputs.performance,
        recipe=inputs.recipe,
        now=context.now,
    )
    _store(context, "retrain", decision.outcome, decision, inputs.recipe)
    return decision


def _store(context: StageContext, kind: str, outcome: str, record: StoredRecord, recipe: str = "") -> None:
    """Store a decision once, also where its task is tried again."""
    text = record.stored_json()
    row = decision_row(context.now, kind, outcome, recipe, text)
    transaction = f"{kind}:{context.now.isoformat()}:{digest(text)}"
    Lake(context.settings, context.config).append_once("decisions", row, transaction, 1)


class MonitoringInputs(Record):
    """What the stage is given.

    Attributes:
        champion: The champion; None before the first.
        again: Whether to check also what was checked before and has not changed since.
    """

    champion: ModelRef | None
    again: bool = True


def run_monitoring(context: StageContext, inputs: MonitoringInputs, execute: Execute = direct) -> MonitorReport:
    """Check the newest batches for drift, and the champion's predictions by the labels that have come since."""
    champion = inputs.champion
    stored = None if inputs.again else champion
    drift = None if stored is None else execute(stored_drift, context, stored)
    if drift is None:
        drift = execute(check_drift, context, champion)
        if drift.state == "act":
            emit(context, "perennial.drift.detected", {"reasons": list(drift.reasons)})
    performance = None if stored is None else execute(stored_performance, context, stored)
    if performance is None:
        performance = execute(check_performance, context, champion)
        if performance.state == "act":
            emit(context, "perennial.performance.degraded", {"reasons": list(performance.reasons)})
    return MonitorReport(drift=drift, performance=performance)
