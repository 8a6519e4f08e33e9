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
from tasks.stores.state.audit import Audit, Entry
from tasks.stores.state.outbox import EventName
from tasks.stores.state.rollouts import ROLLBACK, Ending, EndOutcome, Rollout

Tell = Callable[[EventName, Mapping[str, JsonValue]], None]
OUTCOMES: dict[EndOutcome, Outcome] = {
    "promoted": "promoted",
    "rolled_back": "rolled_back",
    "stopped": "rolled_back",
    "superseded": "kept_champion",
}
_EVENTS: dict[EndOutcome, EventName] = {
    "promoted": "perennial.model.promoted",
    "rolled_back": "perennial.model.rolled_back",
    "stopped": "perennial.model.rolled_back",
    "superseded": "perennial.model.rejected",
}


@dataclass(frozen=True)
class Desk:
    """Where a pipeline's aliases are moved, and who is told: `tell` takes an event and what it says."""

    tracking: Tracking
    audit: Audit
    lake: Lake
    tell: Tell

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


def heal(desk: Desk, at: datetime) -> list[str]:
    """End what a crash left between two writes; what was done, in words."""
    told = promotion.settle(desk.tracking, desk.audit, at=at)
    told += [complete(desk, intent, at) for intent in desk.audit.open_intents(desk.pipeline, ROLLBACK)]
    rollout = rollouts.under_way(desk.audit, desk.pipeline)
    if rollout is not None and rollout.ending is not None:
        told.append(finish(desk, rollout, at).told)
    return told


def finish(desk: Desk, rollout: Rollout, at: datetime) -> Rollout:
    """Carry out how a rollout is to end; the rollout as it ended."""
    rollout = _move(desk, rollout, at)
    ending = rollout.ending
    if ending is None:
        raise ValueError(f"the rollout {rollout.id} of {rollout.pipeline} is not to end")
    if desk.tracking.challenger_version() is not None:
        desk.tracking.hide()
    reason, outcome = "; ".join(ending.reasons), OUTCOMES[ending.outcome]
    if outcome == "rolled_back":
        desk.tracking.mark(rollout.version, reason)
    champion = rollout.version if outcome == "promoted" else desk.tracking.champion_version()
    reasons: list[JsonValue] = [*ending.reasons]
    desk.tell(_EVENTS[ending.outcome], {"version": rollout.version, "champion": champion, "reasons": reasons})
    _note(desk, rollout, ending)
    candidates.settle(
        desk.audit, desk.pipeline, rollout.candidate, outcome, rollout.version, at=at, actor=ending.by, reason=reason
    )
    rollouts.close(desk.audit, rollout, at=at)
    return rollout.model_copy(update={"closed": at})


def _move(desk: Desk, rollout: Rollout, at: datetime) -> Rollout:
    """Move the champion, if that is how it ends and the champion is still the one that it was held against."""
    ending = rollout.ending
    if ending is None or ending.outcome != "promoted":
        return rollout
    champion = desk.tracking.champion_version()
    if champion == rollout.version:
        return rollout
    if champion != rollout.champion:
        return supersede(desk.audit, rollout, champion, at, ending.by)
    told = "; ".join(ending.reasons)
    promotion.move_champion(
        desk.tracking, desk.audit, rollout.version, champion, at=at, actor=ending.by, reason=f"rolled out: {told}"
    )
    return rollout


def supersede(audit: Audit, rollout: Rollout, champion: int | None, at: datetime, by: str) -> Rollout:
    """Write down that a rollout ends because another became champion; the rollout as it is now."""
    now = "no champion" if champion is None else f"champion {champion}"
    reason = f"it was held against champion {rollout.champion}, but now there is {now}"
    return rollouts.decide(audit, rollout, Ending(outcome="superseded", reasons=(reason,), by=by, at=at))


def _note(desk: Desk, rollout: Rollout, ending: Ending) -> None:
    """Keep the decision in the lake, once."""
    found = [
        one.model.recipe for intent, one in candidates.waiting(desk.audit, desk.pipeline) if intent == rollout.candidate
    ]
    row = decision_row(ending.at, "rollout", ending.outcome, "".join(found), rollout.stored_json())
    desk.lake.append_once("decisions", row, f"rollout:{rollout.id}:{ending.outcome}", 1)


def complete(desk: Desk, intent: Entry, at: datetime) -> str:
    """Carry a rollback to its end, if the champion was moved; what became of it, in words."""
    back = Back.model_validate_json(json.dumps(intent.details))
    if desk.tracking.champion_version() != back.to:
        desk.audit.write(
            desk.pipeline,
            ROLLBACK,
            "abandoned",
            at=at,
            actor=intent.actor,
            reason="the alias was not moved",
            details=intent.details,
            intent=intent.id,
        )
        return f"rollback to version {back.to}: abandoned"
    if back.marks:
        desk.tracking.mark(back.version, intent.reason)
    desk.tracking.mark(back.to, "")
    told: dict[str, JsonValue] = {"version": back.version, "champion": back.to, "reasons": [intent.reason]}
    desk.tell("perennial.model.rolled_back", told)
    row = decision_row(intent.at, "rollback", "rolled_back", "", back.stored_json())
    desk.lake.append_once("decisions", row, f"rollback:{intent.id}", 1)
    desk.audit.write(
        desk.pipeline,
        ROLLBACK,
        "done",
        at=at,
        actor=intent.actor,
        reason=intent.reason,
        details=intent.details,
        intent=intent.id,
    )
    return f"rollback to version {back.to}: done"
