"""A person rolls a version back: done at once, and published. No Prefect needed."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.context import writing
from tasks.errors import UsageError
from tasks.release.registry_moves import EmitEvent, ReleaseContext
from tasks.release.rollback import Rollback, RollbackRequest, roll_back
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import clock
from tasks.stores.settings import Settings
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.tokens import Person

_LONGEST = 2000


def request_rollback(
    config: PipelineConfig,
    settings: Settings,
    to: int | None,
    reason: str,
    who: Person,
    emit: EmitEvent,
) -> Rollback:
    """Roll back the version that is rolled out, or the champion; what it came to.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        to: The version that is to be champion; left out, the latest earlier one that was not rolled back.
        reason: Why, for whoever asks later.
        who: Who asks.
        emit: Called with each event.

    Raises:
        UsageError: a reason too long, or nothing to go back to.
    """
    text = " ".join(reason.split()) or "no reason was given"
    if len(text) > _LONGEST:
        raise UsageError(f"--reason: found {len(text)} characters, expected a text of up to {_LONGEST}.")
    lake = Lake(settings, config)
    with writing(settings, config.name, "alias"):
        context = ReleaseContext(Tracking(settings, config.name), Audit(settings), lake, emit)
        request = RollbackRequest(who.name, who.verified, text, clock(None))
        return roll_back(config, context, Approvals(settings), to, request)


def summary(rollback: Rollback) -> str:
    """A rollback in words."""
    known = "by personal token" if rollback.verified else "identity not verified"
    note = " (begun before, and only ended now)" if rollback.healed else ""
    what = (
        f"rollout of version {rollback.version} stopped"
        if rollback.rollout
        else f"version {rollback.version} rolled back"
    )
    return f"{rollback.pipeline}: {what} by {rollback.by} ({known}){note}; champion: version {rollback.champion}"
