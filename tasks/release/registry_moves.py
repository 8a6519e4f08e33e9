"""What was decided of rollouts and rollbacks is carried out in the registry, again after a crash. Alias lock held."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from tasks.records.base import StoredRecord
from tasks.records.decision import Outcome
from tasks.release import promotion
from tasks.stores.lake.schemas import decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.audit import Audit, AuditEntry
from tasks.stores.state.outbox import EventName
from tasks.stores.state.rollouts import ROLLBACK, Ending, Rollout, RolloutOutcome

EmitEvent = Callable[[EventName, Mapping[str, JsonValue]], None]
OUTCOMES: dict[RolloutOutcome, Outcome] = {
    "promoted": "promoted",
    "rolled_back": "rolled_back",
    "stopped": "rolled_back",
    "superseded": "kept_champion",
}
_EVENTS: dict[RolloutOutcome, EventName] = {
    "promoted": "perennial.model.promoted",
    "rolled_back": "perennial.model.rolled_back",
    "stopped": "perennial.model.rolled_back",
    "superseded": "perennial.model.rejected",
}


@dataclass(frozen=True)
class ReleaseContext:
    """Where a pipeline's aliases are moved, and who is reported: `tell` takes an event and what it says."""

    tracking: Tracking
    audit: Audit
    lake: Lake
    emit: EmitEvent

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.tracking.pipeline


class Back(StoredRecord):
    """A rollback: the champion that was left, the one that took its place, and whether the left one is marked."""

    version: int
    to: int
    marks: bool
    verified: bool = False


def recover(context: ReleaseContext, at: datetime) -> list[str]:
    """Recover what a crash left between two writes; a message for each."""
    messages = promotion.recover_moves(context.tracking, context.audit, at=at)
    messages += [
        complete_rollback(context, intent, at) for intent in context.audit.open_intents(context.pipeline, ROLLBACK)
    ]
    rollout = rollouts.active(context.audit, context.pipeline)
    if rollout is not None and rollout.ending is not None:
        messages.append(close_rollout(context, rollout, at).description)
    return messages


def close_rollout(context: ReleaseContext, rollout: Rollout, at: datetime) -> Rollout:
    """Carry out how a rollout is to end; the rollout as it ended."""
    rollout = _move_champion(context, rollout, at)
    ending = rollout.ending
    if ending is None:
        raise ValueError(f"the rollout {rollout.id} of {rollout.pipeline} is not to end")
    if context.tracking.challenger_version() is not None:
        context.tracking.clear_challenger()
    reason, outcome = "; ".join(ending.reasons), OUTCOMES[ending.outcome]
    if outcome == "rolled_back":
        context.tracking.tag_rolled_back(rollout.version, reason)
    champion = rollout.version if outcome == "promoted" else context.tracking.champion_version()
    reasons: list[JsonValue] = [*ending.reasons]
    context.emit(_EVENTS[ending.outcome], {"version": rollout.version, "champion": champion, "reasons": reasons})
    _store_decision(context, rollout, ending)
    candidates.close_candidate(
        context.audit,
        context.pipeline,
        rollout.candidate,
        outcome,
        rollout.version,
        at=at,
        actor=ending.by,
        reason=reason,
    )
    rollouts.close(context.audit, rollout, at=at)
    return rollout.model_copy(update={"closed": at})


def _move_champion(context: ReleaseContext, rollout: Rollout, at: datetime) -> Rollout:
    """Move the champion, if that is how it ends and the champion is still the one that it was compared with."""
    ending = rollout.ending
    if ending is None or ending.outcome != "promoted":
        return rollout
    champion = context.tracking.champion_version()
    if champion == rollout.version:
        return rollout
    if champion != rollout.champion:
        return supersede(context.audit, rollout, champion, at, ending.by)
    reasons = "; ".join(ending.reasons)
    promotion.move_champion(
        context.tracking,
        context.audit,
        rollout.version,
        champion,
        at=at,
        actor=ending.by,
        reason=f"rolled out: {reasons}",
    )
    return rollout


def supersede(audit: Audit, rollout: Rollout, champion: int | None, at: datetime, by: str) -> Rollout:
    """Write down that a rollout ends because another became champion; the rollout as it is now."""
    now = "no champion" if champion is None else f"champion {champion}"
    reason = f"it was compared with champion {rollout.champion}, but now there is {now}"
    return rollouts.record_outcome(audit, rollout, Ending(outcome="superseded", reasons=(reason,), by=by, at=at))


def _store_decision(context: ReleaseContext, rollout: Rollout, ending: Ending) -> None:
    """Keep the decision in the lake, once."""
    recipes = [
        one.model.recipe
        for intent, one in candidates.waiting(context.audit, context.pipeline)
        if intent == rollout.candidate
    ]
    row = decision_row(ending.at, "rollout", ending.outcome, "".join(recipes), rollout.stored_json())
    context.lake.append_once("decisions", row, f"rollout:{rollout.id}:{ending.outcome}", 1)


def complete_rollback(context: ReleaseContext, intent: AuditEntry, at: datetime) -> str:
    """Carry a rollback to its end, if the champion was moved; what became of it, in words."""
    rollback = Back.model_validate_json(json.dumps(intent.details))
    if context.tracking.champion_version() != rollback.to:
        context.audit.write(
            context.pipeline,
            ROLLBACK,
            "abandoned",
            at=at,
            actor=intent.actor,
            reason="the alias was not moved",
            details=intent.details,
            intent=intent.id,
        )
        return f"rollback to version {rollback.to}: abandoned"
    if rollback.marks:
        context.tracking.tag_rolled_back(rollback.version, intent.reason)
    context.tracking.tag_rolled_back(rollback.to, "")
    payload: dict[str, JsonValue] = {"version": rollback.version, "champion": rollback.to, "reasons": [intent.reason]}
    context.emit("perennial.model.rolled_back", payload)
    row = decision_row(intent.at, "rollback", "rolled_back", "", rollback.stored_json())
    context.lake.append_once("decisions", row, f"rollback:{intent.id}", 1)
    context.audit.write(
        context.pipeline,
        ROLLBACK,
        "done",
        at=at,
        actor=intent.actor,
        reason=intent.reason,
        details=intent.details,
        intent=intent.id,
    )
    return f"rollback to version {rollback.to}: done"
