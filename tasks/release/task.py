"""Prefect tasks of the stage release, and its pages."""

from __future__ import annotations

import json
from urllib.parse import quote

from prefect import get_client, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from configs.schema import PipelineConfig
from tasks.context import StageContext
from tasks.records.base import artifact_key
from tasks.records.decision import Candidate, Promotion
from tasks.records.rollout import RolloutDecision
from tasks.release import page, stage
from tasks.release.rollback import Rollback
from tasks.retry import RETRIES
from tasks.stores.state.approvals import ApprovalRequest
from tasks.stores.state.rollouts import Rollout

recover = task(name="recover", cache_policy=NO_CACHE, **RETRIES)(stage.recover)
ready_candidates = task(name="ready-candidates", cache_policy=NO_CACHE, **RETRIES)(stage.ready_candidates)
register = task(name="register", cache_policy=NO_CACHE, **RETRIES)(stage.register)
apply_promotion = task(name="apply-promotion", cache_policy=NO_CACHE, **RETRIES)(stage.apply_promotion)
apply_rollout_decision = task(name="apply-rollout-decision", cache_policy=NO_CACHE, **RETRIES)(
    stage.apply_rollout_decision
)


@task(name="close-promotion", cache_policy=NO_CACHE, **RETRIES)
def close_promotion(
    context: StageContext, intent: int, candidate: Candidate, record: Promotion, request: ApprovalRequest | None
) -> None:
    """Keep what became of a candidate; the pages first, so that no request for approval is without its page."""
    config = context.config
    if record.outcome == "awaiting_approval" and request is not None:
        _publish(page.approval_page(config, candidate, request, _form(request)), config, "approval", record)
    _publish(page.promotion_page(config, record), config, "release", record)
    stage.close_promotion(context, intent, candidate, record, request)


def publish_rollout(config: PipelineConfig, rollout: Rollout, decision: RolloutDecision | None) -> None:
    """Make the page of a rollout anew."""
    key = artifact_key(config.name, "rollout")
    create_markdown_artifact(page.rollout_page(config, rollout, decision), key=key, description=rollout.description)


def publish_rollback(config: PipelineConfig, done: Rollback) -> None:
    """Make the page of a rollback."""
    message = f"version {done.version} rolled back"
    create_markdown_artifact(page.rollback_page(done), key=artifact_key(config.name, "rollback"), description=message)


def _publish(markdown: str, config: PipelineConfig, name: str, record: Promotion) -> None:
    create_markdown_artifact(markdown, key=artifact_key(config.name, name), description=record.outcome)


def _form(request: ApprovalRequest) -> str:
    """Address of the form to answer with in Prefect's UI; empty where there is no such deployment, or no UI."""
    with get_client(sync_client=True) as client:
        if not client.request("GET", "/admin/settings").json()["server"]["ui"]["enabled"]:
            return ""
        try:
            found = client.read_deployment_by_name("approve/any")
        except ObjectNotFound:
            return ""
    known = json.dumps({"pipeline": request.pipeline, "version": request.version})
    return f"{url_for('deployment', obj_id=found.id)}/run?parameters={quote(known)}"
