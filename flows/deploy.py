"""Evaluated candidates become versions; one that passed, and was approved where that is required, becomes champion."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.context import stage_context
from flows.execute import with_prefect
from tasks.context import StageContext
from tasks.records.decision import Promotion
from tasks.release.stage import run_release


@flow(name="deploy", flow_run_name="deploy-{pipeline}")
def deploy(pipeline: str, now: datetime | None = None) -> Promotion | None:
    """Register the candidates that wait, oldest first, and promote what passed; what became of the newest.

    Where the pipeline asks for a person's approval, a version that passed waits for it, and a later run carries the
    answer out. Where it has the steps of a rollout, a version that may take a champion's place is rolled out first.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
    """
    with stage_context(pipeline, now) as context:
        newest = run_release(context, with_prefect)
    if newest is None:
        return None
    text = newest.outcome.replace("_", " ").capitalize()
    state: State[Promotion] = Completed(name=text, message="; ".join(newest.reasons)[:500], data=newest)
    return cast("Promotion", state)  # Prefect ends the run in this state, and gives its data to who called the flow


def subflow(context: StageContext) -> Promotion | None:
    """`run_release`, as a sub-flow."""
    return deploy(context.pipeline, context.now)
