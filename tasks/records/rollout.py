"""Records of a rollout: who is shown which version, what was checked, what was decided."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tasks.records.base import Record, StoredRecord


class Exposure(StoredRecord):
    """How much of the traffic a challenger is shown: what its tag in the registry says, and the service goes by.

    Attributes:
        rollout: The rollout that it is part of: its id in the audit.
        step: Number of the step within the rollout, from 0.
        kind: shadow: its answers are kept and not returned. canary: a share of the keys gets them.
        share: That share; 0 in a shadow.
        since: When the step began.
    """

    rollout: int
    step: int
    kind: Literal["shadow", "canary"]
    share: float
    since: datetime


class RolloutCheck(Record):
    """What one check of a rollout found; `not_applicable` where there is too little to tell."""

    name: Literal["errors", "latency", "predictions", "labels", "deadline"]
    outcome: Literal["pass", "fail", "not_applicable"]
    reason: str
    figures: dict[str, float] = Field(default={})


class RolloutDecision(Record):
    """What is to become of a rollout, by one look at its records.

    Attributes:
        step: Number of the step within the rollout, from 0, of `steps`.
        answered: Rows that the new version has answered in this step.
        reasons: What is missing; or why it goes on, or back.
    """

    action: Literal["go_on", "advance", "promote", "roll_back"]
    step: int
    steps: int
    answered: int
    reasons: tuple[str, ...]
    checks: tuple[RolloutCheck, ...]
