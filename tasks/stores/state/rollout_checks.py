"""What the last look at a rollout found, kept for people on the machine that looked: losing it does no harm."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from tasks.records.base import NewerRecordError, StoredRecord
from tasks.records.rollout import RolloutDecision
from tasks.stores.settings import Settings
from tasks.stores.state.rollouts import Rollout


class Look(StoredRecord):
    """What a look at a rollout found."""

    rollout: int
    at: datetime
    decision: RolloutDecision


def save_check(settings: Settings, rollout: Rollout, decision: RolloutDecision, at: datetime) -> None:
    """Keep what a look found, in the place of the one before."""
    path = _path(settings, rollout.pipeline)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(Look(rollout=rollout.id, at=at, decision=decision).stored_json(), encoding="utf-8")
    draft.replace(path)


def last_check(settings: Settings, rollout: Rollout) -> Look | None:
    """What the last look at a rollout found; None before any, or where another machine looked."""
    try:
        found = Look.model_validate_json(_path(settings, rollout.pipeline).read_bytes())
    except (FileNotFoundError, ValidationError, NewerRecordError):
        return None
    return found if found.rollout == rollout.id else None


def _path(settings: Settings, pipeline: str) -> Path:
    return settings.state / "rollouts" / f"{pipeline}.json"
