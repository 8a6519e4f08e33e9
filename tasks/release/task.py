"""Prefect tasks of the release stage."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import quote

from prefect import get_client, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from configs.schema import PipelineConfig
from tasks.records.base import artifact_key
from tasks.records.decision import Candidate, Promotion
from tasks.records.rollout import RolloutDecision
from tasks.release import page, promotion, registry_moves
from tasks.release.registry_moves import EmitEvent, ReleaseContext
from tasks.release.rollback import Rollback
from tasks.release.rollout import check
from tasks.retry import RETRIES
from tasks.stores.environment import git_commit, lock_digest
from tasks.stores.lake.schemas import decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings, load_settings
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.approvals import ApprovalRequest, Approvals, audit_close, audit_request
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import Rollout


@task(name="recover", cache_policy=NO_CACHE, **RETRIES)
def recover(config: PipelineConfig, now: datetime, emit: EmitEvent) -> tuple[str, ...]:
    """Recover what a crash left between two writes; a message for each. Alias lock held."""
    settings = load_settings()
    if not candidates.pending_moves(Audit(settings), config.name):
        return ()
    return tuple(registry_moves.recover(release_context(config, settings, emit), now))


def release_context(config: PipelineConfig, settings: Settings, emit: EmitEvent) -> ReleaseContext:
    """Where the pipeline's aliases are moved."""
    return ReleaseContext(Tracking(settings, config.name), Audit(settings), Lake(settings, config), emit)


@task(name="apply-rollout-decision", cache_policy=NO_CACHE, **RETRIES)
def apply_rollout_decision(
    config: PipelineConfig, rollout: Rollout, decision: RolloutDecision, now: datetime, actor: str, emit: EmitEvent
) -> Rollout:
    """Carry out what was decided of a rollout; the rollout as it is now. Alias lock held."""
    settings = load_settings()
    return check.apply_decision(release_context(config, settings, emit), rollout, decision, now, actor)


@task(name="ready-candidates", cache_policy=NO_CACHE, **RETRIES)
def ready_candidates(config: PipelineConfig, now: datetime) -> list[tuple[int, Candidate]]:
    """Judged candidates on which something can be done now, oldest first."""
    settings = load_settings()
    return candidates.ready(Audit(settings), Approvals(settings), config.name, now)


@task(name="register", cache_policy=NO_CACHE, **RETRIES)
def register(config: PipelineConfig, candidate: Candidate) -> tuple[int, bool]:
    """Make a candidate a version, once; its number, and whether it was made just now. Lock held."""
    tracking = Tracking(load_settings(), config.name)
    new = tracking.version_of_run(candidate.model.run_id) is None
    card = page.model_card(config, candidate)
    return tracking.register(candidate.model, candidate.verdict, _tags(candidate), card, config.description), new


@task(name="apply-promotion", cache_policy=NO_CACHE, **RETRIES)
def apply_promotion(
    config: PipelineConfig,
    intent: int,
    candidate: Candidate,
    version: int,
    now: datetime,
    deadline: datetime,
    actor: str,
) -> tuple[Promotion, ApprovalRequest | None]:
    """Make a version champion where its verdict, the present champion and the person asked allow. Alias lock held.

    Where the pipeline has steps of a rollout and a champion, it is to be rolled out instead.

    Returns:
        What became of it, and the request for approval, if one is needed; a new one is not kept yet.
    """
    settings = load_settings()
    tracking, audit, approvals = Tracking(settings, config.name), Audit(settings), Approvals(settings)
    promotion.recover_moves(tracking, audit, at=now)  # what an earlier try of this task left between intent and done
    champion = tracking.champion_version()
    request = approvals.of_candidate(intent)
    if request is not None and request.state(now) == "expired":
        request = approvals.expire(request)
    promoted_before, rollback_reason = (
        candidates.promoted(audit, candidate),
        candidates.rollback_reason(audit, candidate, version),
    )
    if (
        request is None
        and config.approval.required
        and not rollback_reason
        and not (promoted_before and champion == version)
    ):
        author = candidates.author(audit, config.name, intent)
        request = promotion.approval_request(config.name, intent, version, champion, author, now, deadline)
    steps = bool(config.rollout.steps)
    record = promotion.decide_promotion(
        config.approval,
        candidate,
        version,
        champion,
        request,
        now,
        promoted_before=promoted_before,
        rollback_reason=rollback_reason,
        steps=steps,
    )
    if record.outcome == "promoted" and champion != version:
        reason = "; ".join(record.reasons)
        promotion.move_champion(tracking, audit, version, champion, at=now, actor=actor, reason=reason)
    if record.outcome == "rolling_out" and champion is not None:
        message = f"{rollouts.describe(config.rollout, 0, version, champion)}; {rollouts.continuation(config.name)}"
        record = record.model_copy(update={"reasons": (message, *record.reasons)})
    return record, request


@task(name="close-promotion", cache_policy=NO_CACHE, **RETRIES)
def close_promotion(
    config: PipelineConfig,
    intent: int,
    candidate: Candidate,
    record: Promotion,
    request: ApprovalRequest | None,
    now: datetime,
    actor: str,
) -> None:
    """Keep what became of a candidate: it waits for a person, is rolled out, or is done. Alias lock held."""
    settings = load_settings()
    audit = Audit(settings)
    if record.outcome == "awaiting_approval" and request is not None:
        _publish(page.approval_page(config, candidate, request, _form(request)), config, "approval", record)
        audit_request(audit, request, at=now, actor=actor)
        Approvals(settings).put(request)
    else:
        if request is not None:
            audit_close(audit, request, at=now, actor=actor)
    if record.outcome not in ("awaiting_approval", "rolling_out"):
        reason = "; ".join(record.reasons)
        candidates.close_candidate(
            audit, config.name, intent, record.outcome, record.version, at=now, actor=actor, reason=reason
        )
    _publish(page.promotion_page(config, record), config, "release", record)
    row = decision_row(now, "promotion", record.outcome, candidate.model.recipe, record.stored_json())
    Lake(settings, config).append_once("decisions", row, f"promotion:{intent}:{record.outcome}", 1)
    if record.outcome == "rolling_out" and record.champion is not None:
        began = rollouts.start(
            audit,
            config.name,
            version=record.version,
            champion=record.champion,
            candidate=intent,
            plan=config.rollout,
            at=datetime.now(UTC),  # traffic has the present's times, also where the run's clock is set back
            actor=actor,
        )
        check.sync_exposure(Tracking(settings, config.name), began)


def publish_rollout(config: PipelineConfig, rollout: Rollout, decision: RolloutDecision | None) -> None:
    """Make the page of a rollout anew."""
    key = artifact_key(config.name, "rollout")
    create_markdown_artifact(page.rollout_page(config, rollout, decision), key=key, description=rollout.description)


def publish_rollback(config: PipelineConfig, done: Rollback) -> None:
    """Make the page of a rollback."""
    message = f"version {done.version} rolled back"
    create_markdown_artifact(page.rollback_page(done), key=artifact_key(config.name, "rollback"), description=message)


def _publish(markdown: str, config: PipelineConfig, stage: str, record: Promotion) -> None:
    create_markdown_artifact(markdown, key=artifact_key(config.name, stage), description=record.outcome)


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


def _tags(candidate: Candidate) -> dict[str, str]:
    return {
        "recipe": candidate.model.recipe,
        "dataset_digest": candidate.model.dataset_digest,
        "lock_digest": lock_digest(),
        "git_commit": git_commit(),
    }
