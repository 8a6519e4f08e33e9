"""The records of `perennial history`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from tasks.records.base import Record
from tasks.records.data import Feed
from tasks.records.decision import ColumnDrift, Interval, WatchState
from tasks.records.provenance import Cost
from tasks.records.stages import StageName


class AddedFile(Record):
    """A file whose rows the version had and the other had not."""

    path: str
    feed: Feed
    rows: int
    first: datetime | None
    last: datetime | None


class DriftSummary(Record):
    """What the newest watch before the training had found; `columns` are those that moved most."""

    at: datetime
    state: WatchState
    reasons: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]


class DataChange(Record):
    """How the data differ.

    Attributes:
        rows: Observations that came in, less those that took the place of others.
        labels: Labels that came in files of their own.
        refused: Files that were refused in the same time.
        first, last: Event times of what came in.
        before_train_rows, before_holdout_rows: Those of the other version.
    """

    files: tuple[AddedFile, ...]
    rows: int
    labels: int
    refused: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    train_rows: int
    holdout_rows: int
    before_train_rows: int | None
    before_holdout_rows: int | None
    drift: DriftSummary | None


class FieldChange(Record):
    """A field of the configuration that differs."""

    field: str
    kind: Literal["changed", "added", "left out"]
    before: JsonValue
    now: JsonValue


class CodeChange(Record):
    """How the code differs.

    Attributes:
        modules: Files on which a stage depends and whose meaning differs, each with what became of it.
        before, now: Commits; empty where they are not known.
        commits: Hash and subject of each commit between that touched such a file, newest first.
    """

    modules: tuple[str, ...]
    before: str
    now: str
    commits: tuple[str, ...]


class PackageChange(Record):
    """A package whose version differs; `matters`: a stage depends on it."""

    name: str
    before: str | None
    now: str | None
    matters: bool


class VersionChange(Record):
    """How a version differs from another.

    Attributes:
        against: The other's version; None for a first one, or one that never had a number.
        why: Why it is compared with that one.
        config, code, packages: None where it is unknown; `unknown` says why.
        unknown: What is unknown, and why.
    """

    against: int | None
    why: str
    data: DataChange
    config: tuple[FieldChange, ...] | None
    code: CodeChange | None
    packages: tuple[PackageChange, ...] | None
    unknown: tuple[str, ...]


class MetricEffect(Record):
    """One metric: its value on the whole holdout, the rival's on the rows compared, and the improvement on these."""

    metric: str
    value: float | None
    rival: float | None
    improvement: Interval | None


class StageCost(Record):
    """What a stage took; `paid_by` says which version's it was, where this one took its outcome as it was."""

    stage: StageName
    cost: Cost
    money: float | None
    paid_by: str = ""


class VersionHistory(Record):
    """One evaluation of one version.

    Attributes:
        at: When it was evaluated.
        by: Who or what submitted it.
        outcome: What became of it, with the reason.
        rival: What it was compared with; None: the baseline.
        compared_rows: Rows that both had not seen.
        changes: Against the version before, and against the rival where that is another.
        total: Sum of what its own stages took; the peak is the greatest. None where nothing is known.
        money: The same by the configured prices; None without prices.
        notes: What is missing of its records.
    """

    version: int | None
    at: datetime
    by: str
    outcome: str
    reason: str
    rival: int | None
    compared_rows: int
    effects: tuple[MetricEffect, ...]
    changes: tuple[VersionChange, ...]
    stages: tuple[StageCost, ...]
    total: Cost | None
    money: float | None
    notes: tuple[str, ...]


class ChangeEffect(Record):
    """What one change did by itself.

    Attributes:
        description: The change, in words.
        effect: Improvement over the older version; None where it was not tried.
        problem: Why it was not tried; empty where it was.
    """

    name: str
    description: tuple[str, ...]
    effect: Interval | None
    problem: str = ""


class Attribution(Record):
    """How much of the difference between two versions each change made, all rebuilt with the current code.

    Attributes:
        rows: Holdout rows of the newer version that no rebuilt model was trained on.
        before_value, value: The metric of both on these rows.
        parts: Each change alone.
        whole: All changes together.
        sum: Of the parts' estimates.
        left: What the whole has beyond the sum: changes that work together or against each other.
        code: What of the code and packages changed between them; it can't be tried in place.
        notes: Whether the rebuilt versions answer as the registered ones.
    """

    pipeline: str
    before: int | None
    version: int | None
    metric: str
    rows: int
    before_value: float
    value: float
    parts: tuple[ChangeEffect, ...]
    whole: Interval
    sum: float
    left: float
    code: tuple[str, ...]
    notes: tuple[str, ...]


class History(Record):
    """A pipeline's versions as they were evaluated, oldest first.

    Attributes:
        notes: Records that can't be read.
        attribution: How much each change between two versions did, where that was asked for.
    """

    pipeline: str
    primary: str
    champion: int | None
    currency: str
    versions: tuple[VersionHistory, ...]
    notes: tuple[str, ...]
    attribution: Attribution | None = None
