"""What the prediction log receives, and what it reports to the service's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

Role = Literal["champion", "canary", "shadow", "control"]
# full: the limit for files that wait for the lake. disk: it could not be written. unfit: not of the table's schema.
DropReason = Literal["full", "disk", "unfit"]


class PredictionRecord(NamedTuple):
    """One version's answers for some rows of a request. Nothing in it may be changed once it was put.

    Attributes:
        pipeline: The pipeline asked.
        request: The request's id.
        at_us: When it came, microseconds since 1970.
        role: champion, canary: returned. shadow, control: kept only.
        version: The version that answered.
        positions: The rows' numbers within the request, from 0.
        columns: Contract values by column, each as long as `positions`: a list or an array of numpy; timestamps as
            integers, microseconds UTC; None (or NaN in an array) where missing.
        predictions: As long as `positions`; None where there is no answer.
        probabilities: By class name, each as long as `positions`; empty for a regression.
        latency_ms: From the request's arrival to the answer.
        predict_ms: Within the model.
        error: Why there is no prediction; empty where there is one.
        keep: Kept whatever the sample says: the challenger is asked the same rows. All roles but champion always are.
    """

    pipeline: str
    request: str
    at_us: int
    role: Role
    version: int
    positions: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    predictions: Sequence[Any] | None
    probabilities: Mapping[str, Sequence[float]]
    latency_ms: float
    predict_ms: float
    error: str
    keep: bool = False


class InputCounts(NamedTuple):
    """What came in for one column since the last time. `total` and `squares` are of numbers, `unseen` of `allowed`."""

    values: int
    missing: int
    total: float
    squares: float
    unseen: int


class Meters(Protocol):
    """What the log tells while it works, from threads of its own (`dropped` also from the caller's). Must not block."""

    def written(self, pipeline: str, rows: int) -> None:
        """Rows are on disk."""

    def shipped(self, pipeline: str, rows: int) -> None:
        """Rows are in the lake; whichever worker had them."""

    def dropped(self, pipeline: str, rows: int, why: DropReason) -> None:
        """Rows will never be in the lake, though nobody was killed."""

    def lost(self, pipeline: str, rows: int) -> None:
        """A worker that was killed had rows in memory. Reported by the one worker that found its files."""

    def waiting(self, files: int, size: int) -> None:
        """Files that wait for the lake, of all workers, and their bytes."""

    def inputs(self, pipeline: str, column: str, counts: InputCounts) -> None:
        """What came in for a column, whether it is kept or not; rows asked twice, in a rollout, count once."""
