"""One look at a rollout: its records are read and evaluated, and what was decided is carried out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from configs.schema import PipelineConfig
from tasks.records.rollout import RolloutDecision
from tasks.release.registry_moves import ReleaseContext, close_rollout, supersede
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import rollouts
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import Ending, Rollout

if TYPE_CHECKING:
    from tasks.release.rollout.evidence import Evidence


def evaluate_rollout(
    config: PipelineConfig, tracking: Tracking, audit: Audit, lake: Lake, rollout: Rollout, now: datetime
) -> RolloutDecision:
    """What is to become of a rollout, by its records. No lock is needed: nothing is moved."""
    from tasks.release.rollout.decide import Rules, decide

    evaluation = config.evaluation
    rules = Rules(rollout.plan, config.task, evaluation.primary, evaluation.comparison, config.seed)
    evidence = replace(_evidence(config, tracking, lake, rollout), refused=rollouts.serving_refusal(audit, rollout))
    return decide(rules, rollout.step, evidence, began=rollout.began, since=rollout.since, now=now)


def _evidence(config: PipelineConfig, tracking: Tracking, lake: Lake, rollout: Rollout) -> Evidence:
    if rollout.plan.over == "requests":
        from tasks.release.rollout import requests

        return requests.evidence(config, lake, rollout)
    from tasks.release.rollout import observations

    rows = max(rollout.plan.steps[rollout.step].requests, rollout.plan.checks.min_rows)
    challenger, champion = tracking.model(rollout.version), tracking.model(rollout.champion)
    return observations.evidence(config, lake, challenger, champion, rows)


def apply_decision(
    context: ReleaseContext, rollout: Rollout, decision: RolloutDecision, now: datetime, actor: str
) -> Rollout:
    """Carry out what was decided of a rollout; the rollout as it is now. Alias lock held.

    Where it ended or went on since the look, nothing new is decided.
    """
    present = next(one for one in rollouts.history(context.audit, context.pipeline) if one.id == rollout.id)
    if present.closed is not None:
        return present
    if present.ending is not None:
        return close_rollout(context, present, now)
    champion = context.tracking.champion_version()
    if champion != present.champion:
        return close_rollout(context, supersede(context.audit, present, champion, now, actor), now)
    if present.step != rollout.step or decision.action == "go_on":
        sync_exposure(context.tracking, present)
        return present
    if decision.action == "advance":
        reason = "; ".join(decision.reasons)
        moved = rollouts.advance(context.audit, present, at=now, actor=actor, reason=reason)
        sync_exposure(context.tracking, moved)
        return moved
    outcome: rollouts.RolloutOutcome = "promoted" if decision.action == "promote" else "rolled_back"
    ending = Ending(outcome=outcome, reasons=decision.reasons, by=actor, at=now)
    return close_rollout(context, rollouts.record_outcome(context.audit, present, ending), now)


def sync_exposure(tracking: Tracking, rollout: Rollout) -> None:
    """Point the registry's alias and tag to where a rollout is. Without a service, nothing is shown to anyone."""
    if rollout.plan.over == "requests" and tracking.exposed() != (rollout.version, rollout.exposure):
        tracking.expose(rollout.version, rollout.exposure)
