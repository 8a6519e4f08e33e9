"""Records of what a run did."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.records.base import Record
from tasks.records.data import IngestReport
from tasks.records.decision import DriftVerdict, GateResult, Outcome, PerformanceVerdict


class ScoreReport(Record):
    """What one scoring run wrote.

    Attributes:
        rows: How many it scored.
        batches: The files they are of.
        output: The file that they went to; empty where it is a table of the lake.
        table: The lake's table, where they went into one.
        input_sha256: Digest of the bytes of the file that was scored; empty for observations.
        known: Whether the same file was scored by the same version before, so that nothing was done.
    """

    version: int
    rows: int
    batches: tuple[str, ...] = ()
    output: str = ""
    table: str = ""
    input_sha256: str = ""
    known: bool = False


class StageRecord(Record):
    """One stage of one run, or another step of a command that is timed."""

    name: str
    state: Literal["done", "reused", "skipped", "failed"]
    seconds: float
    note: str = ""


class LifecycleReport(Record):
    """What one run of a pipeline's whole life came to."""

    pipeline: str
    outcome: Outcome
    reasons: tuple[str, ...]
    version: int | None = None
    champion: int | None = None
    metrics: dict[str, float] = Field(default={})
    baseline: dict[str, float] = Field(default={})
    champion_metrics: dict[str, float] = Field(default={})
    gates: tuple[GateResult, ...] = ()
    drift: DriftVerdict | None = None
    performance: PerformanceVerdict | None = None
    ingest: IngestReport
    scored: int = 0
    stages: tuple[StageRecord, ...] = ()
