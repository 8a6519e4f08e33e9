"""When a pipeline's nightly runs are: spread by its name, as hundreds must not start in one minute."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

_FIRST, _MINUTES = 2 * 60, 4 * 60  # of the day, UTC: 02:00 to 05:59
_UPKEEP_AFTER = timedelta(hours=1)  # what the nightly run wrote is merged with the rest


def nightly_minute(pipeline: str) -> int:
    """The minute of the day, UTC, at which a pipeline's nightly lifecycle run begins."""
    return _FIRST + int.from_bytes(hashlib.sha256(pipeline.encode()).digest()[:4]) % _MINUTES


def last_upkeep_time(pipeline: str, now: datetime) -> datetime:
    """The latest time, not after `now`, at which a pipeline's nightly upkeep is due."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = midnight + timedelta(minutes=nightly_minute(pipeline)) + _UPKEEP_AFTER
    return today if today <= now else today - timedelta(days=1)
