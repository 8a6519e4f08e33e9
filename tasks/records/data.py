"""Records of data: landed files, batches, datasets, training sets. Frames stay in the lake."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from configs.schema import PipelineConfig
from tasks.records.base import Record, StoredRecord, digest

Feed = Literal["observations", "labels"]

BatchVerdict = Literal["accepted", "rejected"]

# The rules of a refused file that is never validated anew: it was dropped, or another stands for it.
NEVER_REVALIDATE = "*"


def rules_digest(config: PipelineConfig) -> str:
    """Digest of what landed files are validated by."""
    return digest(
        config.model_dump(mode="json", include={"source", "labels", "contract", "expectations", "validation"})
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
        checked: Rows that it validated; 0 where it validates a column or the table.
        unexpected: Rows that failed it.
        observed: What it measured of a column or the table.
        sample: Some of the failing values.
        detail: Why it failed, in words; empty where it holds.
    """

    expectation: str
    column: str
    arguments: dict[str, JsonValue] = Field(default={})
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
        rules: Digest of what the file was validated by: how it is read, the contract, the expectations. A file that was
            refused is validated anew when that changes.
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
        content: For a random split where the contract has no key: the columns whose content tells rows apart.
    """

    kind: Literal["time", "random", "group"]
    holdout: float
    column: str | None = None
    boundary_us: int | None = None
    content: tuple[str, ...] = ()


class TrainingSetRef(StoredRecord):
    """Training and holdout rows, stored for the stages that follow.

    Attributes:
        digest: Identity: digest of the data's and of all else that it was made by, but not of where it lies.
    """

    schema_number: ClassVar[int] = 2

    digest: str
    dataset: DatasetRef
    folder: str
    split: SplitRecord
    train_rows: int
    holdout_rows: int
    newest_event: datetime | None
