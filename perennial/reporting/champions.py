"""Which version was champion at a moment, who or what made it so, and why: from the audit alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.errors import UsageError
from tasks.records.base import Record
from tasks.stores.state.audit import ChampionPeriod


class Live(Record):
    """The version that was champion at a moment.

    Attributes:
        until: When another took its place; None: it still is champion.
        next_version: What took its place.
        actor: Who or what moved it there.
    """

    pipeline: str
    at: datetime
    version: int
    since: datetime
    until: datetime | None
    next_version: int | None
    actor: str
    reason: str


def moment(text: str, now: datetime) -> datetime:
    """A time as people write it, in UTC; a date alone is its first moment.

    Args:
        text: ISO 8601, UTC where it names no zone.
        now: The present.

    Raises:
        UsageError: it is no time, or yet to come.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--at: found {text!r}; expected a time, such as 2026-03-01 or 2026-03-01T12:00 (UTC), or with a zone: "
            "2026-03-01T12:00+01:00."
        ) from None
    if utc > now:
        raise UsageError(
            f"--at: {told(utc)} is yet to come, now it is {told(now)}. Which version is champion now is told without "
            "--at."
        )
    return utc


def live_at(pipeline: str, reigns: Sequence[ChampionPeriod], at: datetime) -> Live:
    """The champion of a moment. A move counts from its own moment on; of two at the same, the later one.

    Args:
        pipeline: Its name.
        reigns: Who was champion when, in the order of the moves.
        at: The moment.

    Raises:
        UsageError: no model was live then.
    """
    begun = [place for place, one in enumerate(reigns) if one.since <= at]
    if not begun:
        raise UsageError(_none_yet(pipeline, reigns, at))
    reign = reigns[begun[-1]]
    following = min(reversed(reigns[begun[-1] + 1 :]), key=lambda one: one.since, default=None)
    return Live(
        pipeline=pipeline,
        at=at,
        version=reign.version,
        since=reign.since,
        until=None if following is None else following.since,
        next_version=None if following is None else following.version,
        actor=reign.actor,
        reason=reign.reason,
    )


def _none_yet(pipeline: str, reigns: Sequence[ChampionPeriod], at: datetime) -> str:
    if not reigns:
        return (
            f"{pipeline}: no model was live at {told(at)}, and none has become champion since. "
            f"`perennial run {pipeline}` trains the first once enough has landed."
        )
    first = min(reigns, key=lambda one: one.since)
    return (
        f"{pipeline}: no model was live at {told(at)} yet: the first, version {first.version}, became champion at "
        f"{told(first.since)}. Ask for that time or a later one."
    )


def text(one: Live) -> str:
    """The answer in a few lines."""
    until = "now: it still is" if one.until is None else f"{told(one.until)}, when version {one.next_version} came"
    return "\n".join(
        [
            f"{one.pipeline}: version {one.version} was live at {told(one.at)}",
            f"  since  {told(one.since)}",
            f"  until  {until}",
            f"  by     {one.actor}",
            f"  why    {one.reason}",
        ]
    )


def told(at: datetime) -> str:
    """A moment for people, in UTC, to the second where it is no whole minute."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC" if utc.second or utc.microsecond else f"{utc:%Y-%m-%d %H:%M} UTC"
