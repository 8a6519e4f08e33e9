"""Rollouts and rollbacks, kept in the audit: what it says, the registry follows. No pandas, MLflow or Prefect.

A rollout is an intent; each step that it took, and how it is to end, is a line; it is closed once that is carried out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from configs.serving import RolloutPlan
from tasks.records.base import Record, StoredRecord
from tasks.records.rollout import Exposure
from tasks.stores.state.audit import MOVE_CHAMPION, SERVING_REFUSED, Audit, AuditEntry

ROLLOUT, ROLLBACK = "rollout", "rollback"
_MOVE = "rollout_step"
RolloutOutcome = Literal["promoted", "rolled_back", "superseded", "stopped"]
_ROLLED_BACK: tuple[RolloutOutcome, ...] = ("rolled_back", "stopped")


class Moved(Record):
    """A step, and when it began."""

    step: int
    at: datetime


class Ending(StoredRecord):
    """How a rollout is to end: decided, and from then on carried out.

    Attributes:
        outcome: promoted: it is champion. rolled_back: it broke a rule. superseded: another became champion meanwhile.
            stopped: a person ended it.
    """

    outcome: RolloutOutcome
    reasons: tuple[str, ...]
    by: str
    at: datetime


class RolloutStart(StoredRecord):
    """What is written down of a rollout when it begins.

    Attributes:
        champion: The version that it is compared with.
        candidate: Id of the candidate's intent in the audit.
        plan: As it was configured then.
    """

    version: int
    champion: int
    candidate: int
    plan: RolloutPlan


class Rollout(StoredRecord):
    """One rollout.

    Attributes:
        id: Of its intent in the audit.
        champion: The version that it is compared with.
        candidate: Id of the candidate's intent in the audit.
        plan: As it was configured when it began.
        moved: Its steps so far; the last is the present one.
        ending: How it is to end; None before that is decided.
        closed: When that was carried out; None before.
    """

    id: int
    pipeline: str
    version: int
    champion: int
    candidate: int
    plan: RolloutPlan
    began: datetime
    by: str
    moved: tuple[Moved, ...]
    ending: Ending | None = None
    closed: datetime | None = None

    @property
    def step(self) -> int:
        """Number of the present step, from 0."""
        return self.moved[-1].step

    @property
    def since(self) -> datetime:
        """When it began."""
        return self.moved[-1].at

    @property
    def exposure(self) -> Exposure:
        """What the present step shows the version."""
        one = self.plan.steps[self.step]
        share = one.share if one.kind == "canary" else 0.0
        return Exposure(rollout=self.id, step=self.step, kind=one.kind, share=share, since=self.since)

    @property
    def description(self) -> str:
        """Where it is, in words."""
        if self.ending is not None:
            return f"version {self.version}: {self.ending.outcome.replace('_', ' ')}"
        return describe(self.plan, self.step, self.version, self.champion)

    @property
    def status(self) -> str:
        """Where it is, and how it goes on."""
        return f"{self.description}; {continuation(self.pipeline)}"


def describe(plan: RolloutPlan, step: int, version: int, champion: int) -> str:
    """Where a rollout is, in words."""
    one = plan.steps[step]
    kind = f"canary with {one.share:.3g} of the keys" if one.kind == "canary" else "shadow"
    over = "" if plan.over == "requests" else ", on observations"
    return f"version {version} beside champion {champion}: {kind}{over}, step {step + 1} of {len(plan.steps)}"


def continuation(pipeline: str) -> str:
    """How a rollout goes on, in words."""
    return f"`perennial rollout {pipeline}` continues it; under `perennial up` it continues by itself"


def start(
    audit: Audit,
    pipeline: str,
    *,
    version: int,
    champion: int,
    candidate: int,
    plan: RolloutPlan,
    at: datetime,
    actor: str,
) -> Rollout:
    """Write down that a version is rolled out, unless that is under way; the rollout. The registry follows."""
    known = active(audit, pipeline)
    if known is None:
        start = RolloutStart(version=version, champion=champion, candidate=candidate, plan=plan)
        reason = f"version {version} is rolled out beside champion {champion}"
        audit.write(pipeline, ROLLOUT, "intent", at=at, actor=actor, reason=reason, details=start.document())
        known = active(audit, pipeline)
    if known is None:
        raise RuntimeError(f"the rollout of {pipeline}@{version} was written and is not there")
    return known


def advance(audit: Audit, rollout: Rollout, *, at: datetime, actor: str, reason: str) -> Rollout:
    """Write down that the next step begins; the rollout as it is now."""
    step = rollout.step + 1
    details: dict[str, JsonValue] = {"version": rollout.version, "step": step}
    audit.write(rollout.pipeline, _MOVE, "done", at=at, actor=actor, reason=reason, details=details, intent=rollout.id)
    return rollout.model_copy(update={"moved": (*rollout.moved, Moved(step=step, at=at))})


def record_outcome(audit: Audit, rollout: Rollout, ending: Ending) -> Rollout:
    """Write down how a rollout is to end; the rollout as it is now. The newest of two endings holds."""
    audit.write(
        rollout.pipeline,
        _MOVE,
        "done",
        at=ending.at,
        actor=ending.by,
        reason="; ".join(ending.reasons),
        details={"version": rollout.version, "ending": ending.document()},
        intent=rollout.id,
    )
    return rollout.model_copy(update={"ending": ending})


def close(audit: Audit, rollout: Rollout, *, at: datetime) -> None:
    """Write down that the ending of a rollout is carried out; once."""
    ending = rollout.ending
    if ending is None or rollout.id not in {entry.id for entry in audit.open_intents(rollout.pipeline, ROLLOUT)}:
        return
    details: dict[str, JsonValue] = {"version": rollout.version, "outcome": ending.outcome}
    reason = "; ".join(ending.reasons)
    phase: Literal["done", "abandoned"] = "abandoned" if ending.outcome == "superseded" else "done"
    audit.write(
        rollout.pipeline, ROLLOUT, phase, at=at, actor=ending.by, reason=reason, details=details, intent=rollout.id
    )


def history(audit: Audit, pipeline: str) -> tuple[Rollout, ...]:
    """Every rollout, oldest first."""
    lines = audit.entries(pipeline, ROLLOUT)
    if not lines:
        return ()
    moves: dict[int, list[AuditEntry]] = {}
    for move in audit.entries(pipeline, _MOVE):
        moves.setdefault(move.intent or 0, []).append(move)
    closed = {line.intent: line.at for line in lines if line.phase != "intent"}
    return tuple(
        _rollout(line, moves.get(line.id, ()), closed.get(line.id)) for line in lines if line.phase == "intent"
    )


def active(audit: Audit, pipeline: str) -> Rollout | None:
    """The rollout that is not closed: it goes on, or its ending is still to be carried out."""
    return next((one for one in history(audit, pipeline) if one.closed is None), None)


def rolled_back(audit: Audit, pipeline: str) -> dict[int, str]:
    """Versions that were moved back and why, but for those that a person made champion since."""
    found: dict[int, str] = {}
    lines = [line for action in (_MOVE, ROLLBACK, MOVE_CHAMPION) for line in audit.entries(pipeline, action)]
    for line in sorted(lines, key=lambda one: one.id):
        version = int(str(line.details["version"]))
        ending = line.details.get("ending")
        if line.action == MOVE_CHAMPION and line.phase == "done":
            found.pop(version, None)
        elif line.action == ROLLBACK and line.phase == "done" and line.details["marks"]:
            found[version] = f"rolled back by {line.actor} on {line.at:%Y-%m-%d %H:%M} UTC: {line.reason}"
        elif isinstance(ending, dict) and ending["outcome"] in _ROLLED_BACK:
            found[version] = f"rolled back from its rollout on {line.at:%Y-%m-%d %H:%M} UTC: {line.reason}"
    return found


def serving_refusal(audit: Audit, rollout: Rollout) -> str:
    """Why a service refused to load the version since it is rolled out; empty where none did.

    That its files could not be had tells nothing of the version: they are fetched again.
    """
    lines = [one for one in audit.entries(rollout.pipeline, SERVING_REFUSED) if one.id > rollout.id]
    found = [one.reason for one in lines if one.details.get("version") == rollout.version and one.details["fetched"]]
    return found[-1] if found else ""


def _rollout(line: AuditEntry, moves: Sequence[AuditEntry], closed: datetime | None) -> Rollout:
    endings = [move.details["ending"] for move in moves if "ending" in move.details]
    start = RolloutStart.model_validate_json(json.dumps(line.details))
    return Rollout(
        id=line.id,
        pipeline=line.pipeline,
        version=start.version,
        champion=start.champion,
        candidate=start.candidate,
        plan=start.plan,
        began=line.at,
        by=line.actor,
        moved=(Moved(step=0, at=line.at), *_steps(moves)),
        ending=Ending.model_validate_json(json.dumps(endings[-1])) if endings else None,
        closed=closed,
    )


def _steps(moves: Iterable[AuditEntry]) -> list[Moved]:
    return [Moved(step=int(str(one.details["step"])), at=one.at) for one in moves if "step" in one.details]
