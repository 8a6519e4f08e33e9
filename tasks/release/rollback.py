"""A person takes a version back: one that is rolled out, or the champion, for an earlier one. Alias lock held."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from configs.schema import PipelineConfig
from tasks.errors import PerennialError, UsageError
from tasks.records.base import Record
from tasks.release import promotion
from tasks.release.registry_moves import Back, Desk, complete, finish
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import ROLLBACK, Ending, Rollout


class Asked(NamedTuple):
    """Who asks, whether a personal token says so, why, and when."""

    by: str
    verified: bool
    reason: str
    at: datetime


class Rollback(Record):
    """What a rollback came to.

    Attributes:
        version: The version that was taken back.
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


def roll_back(config: PipelineConfig, desk: Desk, approvals: Approvals, to: int | None, asked: Asked) -> Rollback:
    """Take a version back; what it came to.

    Without `to`, a version that is rolled out is taken back; if there is none, the champion goes back to the latest
    earlier one that was not taken back itself.

    Raises:
        UsageError: there is nothing to go back to, or `to` is no version that may serve.
        RollbackError: the files of the version to go back to do not answer as they should.
    """
    left = desk.audit.open_intents(config.name, ROLLBACK)
    promotion.settle(desk.tracking, desk.audit, at=asked.at)
    for intent in left:
        complete(desk, intent, asked.at)
        back = Back.model_validate_json(json.dumps(intent.details))
        if to in (None, back.to) and desk.tracking.champion_version() == back.to:
            one = Asked(intent.actor, back.verified, intent.reason, intent.at)
            return _made(config, back.version, back.to, one, healed=True)
    rollout = rollouts.under_way(desk.audit, config.name)
    if rollout is not None and rollout.ending is not None:
        finish(desk, rollout, asked.at)
        rollout = None
    champion = desk.tracking.champion_version()
    target = None if to is None and rollout is not None else _target(config, desk.audit, champion, to)
    if target is not None:
        _refuse(config, desk, approvals, champion, target, rollout)
    if rollout is not None:
        _stop(desk, rollout, asked)
        if target is None or target == champion:
            return _made(config, rollout.version, rollout.champion, asked, rollout=True)
    if champion is None or target is None:
        raise UsageError(f"{config.name} has no champion yet: there is nothing to take back.")
    return _back(config, desk, champion, target, asked)


def _target(config: PipelineConfig, audit: Audit, champion: int | None, to: int | None) -> int:
    """The version to go back to."""
    if champion is None:
        raise UsageError(f"{config.name} has no champion yet: there is nothing to take back.")
    if to is not None:
        return to
    marked = rollouts.rolled_back(audit, config.name)
    earlier = [one.version for one in audit.reigns(config.name)]
    free = [one for one in earlier if one != champion and one not in marked]
    if free:
        return free[-1]
    taken = sorted({one for one in earlier if one in marked})
    told = f"; taken back before: {', '.join(map(str, taken))}" if taken else ""
    raise UsageError(
        f"{config.name}: there is no earlier champion than version {champion} to go back to{told}. "
        f"`perennial rollback {config.name} --to VERSION` takes any version that passed its gates."
    )


def _refuse(
    config: PipelineConfig, desk: Desk, approvals: Approvals, champion: int | None, target: int, rollout: Rollout | None
) -> None:
    """Refuse a version that must not or can't serve.

    Raises:
        UsageError: it is unknown, did not pass, was not approved, is champion, or is not done with.
        RollbackError: its files do not answer as they should.
    """
    name = f"{config.name}@{target}"
    if rollout is not None and target == rollout.version:
        raise UsageError(f"{name} is being rolled out. `perennial rollback {config.name} --reason TEXT` stops that.")
    if target == champion and rollout is None:
        raise UsageError(f"{name} is champion already. Nothing was changed.")
    judged = {number: (one, outcome) for _, one, outcome, number in candidates.judged(desk.audit, config.name)}
    if target not in judged:
        known = ", ".join(str(number) for number in sorted(one for one in judged if one is not None)) or "none yet"
        raise UsageError(f"{config.name} has no version {target}; known here: {known}.")
    candidate, outcome = judged[target]
    served = target in {one.version for one in desk.audit.reigns(config.name)}
    if not served and not candidate.verdict.passed:
        raise UsageError(f"{name} did not pass its gates: {'; '.join(candidate.verdict.reasons)}. It can't serve.")
    if outcome in ("waiting", "awaiting_approval", "rolling_out"):
        raise UsageError(f"{name} is not done with: its state is {outcome}. `perennial status {config.name}` tells.")
    request = approvals.of_version(config.name, target)
    if not served and request is not None and request.decision != "approve":
        raise UsageError(f"{name} was not approved: it can't serve.")
    _answers(config, desk, target)


def _answers(config: PipelineConfig, desk: Desk, target: int) -> None:
    """Load the version's files and let them answer their stored sample."""
    from tasks.stores.registry import models

    folder = Path(desk.tracking.asked(target).folder)
    differs = models.answers_probe(folder, config.training.trusted_types)
    if differs:
        raise RollbackError(f"{config.name}@{target} can't take over: {differs}. The champion is as before.")


def _stop(desk: Desk, rollout: Rollout, asked: Asked) -> None:
    reasons = (f"stopped by {asked.by}: {asked.reason}",)
    ended = rollouts.decide(desk.audit, rollout, Ending(outcome="stopped", reasons=reasons, by=asked.by, at=asked.at))
    finish(desk, ended, asked.at)


def _back(config: PipelineConfig, desk: Desk, champion: int, target: int, asked: Asked) -> Rollback:
    back = Back(version=champion, to=target, marks=target < champion, verified=asked.verified)
    desk.audit.write(
        config.name, ROLLBACK, "intent", at=asked.at, actor=asked.by, reason=asked.reason, details=back.document()
    )
    told = f"rollback from version {champion}: {asked.reason}"
    promotion.move_champion(desk.tracking, desk.audit, target, champion, at=asked.at, actor=asked.by, reason=told)
    for intent in desk.audit.open_intents(config.name, ROLLBACK):
        complete(desk, intent, asked.at)
    return _made(config, champion, target, asked)


def _made(
    config: PipelineConfig, version: int, champion: int, asked: Asked, *, rollout: bool = False, healed: bool = False
) -> Rollback:
    return Rollback(
        pipeline=config.name,
        version=version,
        champion=champion,
        rollout=rollout,
        by=asked.by,
        verified=asked.verified,
        reason=asked.reason,
        healed=healed,
    )
