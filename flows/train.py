"""Observations become an evaluated candidate; a stage on which nothing changed is not run again."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import stage_context
from flows.execute import with_prefect
from tasks.context import StageContext
from tasks.lifecycle import training
from tasks.lifecycle.training import TrainingRequest
from tasks.records.decision import TrainingOutcome
from tasks.records.stages import StageName, TrainingStage


@flow(name="train", flow_run_name="train-{pipeline}")
def train(
    pipeline: str,
    now: datetime | None = None,
    start_from: TrainingStage = "features",
    until: StageName = "release",
    force: tuple[TrainingStage, ...] = (),
) -> TrainingOutcome:
    """Make a training set, fit a model, evaluate it by the gates, and submit it: it waits for the deploy flow.

    A stage on which nothing changed since an earlier run is not run again: its outcome of then is taken.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        start_from: Stages before it are not considered: what they returned last is taken.
        until: The last stage that runs. Before `release`, the candidate is not submitted.
        force: Stages that run though nothing changed.
    """
    request = TrainingRequest(start_from=start_from, until=until, force=force)
    with stage_context(pipeline, now) as context:
        return training.train(context, request, with_prefect)


def subflow(context: StageContext, request: TrainingRequest) -> TrainingOutcome:
    """`tasks.lifecycle.training.train`, as a sub-flow."""
    return train(context.pipeline, context.now, request.start_from, request.until, request.force)
