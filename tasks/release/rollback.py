"""A person rolls a version back: one that is rolled out, or the champion, for an earlier one. Alias lock held."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from configs.schema import PipelineConfig
from tasks.errors import PerennialError, UsageError
from tasks.records.base import Record
from tasks.release import promotion
from tasks.release.registry_moves import Back, ReleaseContext, close_rollout, complete_rollback
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import ROLLBACK, Ending, Rollout


class RollbackRequest(NamedTuple):
    """Who asks, whether a personal token says so, why, and when."""

    by: str
    verified: bool
    reason: str
    at: datetime


class Rollback(Record):
    """What a rollback came to.

    Attributes:
        version: The version that was rolled back.
        champion: The champion now.
        rollout: Whether it was only being rolled out: then the champion is as before.
        healed: Whether it was begun by a run that was killed, and only ended now.
    """

    pipeline: str
    version: int
    champion: int
    rollout: bool
    by: str
    verified: bool
    reason: str
    healed: bool = False


class RollbackError(PerennialError):
    """The version to go back to can't serve."""


def roll_back(
    config: PipelineConfig, context: ReleaseContext, approvals: Approvals, to: int | None, request: RollbackRequest
) -> Rollback:
    """Roll a version back; what it came to.

    Without `to`, a version that is rolled out is rolled back; if there is none, the champion goes back to the latest
    earlier one that was not rolled back itself.

    Raises:
        UsageError: there is nothing to go back to, or `to` is no version that may serve.
        RollbackError: the files of the version to go back to do not answer as they should.
    """
    open_intents = context.audit.open_intents(config.name, ROLLBACK)
    promotion.recover_moves(context.tracking, context.audit, at=request.at)
    for intent in open_intents:
        complete_rollback(context, intent, request.at)
        intended = Back.model_validate_json(json.dumps(intent.details))
        if to in (None, intended.to) and context.tracking.champion_version() == intended.to:
            original = RollbackRequest(intent.actor, intended.verified, intent.reason, intent.at)
            return _result(config, intended.version, intended.to, original, healed=True)
    rollout = rollouts.active(context.audit, config.name)
    if rollout is not None and rollout.ending is not None:
        close_rollout(context, rollout, request.at)
        rollout = None
    champion = context.tracking.champion_version()
    target = None if to is None and rollout is not None else _target(config, context.audit, champion, to)
    if target is not None:
        _check_target(config, context, approvals, champion, target, rollout)
    if rollout is not None:
        _stop(context, rollout, request)
        if target is None or target == champion:
            return _result(config, rollout.version, rollout.champion, request, rollout=True)
    if champion is None or target is None:
        raise UsageError(f"{config.name} has no champion yet: there is nothing to roll back.")
    return _roll_back_champion(config, context, champion, target, request)


def _target(config: PipelineConfig, audit: Audit, champion: int | None, to: int | None) -> int:
    """The version to go back to."""
    if champion is None:
        raise UsageError(f"{config.name} has no champion yet: there is nothing to roll back.")
    if to is not None:
        return to
    marked = rollouts.rolled_back(audit, config.name)
    earlier = [one.version for one in audit.champion_periods(config.name)]
    free = [one for one in earlier if one != champion and one not in marked]
    if free:
        return free[-1]
    rolled_back = sorted({one for one in earlier if one in marked})
    excluded = f"; rolled back before: {', '.join(map(str, rolled_back))}" if rolled_back else ""
    raise UsageError(
        f"{config.name}: there is no earlier champion than version {champion} to go back to{excluded}. "
        f"`perennial rollback {config.name} --to VERSION` takes any version that passed its gates."
    )


def _check_target(
    config: PipelineConfig,
    context: ReleaseContext,
    approvals: Approvals,
    champion: int | None,
    target: int,
    rollout: Rollout | None,
) -> None:
    """Refuse a version that must not or can't serve.

    Raises:
        UsageError: it is unknown, did not pass, was not approved, is champion, or is still open.
        RollbackError: its files do not answer as they should.
    """
    name = f"{config.name}@{target}"
    if rollout is not None and target == rollout.version:
        raise UsageError(f"{name} is being rolled out. `perennial rollback {config.name} --reason TEXT` stops that.")
    if target == champion and rollout is None:
        raise UsageError(f"{name} is champion already. Nothing was changed.")
    evaluated = {number: (one, outcome) for _, one, outcome, number in candidates.evaluated(context.audit, config.name)}
    if target not in evaluated:
        known = ", ".join(str(number) for number in sorted(one for one in evaluated if one is not None)) or "none yet"
        raise UsageError(f"{config.name} has no version {target}; known here: {known}.")
    candidate, outcome = evaluated[target]
    served = target in {one.version for one in context.audit.champion_periods(config.name)}
    if not served and not candidate.verdict.passed:
        raise UsageError(f"{name} did not pass its gates: {'; '.join(candidate.verdict.reasons)}. It can't serve.")
    if outcome in ("waiting", "awaiting_approval", "rolling_out"):
        raise UsageError(f"{name} is still open: its state is {outcome}. See `perennial status {config.name}`.")
    approval = approvals.of_version(config.name, target)
    if not served and approval is not None and approval.decision != "approve":
        raise UsageError(f"{name} was not approved: it can't serve.")
    _verify_predictions(config, context, target)


def _verify_predictions(config: PipelineConfig, context: ReleaseContext, target: int) -> None:
    """Load the version's files and let them answer their stored sample."""
    from tasks.stores.registry import models

    folder = Path(context.tracking.resolve(target).folder)
    difference = models.verify_probe(folder, config.training.trusted_types)
    if difference:
        raise RollbackError(f"{config.name}@{target} can't take over: {difference}. The champion is as before.")


def _stop(context: ReleaseContext, rollout: Rollout, request: RollbackRequest) -> None:
    reasons = (f"stopped by {request.by}: {request.reason}",)
    ended = rollouts.record_outcome(
        context.audit, rollout, Ending(outcome="stopped", reasons=reasons, by=request.by, at=request.at)
    )
    close_rollout(context, ended, request.at)


def _roll_back_champion(
    config: PipelineConfig, context: ReleaseContext, champion: int, target: int, request: RollbackRequest
) -> Rollback:
    rollback = Back(version=champion, to=target, marks=target < champion, verified=request.verified)
    context.audit.write(
        config.name,
        ROLLBACK,
        "intent",
        at=request.at,
        actor=request.by,
        reason=request.reason,
        details=rollback.document(),
    )
    reason = f"rollback from version {champion}: {request.reason}"
    promotion.move_champion(
        context.tracking, context.audit, target, champion, at=request.at, actor=request.by, reason=reason
    )
    for intent in context.audit.open_intents(config.name, ROLLBACK):
        complete_rollback(context, intent, request.at)
    return _result(config, champion, target, request)


def _result(
    config: PipelineConfig,
    version: int,
    champion: int,
    request: RollbackRequest,
    *,
    rollout: bool = False,
    healed: bool = False,
) -> Rollback:
    return Rollback(
        pipeline=config.name,
        version=version,
        champion=champion,
        rollout=rollout,
        by=request.by,
        verified=request.verified,
        reason=request.reason,
        healed=healed,
    )
