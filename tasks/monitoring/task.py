"""Prefect tasks of the stage monitoring."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.context import StageContext
from tasks.monitoring import page, stage
from tasks.monitoring.stage import DecisionInputs
from tasks.records.base import artifact_key
from tasks.records.decision import DriftVerdict, PerformanceVerdict, RetrainDecision
from tasks.records.model import ModelRef
from tasks.retry import RETRIES


@task(name="check-drift", cache_policy=NO_CACHE, **RETRIES)
def check_drift(context: StageContext, champion: ModelRef | None) -> DriftVerdict:
    """Compare the newest batches with what the champion was trained on; and the page."""
    verdict = stage.check_drift(context, champion)
    _publish(context, "drift", page.drift_page(context.pipeline, verdict), verdict.state)
    return verdict


@task(name="check-performance", cache_policy=NO_CACHE, **RETRIES)
def check_performance(context: StageContext, champion: ModelRef | None) -> PerformanceVerdict:
    """Compare the champion's predictions with the labels that have come since; and the page."""
    verdict = stage.check_performance(context, champion)
    _publish(context, "performance", page.performance_page(context.pipeline, verdict), verdict.state)
    return verdict


@task(name="decide-retrain", cache_policy=NO_CACHE, **RETRIES)
def decide_retrain(context: StageContext, inputs: DecisionInputs) -> RetrainDecision:
    """Decide by the `retrain` policy whether a new model is due; and the page."""
    decision = stage.run_decision(context, inputs)
    _publish(context, "decision", page.decision_page(context.pipeline, decision), decision.outcome)
    return decision


stored_drift = task(name="drift-so-far", cache_policy=NO_CACHE, **RETRIES)(stage.stored_drift)
stored_performance = task(name="performance-so-far", cache_policy=NO_CACHE, **RETRIES)(stage.stored_performance)


def _publish(context: StageContext, name: str, markdown: str, outcome: str) -> None:
    create_markdown_artifact(markdown, key=artifact_key(context.pipeline, name), description=outcome)
