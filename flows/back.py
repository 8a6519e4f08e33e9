"""A person takes a version back: done at once, and told. No Prefect needed."""

from __future__ import annotations

from configs.schema import PipelineConfig
from flows.answer import Person
from flows.context import clock, writing
from tasks.deployment.back import Asked, Rollback, roll_back
from tasks.deployment.ending import Desk, Tell
from tasks.errors import UsageError
from tasks.stores.approvals import Approvals
from tasks.stores.audit import Audit
from tasks.stores.lake import Lake
from tasks.stores.settings import Settings
from tasks.stores.tracking import Tracking

_LONGEST = 2000


def take_back(
    config: PipelineConfig, settings: Settings, to: int | None, reason: str, who: Person, tell: Tell
) -> Rollback:
    """Take back the version that is rolled out, or the champion; what it came to.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        to: The version that is to be champion; left out, the latest earlier one that was not taken back.
        reason: Why, for whoever asks later.
        who: Who asks.
        tell: Takes the events.

    Raises:
        UsageError: a reason too long, or nothing to go back to.
    """
    told = " ".join(reason.split()) or "no reason was given"
    if len(told) > _LONGEST:
        raise UsageError(f"--reason: found {len(told)} characters, expected a text of up to {_LONGEST}.")
    lake = Lake(settings, config)
    with writing(settings, config.name, "alias"):
        desk = Desk(Tracking(settings, config.name), Audit(settings), lake, tell)
        asked = Asked(who.name, who.verified, told, clock(None))
        return roll_back(config, desk, Approvals(settings), to, asked)


def done(back: Rollback) -> str:
    """A rollback in words."""
    known = "by personal token" if back.verified else "identity not verified"
    again = " (begun before, and only ended now)" if back.healed else ""
    what = f"rollout of version {back.version} stopped" if back.rollout else f"version {back.version} taken back"
    return f"{back.pipeline}: {what} by {back.by} ({known}){again}; champion: version {back.champion}"
