"""Which version an address means: NAME, NAME@3, NAME@champion, NAME@2026-03-01T12:00."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from perennial.reporting.champions import live_at, told
from tasks.errors import UsageError
from tasks.stores.state.audit import ChampionPeriod

_FORMS = "a version, such as @3, or @champion, or a time, such as @2026-03-01 or @2026-03-01T12:00+01:00"
_SHOWN = 20


class Chosen(NamedTuple):
    """A version, and which one was asked for, in words."""

    version: int
    asked: str


def choose(
    name: str, what: str | None, versions: Sequence[int], reigns: Sequence[ChampionPeriod], now: datetime
) -> Chosen:
    """The version that an address means.

    Args:
        name: The pipeline.
        what: What stands after the @; None where there is none.
        versions: The versions there are, ascending.
        reigns: Who was champion when, oldest first.
        now: The present.

    Raises:
        UsageError: there is no such version, nothing was live then, or it is none of an address's forms.
    """
    if what is None or what == "champion":
        if not reigns:
            raise UsageError(f"{name} has no champion yet; {_known(name, versions)}")
        return Chosen(reigns[-1].version, "the champion now")
    if what.isascii() and what.isdigit():
        version = int(what)
        if version not in versions:
            raise UsageError(f"{name} has no version {version}; {_known(name, versions)}")
        return Chosen(version, f"version {version}")
    moment = _moment(name, what, max([now, *(one.since for one in reigns)]))
    return Chosen(live_at(name, reigns, moment).version, f"the one that was live at {told(moment)}")


def _moment(name: str, text: str, latest: datetime) -> datetime:
    """A time as people write it, in UTC; runs whose clock was set may have made a later one the present."""
    try:
        found = datetime.fromisoformat(text)
        utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{name}@{text}: found {text!r} after the @; expected {_FORMS}.") from None
    if utc > latest:
        raise UsageError(
            f"{name}@{text}: {told(utc)} is yet to come, now it is {told(latest)}. Ask for {name}@champion, or an "
            "earlier time."
        )
    return utc


def _known(name: str, versions: Sequence[int]) -> str:
    if not versions:
        return f"none was registered. `perennial run {name}` trains the first once enough has landed."
    shown = ", ".join(str(one) for one in versions[-_SHOWN:])
    earlier = f"1 to {versions[-_SHOWN] - 1}, " if len(versions) > _SHOWN else ""
    return f"known here: {earlier}{shown}. Ask for one of them, such as {name}@{versions[-1]}."
