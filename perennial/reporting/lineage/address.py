"""Which version an address means: NAME, NAME@3, NAME@champion, NAME@2026-03-01T12:00."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from perennial.reporting.champions import champion_at, format_time
from tasks.errors import UsageError
from tasks.stores.state.audit import ChampionPeriod

_FORMS = "a version, such as @3, or @champion, or a time, such as @2026-03-01 or @2026-03-01T12:00+01:00"
_SHOWN = 20


class ResolvedVersion(NamedTuple):
    """A version, and which one was asked for, in words."""

    version: int
    asked: str


def resolve_version(
    name: str, selector: str | None, versions: Sequence[int], periods: Sequence[ChampionPeriod], now: datetime
) -> ResolvedVersion:
    """The version that an address means.

    Args:
        name: The pipeline.
        selector: What stands after the @; None where there is none.
        versions: The versions there are, ascending.
        periods: Who was champion when, oldest first.
        now: The present.

    Raises:
        UsageError: there is no such version, nothing was live then, or it is none of an address's forms.
    """
    if selector is None or selector == "champion":
        if not periods:
            raise UsageError(f"{name} has no champion yet; {_known(name, versions)}")
        return ResolvedVersion(periods[-1].version, "the champion now")
    if selector.isascii() and selector.isdigit():
        version = int(selector)
        if version not in versions:
            raise UsageError(f"{name} has no version {version}; {_known(name, versions)}")
        return ResolvedVersion(version, f"version {version}")
    time = _parse_time(name, selector, max([now, *(one.since for one in periods)]))
    return ResolvedVersion(champion_at(name, periods, time).version, f"the one that was live at {format_time(time)}")


def _parse_time(name: str, text: str, latest: datetime) -> datetime:
    """A time as people write it, in UTC; runs whose clock was set may have made a later one the present."""
    try:
        parsed = datetime.fromisoformat(text)
        utc = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{name}@{text}: found {text!r} after the @; expected {_FORMS}.") from None
    if utc > latest:
        raise UsageError(
            f"{name}@{text}: {format_time(utc)} is in the future (now: {format_time(latest)}). Use {name}@champion, "
            "or an earlier time."
        )
    return utc


def _known(name: str, versions: Sequence[int]) -> str:
    if not versions:
        return f"none was registered. `perennial run {name}` trains the first once enough has landed."
    shown = ", ".join(str(one) for one in versions[-_SHOWN:])
    earlier = f"1 to {versions[-_SHOWN] - 1}, " if len(versions) > _SHOWN else ""
    return f"known here: {earlier}{shown}. Ask for one of them, such as {name}@{versions[-1]}."
