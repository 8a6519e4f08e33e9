"""One run of a pipeline: ingestion, scoring, monitoring, decision, training, release."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.context import stage_context
from flows.execute import with_prefect
from tasks.lifecycle.execute import RunRequest, run_lifecycle
from tasks.lifecycle.page import report_page
from tasks.records.base import artifact_key
from tasks.records.report import LifecycleReport
from tasks.records.stages import StageName, StartFrom, TrainingStage


def lifecycle(
    pipeline: str,
    now: datetime | None = None,
    start_from: StartFrom = "ingestion",
    only: tuple[str, ...] | None = None,
    until: StageName = "release",
    force: tuple[TrainingStage, ...] = (),
) -> LifecycleReport:
    """The whole life of a pipeline, once: see `lifecycle_flow`."""
    return cast("LifecycleReport", lifecycle_flow(pipeline, now, start_from, only, until, force))


@flow(name="lifecycle", flow_run_name="lifecycle-{pipeline}")
def lifecycle_flow(
    pipeline: str,
    now: datetime | None = None,
    start_from: StartFrom = "ingestion",
    only: tuple[str, ...] | None = None,
    until: StageName = "release",
    force: tuple[TrainingStage, ...] = (),
) -> State[LifecycleReport]:
    """Ingest what landed, score and monitor it, and, if the policy says so, train, evaluate and release.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        start_from: `ingestion`: everything. `decision`: score, look for drift, and retrain if the policy says so.
            `features`, `training`, `evaluation`: do not ask the policy; what the stages before returned last is taken
            as it is. `release`: only release what was evaluated before.
        only: Paths below the landing folder that are ingested; all that landed by default.
        until: The last stage that runs. Before `release`, no candidate is submitted.
        force: Stages that run though nothing that they depend on changed. Others are reused where nothing did.
    """
    request = RunRequest(start_from=start_from, only=only, until=until, force=force)
    with stage_context(pipeline, now, tables=False) as context:
        report = run_lifecycle(context, request, with_prefect)
    create_markdown_artifact(report_page(report), key=artifact_key(pipeline, "lifecycle"), description=report.outcome)
    text = report.outcome.replace("_", " ").capitalize()
    return Completed(name=text, message="; ".join(report.reasons)[:500], data=report)
