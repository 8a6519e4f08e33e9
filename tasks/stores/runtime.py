"""The clock of a run, and who runs it."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime


def clock(now: datetime | None) -> datetime:
    """The run's clock: as given (UTC where it has no zone), or the present."""
    if now is None:
        return datetime.now(UTC)
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)


def actor() -> str:
    """Who runs this: PERENNIAL_ACTOR, or the operating system's user."""
    name = os.environ.get("PERENNIAL_ACTOR")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
