"""Prefect tasks of deployment."""

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
from tasks.release.registry_moves import Desk, Tell
from tasks.release.rollback import Rollback
from tasks.release.rollout import check
from tasks.retry import RETRIES
from tasks.stores.environment import git_commit, lock_digest
from tasks.stores.lake.schemas import decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings, load_settings
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.approvals import Approvals, Request, note_end, note_request
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import Rollout


@task(name="settle", cache_policy=NO_CACHE, **RETRIES)
def settle(config: PipelineConfig, now: datetime, tell: Tell) -> tuple[str, ...]:
    """End what a crash left between; what was settled, in words. Alias lock held."""
    settings = load_settings()
    if not candidates.halfway(Audit(settings), config.name):
        return ()
    return tuple(registry_moves.heal(desk(config, settings, tell), now))


def desk(config: PipelineConfig, settings: Settings, tell: Tell) -> Desk:
    """Where the pipeline's aliases are moved."""
    return Desk(Tracking(settings, config.name), Audit(settings), Lake(settings, config), tell)


@task(name="move", cache_policy=NO_CACHE, **RETRIES)
def move(
    config: PipelineConfig, rollout: Rollout, decision: RolloutDecision, now: datetime, actor: str, tell: Tell
) -> Rollout:
    """Carry out what was decided of a rollout; the rollout as it is now. Alias lock held."""
    settings = load_settings()
    return check.act(desk(config, settings, tell), rollout, decision, now, actor)


@task(name="ready-candidates", cache_policy=NO_CACHE, **RETRIES)
def ready(config: PipelineConfig, now: datetime) -> list[tuple[int, Candidate]]:
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


@task(name="place", cache_policy=NO_CACHE, **RETRIES)
def place(
    config: PipelineConfig,
    intent: int,
    candidate: Candidate,
    version: int,
    now: datetime,
    deadline: datetime,
    actor: str,
) -> tuple[Promotion, Request | None]:
    """Make a version champion where its verdict, the present champion and the person asked allow. Alias lock held.

    Where the pipeline has steps of a rollout and a champion, it is to be rolled out instead.

    Returns:
        What became of it, and the request for approval, if one is needed; a new one is not kept yet.
    """
    settings = load_settings()
    tracking, audit, approvals = Tracking(settings, config.name), Audit(settings), Approvals(settings)
    promotion.settle(tracking, audit, at=now)  # what an earlier try of this task left between intent and done
    champion = tracking.champion_version()
    request = approvals.of_candidate(intent)
    if request is not None and request.state(now) == "expired":
        request = approvals.expire(request)
    again, moved_back = candidates.promoted(audit, candidate), candidates.moved_back(audit, candidate, version)
    if request is None and config.approval.required and not moved_back and not (again and champion == version):
        author = candidates.author(audit, config.name, intent)
        request = promotion.ask(config.name, intent, version, champion, author, now, deadline)
    steps = bool(config.rollout.steps)
    record = promotion.weigh(
        config.approval, candidate, version, champion, request, now, again=again, moved_back=moved_back, steps=steps
    )
    if record.outcome == "promoted" and champion != version:
        reason = "; ".join(record.reasons)
        promotion.move_champion(tracking, audit, version, champion, at=now, actor=actor, reason=reason)
    if record.outcome == "rolling_out" and champion is not None:
        told = f"{rollouts.told(config.rollout, 0, version, champion)}; {rollouts.goes_on(config.name)}"
        record = record.model_copy(update={"reasons": (told, *record.reasons)})
    return record, request


@task(name="conclude", cache_policy=NO_CACHE, **RETRIES)
def conclude(
    config: PipelineConfig,
    intent: int,
    candidate: Candidate,
    record: Promotion,
    request: Request | None,
    now: datetime,
    actor: str,
) -> None:
    """Keep what became of a candidate: it waits for a person, is rolled out, or is done. Alias lock held."""
    settings = load_settings()
    audit = Audit(settings)
    if record.outcome == "awaiting_approval" and request is not None:
        _show(page.approval_page(config, candidate, request, _form(request)), config, "approval", record)
        note_request(audit, request, at=now, actor=actor)
        Approvals(settings).put(request)
    else:
        if request is not None:
            note_end(audit, request, at=now, actor=actor)
    if record.outcome not in ("awaiting_approval", "rolling_out"):
        reason = "; ".join(record.reasons)
        candidates.settle(
            audit, config.name, intent, record.outcome, record.version, at=now, actor=actor, reason=reason
        )
    _show(page.promotion_page(config, record), config, "release", record)
    row = decision_row(now, "promotion", record.outcome, candidate.model.recipe, record.stored_json())
    Lake(settings, config).append_once("decisions", row, f"promotion:{intent}:{record.outcome}", 1)
    if record.outcome == "rolling_out" and record.champion is not None:
        began = rollouts.begin(
            audit,
            config.name,
            version=record.version,
            champion=record.champion,
            candidate=intent,
            plan=config.rollout,
            at=datetime.now(UTC),  # traffic has the present's times, also where the run's clock is set back
            actor=actor,
        )
        check.show(Tracking(settings, config.name), began)


def show_rollout(config: PipelineConfig, rollout: Rollout, decision: RolloutDecision | None) -> None:
    """Make the page of a rollout anew."""
    key = artifact_key(config.name, "rollout")
    create_markdown_artifact(page.rollout_page(config, rollout, decision), key=key, description=rollout.told)


def show_rollback(config: PipelineConfig, done: Rollback) -> None:
    """Make the page of a rollback."""
    told = f"version {done.version} taken back"
    create_markdown_artifact(page.rollback_page(done), key=artifact_key(config.name, "rollback"), description=told)


def _show(markdown: str, config: PipelineConfig, stage: str, record: Promotion) -> None:
    create_markdown_artifact(markdown, key=artifact_key(config.name, stage), description=record.outcome)


def _form(request: Request) -> str:
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
