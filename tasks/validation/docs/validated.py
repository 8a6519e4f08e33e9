"""What the lake says of validated batches: the newest of them, each with what its expectations found."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from tasks.records.base import Record
from tasks.records.data import BatchRecord, ExpectationResult
from tasks.stores.lake.schemas import SEQ
from tasks.stores.lake.tables import Lake

_SEQ = SEQ.lstrip("_")


class BatchWithResults(Record):
    """One batch of the ledger with the results of its expectations, in the order in which they were asked.

    Attributes:
        results: Empty where the file could not be read.
    """

    batch: BatchRecord
    results: tuple[ExpectationResult, ...] = ()

    @property
    def failed(self) -> tuple[ExpectationResult, ...]:
        """Expectations that do not hold, warnings among them."""
        return tuple(one for one in self.results if not one.success)

    @property
    def holds(self) -> bool:
        """Whether the file came in and every critical expectation holds."""
        return self.batch.verdict == "accepted" and not any(one.severity == "critical" for one in self.failed)

    @property
    def verdict(self) -> str:
        """What became of the file, in words."""
        one = self.batch
        if one.verdict == "rejected":
            return "rejected: " + "; ".join(one.reasons)
        counts = {"in quarantine": one.quarantined, "duplicates": one.duplicates}
        beside = "".join(f", {count} {what}" for what, count in counts.items() if count)
        return f"accepted: {one.accepted} of {one.rows} rows{beside}"


def newest(lake: Lake, count: int) -> list[BatchWithResults]:
    """The newest batches of the ledger, oldest first, each with what was found when its verdict was given."""
    return with_results(lake, lake.ledger()[-count:])


def with_results(lake: Lake, batches: Sequence[BatchRecord]) -> list[BatchWithResults]:
    """Batches, each with what its expectations found."""
    if not batches:
        return []
    wanted = pc.field(_SEQ).isin(pa.array([one.seq for one in batches], pa.int64()))
    results = _results(lake.read("expectations", where=wanted).to_pylist())
    return [BatchWithResults(batch=one, results=results.get((one.feed, one.batch, one.seq), ())) for one in batches]


def _results(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, int], tuple[ExpectationResult, ...]]:
    """Results by feed, batch and sequence number."""
    results_by_batch: dict[tuple[str, str, int], dict[int, ExpectationResult]] = defaultdict(dict)
    for row in sorted(rows, key=lambda one: (one["number"], one["at"])):
        results_by_batch[row["feed"], row["batch"], row[_SEQ]][row["number"]] = _result(row)
    return {batch: tuple(results.values()) for batch, results in results_by_batch.items()}


def _result(row: Mapping[str, Any]) -> ExpectationResult:
    return ExpectationResult(
        expectation=row["expectation"],
        column=row["column"] or "",
        arguments=_json(row["arguments"]) or {},
        severity=row["severity"],
        success=row["success"],
        checked=row["checked"] or 0,
        unexpected=row["unexpected"] or 0,
        observed=_json(row["observed"]),
        sample=tuple(_json(row["sample"]) or ()),
        detail=row["detail"] or "",
    )


def _json(text: str | None) -> Any:
    value: JsonValue = json.loads(text) if text else None
    return value
