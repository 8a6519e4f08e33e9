"""A person takes a version back: done at once, and told. No Prefect needed."""

from __future__ import annotations

from collections.abc import Callable

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.release.registry_moves import Desk, Tell
from tasks.release.rollback import Asked, Rollback, roll_back
from tasks.stores.lake.tables import Lake
from tasks.stores.locks.lock import hold
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import clock
from tasks.stores.settings import Settings
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.tokens import Person

_LONGEST = 2000


def take_back(
    config: PipelineConfig,
    settings: Settings,
    to: int | None,
    reason: str,
    who: Person,
    tell: Tell,
    on_wait: Callable[[str], None],
) -> Rollback:
    """Take back the version that is rolled out, or the champion; what it came to.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        to: The version that is to be champion; left out, the latest earlier one that was not taken back.
        reason: Why, for whoever asks later.
        who: Who asks.
        tell: Takes the events.
        on_wait: Told once, in words, when another process moves the aliases.

    Raises:
        UsageError: a reason too long, or nothing to go back to.
    """
    told = " ".join(reason.split()) or "no reason was given"
    if len(told) > _LONGEST:
        raise UsageError(f"--reason: found {len(told)} characters, expected a text of up to {_LONGEST}.")
    lake = Lake(settings, config)
    with hold(settings, f"{config.name}.alias", on_wait):
        desk = Desk(Tracking(settings, config.name), Audit(settings), lake, tell)
        asked = Asked(who.name, who.verified, told, clock(None))
        return roll_back(config, desk, Approvals(settings), to, asked)


def done(back: Rollback) -> str:
    """A rollback in words."""
    known = "by personal token" if back.verified else "identity not verified"
    again = " (begun before, and only ended now)" if back.healed else ""
    what = f"rollout of version {back.version} stopped" if back.rollout else f"version {back.version} taken back"
    return f"{back.pipeline}: {what} by {back.by} ({known}){again}; champion: version {back.champion}"
