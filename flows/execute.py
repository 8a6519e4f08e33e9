"""How flows call stages: each as its Prefect task or sub-flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Concatenate, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.context import Inputs, Output, StageContext
from tasks.records.stages import StageName

# The task that shows a stage in the UI, by the stage: a reused one has the same name.
_NAMES: dict[StageName, str] = {"features": "training-set", "training": "fit", "evaluation": "evaluate"}


def with_prefect(
    stage: Callable[Concatenate[StageContext, Inputs], Output],
    context: StageContext,
    /,
    *args: Inputs.args,
    **options: Inputs.kwargs,
) -> Output:
    """Run a stage as its Prefect task or sub-flow.

    Raises:
        KeyError: it has none.
    """
    return cast("Output", _runs()[stage](context, *args, **options))


@task(name="reuse", cache_policy=NO_CACHE)
def _reuse(reason: str) -> State[None]:
    """Show in the UI that a stage's earlier output was taken."""
    return Completed(name="Cached", message=reason)


def _reused(context: StageContext, stage: StageName, reason: str) -> None:  # noqa: ARG001  # as `reuse`
    _reuse.with_options(name=_NAMES[stage], task_run_name=_NAMES[stage])(reason)


@cache
def _runs() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The Prefect task or sub-flow of each stage."""
    from flows import deploy, ingest, monitor, score, train
    from tasks.evaluation import stage as evaluation
    from tasks.evaluation import task as evaluation_tasks
    from tasks.features import stage as features
    from tasks.features import task as features_tasks
    from tasks.ingestion import stage as ingestion
    from tasks.ingestion import task as ingestion_tasks
    from tasks.lifecycle import ingestion as lifecycle_ingestion
    from tasks.lifecycle import training as lifecycle_training
    from tasks.monitoring import stage as monitoring
    from tasks.monitoring import task as monitoring_tasks
    from tasks.quarantine import stage as quarantine
    from tasks.quarantine import task as quarantine_tasks
    from tasks.release import stage as release
    from tasks.release import task as release_tasks
    from tasks.scoring import stage as scoring
    from tasks.scoring import task as scoring_tasks
    from tasks.training import stage as training
    from tasks.training import task as training_tasks
    from tasks.validation import stage as validation
    from tasks.validation import task as validation_tasks

    return {
        # sub-flows
        lifecycle_ingestion.run_ingestion: ingest.subflow,
        lifecycle_training.train: train.subflow,
        monitoring.run_monitoring: monitor.subflow,
        release.run_release: deploy.subflow,
        scoring.run_scoring: score.subflow,
        # tasks
        evaluation.run_evaluation: evaluation_tasks.evaluate,
        evaluation.submit_candidate: evaluation_tasks.submit_candidate,
        features.run_features: features_tasks.features,
        ingestion.discover: ingestion_tasks.discover,
        ingestion.read: ingestion_tasks.read,
        lifecycle_training.reuse: _reused,
        monitoring.check_drift: monitoring_tasks.check_drift,
        monitoring.check_performance: monitoring_tasks.check_performance,
        monitoring.run_decision: monitoring_tasks.decide_retrain,
        monitoring.stored_drift: monitoring_tasks.stored_drift,
        monitoring.stored_performance: monitoring_tasks.stored_performance,
        quarantine.open_entries: quarantine_tasks.open_entries,
        release.apply_promotion: release_tasks.apply_promotion,
        release.close_promotion: release_tasks.close_promotion,
        release.ready_candidates: release_tasks.ready_candidates,
        release.recover: release_tasks.recover,
        release.register: release_tasks.register,
        scoring.score_new: scoring_tasks.score_new,
        training.run_training: training_tasks.fit,
        validation.refer_to_champion: validation_tasks.refer_to_champion,
        validation.validate: validation_tasks.validate,
    }
