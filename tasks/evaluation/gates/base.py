"""What a gate is, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.records.decision import GateOutcome, GateResult, Interval, MetricSet
from tasks.statistics.metrics import ModelPredictions


@dataclass(frozen=True)
class Holdout:
    """Held-out rows.

    Attributes:
        truth: True targets, shape (n_rows,).
        units: Resampling unit of each row, shape (n_rows,); None: rows.
        unseen: Mask of rows that the champion has not trained on, shape (n_rows,).
    """

    truth: npt.NDArray[Any]
    units: npt.NDArray[np.int64] | None
    unseen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GateData:
    """The rows and predictions of an evaluation, for gates that measure by themselves.

    Attributes:
        table: The holdout's rows with every column of the training set, shape (n_rows, n_columns).
        holdout: Their targets, units and which the champion has not seen.
        candidate: The candidate's predictions for them.
        baseline: The baseline's predictions for them.
        champion: The champion's predictions for them; None before the first, or if they are not available.
        folder: The folder of the candidate's files.
    """

    table: pa.Table
    holdout: Holdout
    candidate: ModelPredictions
    baseline: ModelPredictions
    champion: ModelPredictions | None
    folder: Path


@dataclass(frozen=True)
class GateInputs:
    """The inputs of the gates.

    Attributes:
        metrics: The candidate's metrics on the holdout.
        baseline: The baseline's metrics on the same rows.
        champion_version: Version of the champion; None before the first.
        comparison: Improvement over the champion, or over the baseline before the first champion; None if too few
            rows were unseen by both, or the metric is undefined on them.
        compared_rows: Number of holdout rows that neither model has seen.
        left_out_classes: Classes that only one of both models knows, whose rows are not compared.
        probe_difference: Difference of the predictions of the stored sample in a clean process; empty if none.
        train_rows: Number of training rows.
        newest_event: Event time of the newest training row.
        now: The run's clock.
        lineage: Digests and versions by name; empty ones are missing.
        data: Rows and predictions; None where only facts are known.
    """

    metrics: MetricSet
    baseline: MetricSet
    champion_version: int | None
    comparison: Interval | None
    compared_rows: int
    probe_difference: str
    train_rows: int
    newest_event: datetime | None
    now: datetime
    lineage: dict[str, str]
    left_out_classes: tuple[str, ...] = ()
    data: GateData | None = None


@dataclass(frozen=True)
class Finding:
    """What a gate found: the outcome, the reason, and the figures that it rests on."""

    outcome: GateOutcome
    reason: str
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)


class Gate(ABC):
    """A check that a candidate must pass. A subclass in a module of this package is a gate of every pipeline.

    Attributes:
        code: Its code, as in reports: a letter and two digits.
        title: Its title, in a few words.
        question: What it asks, for the documentation.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]

    def severity(self, config: PipelineConfig) -> Literal["block", "warn"]:  # noqa: ARG002  # for those that depend on it
        """Whether a failure keeps the candidate from being promoted."""
        return "block"

    @abstractmethod
    def evaluate(self, config: PipelineConfig, inputs: GateInputs) -> Finding:
        """What the gate finds. A pure function."""

    def result(self, config: PipelineConfig, inputs: GateInputs) -> GateResult:
        """What the gate finds, as the record that is stored."""
        found = self.evaluate(config, inputs)
        return GateResult(
            code=self.code,
            title=self.title,
            severity=self.severity(config),
            outcome=found.outcome,
            reason=found.reason,
            evidence=dict(found.evidence),
        )
