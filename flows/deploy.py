"""Judged candidates become versions; one that passed becomes champion."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import actor, clock, open_pipeline, writing
from tasks.deployment.task import deploy_candidate, settle, waiting
from tasks.refs import Promotion


@flow(name="deploy", flow_run_name="deploy-{pipeline}")
def deploy(pipeline: str, now: datetime | None = None) -> Promotion | None:
    """Register the candidates that wait, oldest first, and promote what passed; what became of the newest.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
    """
    config, settings = open_pipeline(pipeline)
    moment = clock(now)
    promotion = None
    with writing(settings, pipeline, "model"):
        settle(config, moment)
        for intent, candidate in waiting(config):
            promotion = deploy_candidate(config, intent, candidate, moment, actor())
    return promotion
