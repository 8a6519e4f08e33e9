"""Records of decisions: verdicts of gates, candidates, promotions, drift, performance, retraining."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from configs.schema import Metric
from tasks.records.base import Record, StoredRecord
from tasks.records.model import ModelRef
from tasks.records.stages import TrainingStage

GateOutcome = Literal["pass", "fail", "warn", "not_applicable", "error"]

WatchState = Literal["ok", "warn", "act", "unknown"]

Outcome = Literal[
    "promoted",
    "kept_champion",
    "awaiting_approval",
    "rolling_out",
    "rolled_back",
    "nothing_to_do",
    "stopped",
    "data_rejected",
    "failed",
]


class MetricSet(Record):
    """Metrics of one model on one set of rows, each in its natural sign."""

    rows: int
    values: dict[str, float]


class Interval(Record):
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float
    confidence: float


class GateResult(Record):
    """What one gate found."""

    code: str
    title: str
    severity: Literal["block", "warn"]
    outcome: GateOutcome
    reason: str
    evidence: dict[str, JsonValue] = Field(default={})

    @property
    def blocks(self) -> bool:
        """Whether this result keeps the candidate from being promoted."""
        return self.severity == "block" and self.outcome in ("fail", "not_applicable", "error")


class Verdict(StoredRecord):
    """The gates' evaluation of a candidate against one champion.

    Attributes:
        comparison: Improvement of the primary metric over the champion, or over the baseline before the first.
        effects: The same of every metric, on the same rows and draws.
        answers: Digest of the candidate's predictions for the whole holdout.
    """

    passed: bool
    gates: tuple[GateResult, ...]
    metrics: MetricSet
    baseline: MetricSet
    champion_version: int | None
    champion_metrics: MetricSet | None
    primary: Metric
    comparison: Interval | None
    effects: dict[str, Interval] = Field(default={})
    answers: str = ""

    @property
    def outcome(self) -> Literal["passed", "rejected"]:
        """Whether the gates let the candidate through."""
        return "passed" if self.passed else "rejected"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was rejected; empty where it passed."""
        return tuple(f"{gate.code} {gate.title}: {gate.reason}" for gate in self.gates if gate.blocks)


class Candidate(StoredRecord):
    """An evaluated candidate, waiting for its release: what the audit keeps of a training.

    Attributes:
        evaluation: Fingerprint of its evaluation: evaluated anew under other gates, it is another candidate.
        recipes: Digest of all that each stage depended on but its inputs, by the stage.
    """

    schema_number: ClassVar[int] = 2

    model: ModelRef
    verdict: Verdict
    evaluation: str
    recipes: dict[TrainingStage, str]


class TrainingOutcome(Record):
    """What one training came to.

    Attributes:
        verdict: The evaluation; None where the run ended before it.
        put_forward: Whether a candidate was submitted that was not known.
    """

    verdict: Verdict | None = None
    submitted: bool = False


class Promotion(StoredRecord):
    """What became of an evaluated candidate. `approval` is gate A01, where a person was asked and has answered."""

    outcome: Outcome
    version: int
    champion: int | None
    previous: int | None
    reasons: tuple[str, ...]
    approval: GateResult | None = None


class ColumnDrift(Record):
    """Drift of one column.

    Attributes:
        effect: Wasserstein distance in standard deviations of the reference, or Jensen-Shannon distance.
        p_value: Holm-adjusted over the watched columns.
    """

    column: str
    measure: Literal["wasserstein", "jensen_shannon", "missing"]
    effect: float
    p_value: float
    drifted: bool


class DriftVerdict(StoredRecord):
    """Whether newest data still look like what the champion was trained on."""

    state: WatchState
    reasons: tuple[str, ...]
    champion: int | None
    columns: tuple[ColumnDrift, ...] = ()
    window_rows: int = 0
    reference_rows: int = 0
    batches: tuple[str, ...] = ()
    through_seq: int = 0


class PerformanceVerdict(StoredRecord):
    """Whether the champion's predictions are still as good as on its holdout, now that labels have come for them.

    Attributes:
        metric: The primary metric, in its natural sign and unit.
        holdout: What it was on the holdout when the champion was evaluated.
        current: What it is on the newest batches that have labels; its interval says how sure that is.
        limit: From where on it is too bad.
        rows: Predicted rows with a label.
        batches: Files of the observations looked at.
        through_seq: Sequence number of the newest batch, of observations scored or of labels, that was there.
    """

    state: WatchState
    reasons: tuple[str, ...]
    champion: int | None
    metric: Metric
    holdout: float | None = None
    current: float | None = None
    interval: Interval | None = None
    limit: float | None = None
    rows: int = 0
    batches: tuple[str, ...] = ()
    through_seq: int = 0


class MonitorReport(Record):
    """What watching found."""

    drift: DriftVerdict
    performance: PerformanceVerdict


class RetrainDecision(StoredRecord):
    """Whether a new model is due, why, and from which stage on.

    Attributes:
        start_from: The first stage that is due: `features` where there are new rows, `training` or `evaluation` where
            only how it is fitted, or evaluated, changed.
    """

    due: bool
    reasons: tuple[str, ...]
    new_rows: int
    recipe: str
    start_from: TrainingStage = "features"

    @property
    def outcome(self) -> Literal["due", "wait"]:
        """The decision in a word."""
        return "due" if self.due else "wait"
