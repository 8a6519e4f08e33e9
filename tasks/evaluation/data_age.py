"""The age of the data that a model was trained on: a rule of gate P01, and an input of the evaluation."""

from __future__ import annotations

from datetime import datetime


def data_age_violation(newest_event: datetime | None, now: datetime, max_days: float | None) -> str:
    """Return the violation of the maximum age of the newest training row; empty if none."""
    if max_days is None:
        return ""
    if newest_event is None:
        return "the data's age is unknown: no event time"
    age = (now - newest_event).total_seconds() / 86_400
    return f"newest training row is {age:.1f} days old, at most {max_days:g} are allowed" if age > max_days else ""
