"""What the contract's policies say of event times: rows out of order, late rows, rows from the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.contract import Policies, RowPolicy
from tasks.validation.refusals import Positions

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Finding:
    """Rows that a policy does not accept.

    Attributes:
        policy: quarantine or reject.
    """

    name: str
    detail: str
    policy: RowPolicy
    rows: Positions


class EventTimes:
    """The policies, applied to the rows of one file in their order.

    Args:
        policies: The contract's.
        newest: Newest event time that came in with earlier files; None where there is none.
        at: The run's clock.
    """

    def __init__(self, policies: Policies, newest: datetime | None, at: datetime) -> None:
        self._policies = policies
        self._latest = _NEVER
        hours = policies.late_after_hours
        self._late = None if newest is None or hours is None else newest - timedelta(hours=hours)
        self._future = at + timedelta(minutes=policies.future_tolerance_minutes)

    def findings(self, times: pa.Array) -> Iterator[Finding]:
        """What is against the next rows, positions counted from the first of them.

        Args:
            times: Their event times; missing ones are left alone.
        """
        known = times.is_valid().to_numpy(zero_copy_only=False)
        micros = times.cast(pa.int64()).fill_null(_NEVER).to_numpy(zero_copy_only=False)
        if self._policies.out_of_order != "accept" and len(micros):
            before = np.maximum.accumulate(np.concatenate([[self._latest], micros]))
            self._latest = int(before[-1])
            detail = "its event time lies before that of a row above it"
            yield Finding("out_of_order", detail, self._policies.out_of_order, _where(known & (micros < before[:-1])))
        if self._policies.late != "accept" and self._late is not None:
            detail = (
                f"its event time lies more than {self._policies.late_after_hours:g} hours before the newest that came "
                f"in before; the oldest taken is {self._late.isoformat()}"
            )
            yield Finding("late", detail, self._policies.late, _where(known & (micros < _micros(self._late))))
        if self._policies.future != "accept":
            detail = f"its event time lies after the run's clock; the latest taken is {self._future.isoformat()}"
            yield Finding("future", detail, self._policies.future, _where(known & (micros > _micros(self._future))))


def _where(mask: npt.NDArray[np.bool_]) -> Positions:
    return np.flatnonzero(mask)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
