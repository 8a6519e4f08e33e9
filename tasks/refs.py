"""The records that stages hand each other: small, frozen, printable. Frames stay in the lake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import to_json

from configs.contract import Column
from configs.schema import Metric, PipelineConfig
from tasks.errors import PerennialError
from tasks.stage_names import TrainingStage

Feed = Literal["observations", "labels"]
BatchVerdict = Literal["accepted", "rejected"]
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


# Where a stored record's JSON has the number of its schema.
SCHEMA = "schema"
# The rules of a refused file that is never judged anew: it was dropped, or another stands for it.
FOR_GOOD = "*"


def rules_digest(config: PipelineConfig) -> str:
    """Digest of what landed files are judged by."""
    return digest(
        config.model_dump(mode="json", include={"source", "labels", "contract", "expectations", "validation"})
    )


def artifact_key(pipeline: str, stage: str) -> str:
    """Key of a stage's page in Prefect, which takes small letters, digits and dashes."""
    return f"{pipeline.replace('_', '-')}-{stage}"


def digest(value: JsonValue | Mapping[str, JsonValue] | Iterable[JsonValue]) -> str:
    """SHA-256, in hexadecimal, of a JSON value in its canonical form: sorted keys, no spaces."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Record(BaseModel):
    """A frozen fact."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Row = TypeVar("Row", bound=Record)


class NewerRecordError(PerennialError):
    """A stored record of a newer version of Perennial, of which this one can't read what it must."""


class StoredRecord(Record):
    """A record that outlives the process that made it, and is read by other versions of this code.

    Stored as a JSON document that has, beside the fields, the number of its schema: under `schema`, 1 where it is
    absent. Written by `document` or `stored_json`, read by `model_validate_json`.

    Attributes:
        schema_number: Goes up with every change of the fields, also of those of records within.
        upgrades: Makes a document of schema N one of N + 1, by N; where there is none, its fields mean the same.
    """

    schema_number: ClassVar[int] = 1
    upgrades: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

    def document(self) -> dict[str, JsonValue]:
        """What is stored."""
        return {SCHEMA: self.schema_number, **self.model_dump(mode="json")}

    def stored_json(self, indent: int | None = None) -> str:
        """The same as text."""
        return to_json(self.document(), indent=indent, inf_nan_mode="null").decode()

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """A stored record of this or another version: fields that are not known are ignored, at any depth.

        Raises:
            NewerRecordError: a newer version wrote it, and a field that is known here is absent or has another value.
            ValidationError: it is damaged.
        """
        found = _parsed(json_data)
        number = found.get(SCHEMA, 1) if found else cls.schema_number
        if number < cls.schema_number:
            for step in range(number, cls.schema_number):
                found = cls.upgrades.get(step, _same)(found)
            json_data = json.dumps(found)
        try:
            return super().model_validate_json(json_data, **options, extra="ignore")
        except ValidationError as error:
            if number > cls.schema_number:
                raise NewerRecordError(_newer(cls.__name__, number, cls.schema_number, error)) from error
            raise


def read_row(kind: type[Row], row: Mapping[str, Any], place: str) -> Row:
    """A record that is stored as a row: columns that are not known, and cells that are empty, are left out.

    Args:
        kind: The record.
        row: The row. A column that came later is empty in older rows: the field has its default.
        place: Where it is stored, for the error.

    Raises:
        NewerRecordError: a value is none that this code knows.
    """
    fields = kind.model_fields
    known = {name: row[name] for name in row.keys() & fields.keys()}
    given = {name: value for name, value in known.items() if value is not None or fields[name].is_required()}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise NewerRecordError(
            f"{place} has a row that this version of Perennial can't read: {_wrong(error)}. A newer version wrote it, "
            "or it is damaged. Upgrade Perennial, or restore the table."
        ) from error


def _parsed(json_data: str | bytes | bytearray) -> dict[str, Any]:
    """The document; empty where it is damaged, of which the reader says what is wrong."""
    try:
        found = json.loads(json_data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get(SCHEMA, 1), int) else {}


def _same(document: dict[str, Any]) -> dict[str, Any]:
    return document


