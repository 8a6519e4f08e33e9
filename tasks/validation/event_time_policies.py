"""The contract's event-time policies: out of order, late and future rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.contract import Policies, RowPolicy
from tasks.validation.rejections import Positions

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class PolicyViolation:
    """Rows that violate a policy.

    Attributes:
        policy: quarantine or reject.
    """

    name: str
    detail: str
    policy: RowPolicy
    rows: Positions


class EventTimePolicies:
    """Applies the policies to the rows of one file in their order.

    Args:
        policies: The contract's.
        newest: Newest event time of the files accepted before; None: there is none.
        at: The run's clock.
    """

    def __init__(self, policies: Policies, newest_event: datetime | None, at: datetime) -> None:
        self._policies = policies
        self._latest = _NEVER
        hours = policies.late_after_hours
        self._late = None if newest_event is None or hours is None else newest_event - timedelta(hours=hours)
        self._future = at + timedelta(minutes=policies.future_tolerance_minutes)

    def violations(self, times: pa.Array) -> Iterator[PolicyViolation]:
        """Yield the violations in the next rows, positions counted from the first of them.

        Args:
            times: Their event times; missing ones are ignored.
        """
        is_valid = times.is_valid().to_numpy(zero_copy_only=False)
        micros = times.cast(pa.int64()).fill_null(_NEVER).to_numpy(zero_copy_only=False)
        if self._policies.out_of_order != "accept" and len(micros):
            running_max = np.maximum.accumulate(np.concatenate([[self._latest], micros]))
            self._latest = int(running_max[-1])
            detail = "its event time is before that of an earlier row"
            yield PolicyViolation(
                "out_of_order", detail, self._policies.out_of_order, _where(is_valid & (micros < running_max[:-1]))
            )
        if self._policies.late != "accept" and self._late is not None:
            detail = (
                f"its event time is more than {self._policies.late_after_hours:g} hours before the newest "
                "accepted one; "
                f"the oldest accepted is {self._late.isoformat()}"
            )
            yield PolicyViolation(
                "late", detail, self._policies.late, _where(is_valid & (micros < _micros(self._late)))
            )
        if self._policies.future != "accept":
            detail = f"its event time is after the run's clock; the latest accepted is {self._future.isoformat()}"
            yield PolicyViolation(
                "future", detail, self._policies.future, _where(is_valid & (micros > _micros(self._future)))
            )


def _where(mask: npt.NDArray[np.bool_]) -> Positions:
    return np.flatnonzero(mask)


def _micros(timestamp: datetime) -> int:
    return round(timestamp.timestamp() * 1_000_000)
