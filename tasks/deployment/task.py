"""Prefect tasks of deployment."""

from __future__ import annotations

from datetime import datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.deployment import page, promote
from tasks.refs import Candidate, Promotion, artifact_key
from tasks.stores import candidates
from tasks.stores.audit import MOVE_CHAMPION, Audit
from tasks.stores.environment import git_commit, lock_digest
from tasks.stores.lake import Lake, decision_row
from tasks.stores.settings import load_settings
from tasks.stores.tracking import Tracking


@task(name="settle", cache_policy=NO_CACHE)
def settle(config: PipelineConfig, now: datetime) -> tuple[str, ...]:
    """End what a crash left between; what was settled, in words. The model lock is held."""
    settings = load_settings()
    audit = Audit(settings)
    if not audit.open_intents(config.name, MOVE_CHAMPION):
        return ()
    return tuple(promote.settle(Tracking(settings, config.name), audit, at=now))


@task(name="waiting-candidates", cache_policy=NO_CACHE)
def waiting(config: PipelineConfig) -> list[tuple[int, Candidate]]:
    """Judged candidates that were not deployed or turned down yet, oldest first."""
    return candidates.waiting(Audit(load_settings()), config.name)


@task(name="deploy-candidate", cache_policy=NO_CACHE)
def deploy_candidate(config: PipelineConfig, intent: int, candidate: Candidate, now: datetime, actor: str) -> Promotion:
    """Register a candidate, and make it champion where its verdict and the present champion allow. Lock held."""
    settings = load_settings()
    tracking, audit = Tracking(settings, config.name), Audit(settings)
    previous = tracking.champion_version()
    card = page.model_card(config, candidate)
    version = tracking.register(candidate.model, candidate.verdict, _tags(candidate), card, config.description)
    moved = previous == version
    allowed, reasons = (True, ()) if moved else promote.decide(candidate, previous)
    if allowed and not moved:
        promote.move_champion(tracking, audit, version, previous, at=now, actor=actor, reason="; ".join(reasons))
    record = Promotion(
        outcome="promoted" if allowed else "kept_champion",
        version=version,
        champion=version if allowed else previous,
        previous=previous,
        reasons=reasons,
    )
    candidates.settle(audit, config.name, intent, record.outcome, version, at=now, actor=actor)
    row = decision_row(now, "promotion", record.outcome, candidate.model.recipe, record.model_dump_json())
    Lake(settings, config).append("decisions", row)
    create_markdown_artifact(
        page.promotion_page(config, record), key=artifact_key(config.name, "deploy"), description=record.outcome
    )
    return record


def _tags(candidate: Candidate) -> dict[str, str]:
    return {
        "recipe": candidate.model.recipe,
        "dataset_digest": candidate.model.dataset_digest,
        "lock_digest": lock_digest(),
        "git_commit": git_commit(),
    }
