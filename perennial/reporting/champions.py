"""Which version was champion at a moment, who or what made it so, and why: from the audit alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.errors import UsageError
from tasks.records.base import Record
from tasks.stores.state.audit import ChampionPeriod


class ChampionAt(Record):
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


def parse_time(text: str, now: datetime) -> datetime:
    """A time as people write it, in UTC; a date alone is its first moment.

    Args:
        text: ISO 8601, UTC where it names no zone.
        now: The present.

    Raises:
        UsageError: it is no time, or yet to come.
    """
    try:
        parsed = datetime.fromisoformat(text.strip())
        utc = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--at: found {text!r}; expected a time, such as 2026-03-01 or 2026-03-01T12:00 (UTC), or with a zone: "
            "2026-03-01T12:00+01:00."
        ) from None
    if utc > now:
        raise UsageError(
            f"--at: {format_time(utc)} is in the future, now it is {format_time(now)}. Leave --at out for the current "
            "champion."
        )
    return utc


def champion_at(pipeline: str, periods: Sequence[ChampionPeriod], at: datetime) -> ChampionAt:
    """The champion of a moment. A move counts from its own moment on; of two at the same, the later one.

    Args:
        pipeline: Its name.
        periods: Who was champion when, in the order of the moves.
        at: The moment.

    Raises:
        UsageError: no model was live then.
    """
    started = [place for place, one in enumerate(periods) if one.since <= at]
    if not started:
        raise UsageError(_no_champion_message(pipeline, periods, at))
    period = periods[started[-1]]
    following = min(reversed(periods[started[-1] + 1 :]), key=lambda one: one.since, default=None)
    return ChampionAt(
        pipeline=pipeline,
        at=at,
        version=period.version,
        since=period.since,
        until=None if following is None else following.since,
        next_version=None if following is None else following.version,
        actor=period.actor,
        reason=period.reason,
    )


def _no_champion_message(pipeline: str, periods: Sequence[ChampionPeriod], at: datetime) -> str:
    if not periods:
        return (
            f"{pipeline}: no model was live at {format_time(at)}, and none has become champion since. "
            f"`perennial run {pipeline}` trains the first once enough has landed."
        )
    first = min(periods, key=lambda one: one.since)
    return (
        f"{pipeline}: no model was live at {format_time(at)} yet: the first, version {first.version}, became "
        f"champion at {format_time(first.since)}. Use that time or a later one."
    )


def text(champion: ChampionAt) -> str:
    """The champion at a time, in a few lines."""
    until = "now"
    if champion.until is not None:
        until = f"{format_time(champion.until)}, replaced by version {champion.next_version}"
    return "\n".join(
        [
            f"{champion.pipeline}: version {champion.version} was live at {format_time(champion.at)}",
            f"  since  {format_time(champion.since)}",
            f"  until  {until}",
            f"  by     {champion.actor}",
            f"  why    {champion.reason}",
        ]
    )


def format_time(at: datetime) -> str:
    """A moment for people, in UTC, to the second where it is no whole minute."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC" if utc.second or utc.microsecond else f"{utc:%Y-%m-%d %H:%M} UTC"