def _wrong(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in wrong["loc"]) or "it"
    return f"{where}: {wrong['msg']}, found {str(wrong['input'])[:60]!r}"


def _newer(kind: str, found: int, known: int, error: ValidationError) -> str:
    return (
        f"A stored {kind} was written by a newer version of Perennial: found schema {found}, this version knows "
        f"{known}, and can't read it: {_wrong(error)}. Upgrade Perennial."
    )


class LandedFile(Record):
    """A file in a landing folder, known by its content.

    Attributes:
        feed: Which table it is meant for.
        path: Where it lies, relative to the landing folder.
        uri: Where it lies, absolute.
        size: Bytes.
        mtime_ns: Time of its last change, nanoseconds since 1970.
        sha256: Hexadecimal digest of its bytes: the batch's identity.
        origin: Where it lies: where files land, or among those that quarantine gives back.
    """

    feed: Feed
    path: str
    uri: str
    size: int
    mtime_ns: int
    sha256: str
    origin: Literal["landing", "readmitted"] = "landing"


class StagedBatch(Record):
    """A landed file read into the contract's types, waiting for validation, or the reason why it could not be read.

    Attributes:
        staged: The Arrow file of its rows.
        lines: What makes the number of a data row the number of its line; None where the file has no lines.
        notes: What a person should know of how it was read: columns renamed, absent, ignored.
    """

    file: LandedFile
    staged: str = ""
    rows: int = 0
    refusal: str = ""
    lines: int | None = None
    notes: tuple[str, ...] = ()


class ExpectationResult(Record):
    """What one expectation found in one batch.

    Attributes:
        arguments: Its arguments, but for the column.
        checked: Rows that it judged; 0 where it judges a column or the table.
        unexpected: Rows that failed it.
        observed: What it measured of a column or the table.
        sample: Some of the failing values.
        detail: Why it failed, in words; empty where it holds.
    """

    expectation: str
    column: str
    arguments: dict[str, JsonValue] = {}
    severity: Literal["critical", "warning"]
    success: bool
    checked: int = 0
    unexpected: int
    observed: JsonValue = None
    sample: tuple[JsonValue, ...] = ()
    detail: str = ""


class BatchRecord(Record):
    """A row of the ledger: one file and what became of it.

    Attributes:
        rules: Digest of what the file was judged by: how it is read, the contract, the expectations. A file that was
            refused is judged anew when that changes.
        rows: Rows of the file: those accepted, quarantined and recorded as duplicates.
        superseded: Rows of earlier files that this one's took the place of.
        former: The batch that came under the same name before, with other content.
        notes: What a person should know of how the file was read.
    """

    seq: int
    batch: str
    feed: Feed
    path: str
    size: int
    mtime_ns: int
    verdict: BatchVerdict
    rules: str
    reasons: tuple[str, ...]
    rows: int
    accepted: int
    quarantined: int
    duplicates: int = 0
    superseded: int = 0
    former: str | None = None
    notes: tuple[str, ...] = ()
    event_time_min: datetime | None
    event_time_max: datetime | None
    ingested_at: datetime


class IngestReport(Record):
    """What one ingest run did, batch by batch."""

    pipeline: str
    batches: tuple[BatchRecord, ...] = ()

    @property
    def accepted(self) -> tuple[BatchRecord, ...]:
        """The batches that came in."""
        return tuple(batch for batch in self.batches if batch.verdict == "accepted")

    @property
    def rejected(self) -> tuple[BatchRecord, ...]:
        """The batches that were refused whole."""
        return tuple(batch for batch in self.batches if batch.verdict == "rejected")


class DatasetRef(Record):
    """The accepted data of a pipeline at one moment.

    Attributes:
        digest: Identity: digest of the accepted batches' hashes. Unchanged by compaction.
        observations: Version of the Delta table to read by; None before the first batch.
        labels: The same of the labels' table; None where labels come with the observations.
        through_seq: Sequence number of the newest accepted batch.
        rows: Accepted observations.
        labelled: Rows whose label is known, or the observations where labels come with them.
    """

    pipeline: str
    digest: str
    observations: int | None
    labels: int | None
    through_seq: int
    rows: int
    labelled: int


class SplitRecord(Record):
    """How a holdout was chosen: enough to tell of any row, later, whether it was in it.

    Attributes:
        column: The column that the split goes by: the event time or the group; None for a random split.
        boundary_us: For a time split, the event time (microseconds since 1970, UTC) from which rows are held out.
    """

    kind: Literal["time", "random", "group"]
    holdout: float
    column: str | None = None
    boundary_us: int | None = None


class TrainingSetRef(StoredRecord):
    """Training and holdout rows, stored for the stages that follow.

    Attributes:
        digest: Identity: digest of the data's and of all else that it was made by, but not of where it lies.
    """

    digest: str
    dataset: DatasetRef
    folder: str
    split: SplitRecord
    train_rows: int
    holdout_rows: int
    newest_event: datetime | None


class ModelRef(StoredRecord):
    """One logged model: where it lies and what it was made from.

    Attributes:
        folder: Its files on local disk: model.skops and, below extra_files, a probe, a reference sample, the baseline.
        recipe: Digest of all that decides what it is but the data: configuration, code, libraries, seed.
        training: Fingerprint of its training: the recipe and the data.
        columns: Columns that its Pipeline takes, in order, as the contract had them.
        through_seq: Sequence number of the newest batch that it was trained on.
        labelled: Labelled rows there were when it was trained.
        observations, labels: Versions of the Delta tables that it was trained on. Models of before that was noted have
            no version of `observations`.
    """

    pipeline: str
    run_id: str
    model_uri: str
    folder: str
    version: int | None = None
    recipe: str
    training: str
    columns: dict[str, Column]
    dataset_digest: str
    through_seq: int
    labelled: int
    observations: int | None = None
    labels: int | None = None
    train_rows: int
    newest_event: datetime | None
    split: SplitRecord

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Names of the columns that its Pipeline takes, in order."""
        return tuple(self.columns)


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
    evidence: dict[str, JsonValue] = {}

    @property
    def blocks(self) -> bool:
        """Whether this result keeps the candidate from being promoted."""
        return self.severity == "block" and self.outcome in ("fail", "not_applicable", "error")


class Verdict(StoredRecord):
    """The gates' judgement of a candidate against one champion.

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
    effects: dict[str, Interval] = {}
    answers: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was turned down; empty where it passed."""
        return tuple(f"{gate.code} {gate.title}: {gate.reason}" for gate in self.gates if gate.blocks)


class Candidate(StoredRecord):
    """A judged candidate, waiting for its release: what the audit keeps of a training.

    Attributes:
        evaluation: Fingerprint of its evaluation: judged anew under other gates, it is another candidate.
        recipes: Digest of all that each stage depended on but its inputs, by the stage.
    """

    model: ModelRef
    verdict: Verdict
    evaluation: str
    recipes: dict[TrainingStage, str]


class Trained(Record):
    """What one training came to.

    Attributes:
        verdict: The judgement; None where the run ended before it.
        put_forward: Whether a candidate was put forward that was not known.
    """

    verdict: Verdict | None = None
    put_forward: bool = False


class Promotion(StoredRecord):
    """What became of a judged candidate. `approval` is gate A01, where a person was asked and the answer is there."""

    outcome: Outcome
    version: int
    champion: int | None
    previous: int | None
    reasons: tuple[str, ...]
    approval: GateResult | None = None


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
        holdout: What it was on the holdout when the champion was judged.
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
            only how it is fitted, or judged, changed.
    """

    due: bool
    reasons: tuple[str, ...]
    new_rows: int
    recipe: str
    start_from: TrainingStage = "features"


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
    metrics: dict[str, float] = {}
    baseline: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    gates: tuple[GateResult, ...] = ()
    drift: DriftVerdict | None = None
    performance: PerformanceVerdict | None = None
    ingest: IngestReport
    scored: int = 0
    stages: tuple[StageRecord, ...] = ()


class RolloutCheck(Record):
    """What one check of a rollout found; `not_applicable` where there is too little to tell."""

    name: Literal["errors", "latency", "predictions", "labels", "deadline"]
    outcome: Literal["pass", "fail", "not_applicable"]
    reason: str
    figures: dict[str, float] = {}


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
