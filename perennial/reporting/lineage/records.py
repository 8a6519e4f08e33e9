"""The records of `perennial lineage`: one model, back to its files and forward to its predictions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tasks.records.base import Record
from tasks.records.data import BatchRecord
from tasks.records.decision import Verdict, WatchState
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest, Provenance
from tasks.stores.state.approvals import ApprovalRequest
from tasks.stores.state.audit import ChampionPeriod


class LineageProblem(Record):
    """Something of the lineage that could not be read, and where it belongs."""

    place: str
    message: str


class TableVersion(Record):
    """A version of a lake's table that the model was trained on. What could not be read is None."""

    table: Literal["observations", "labels"]
    version: int
    url: str
    at: datetime | None = None
    rows: int | None = None


class CandidateEvaluation(Record):
    """One time that the version was evaluated. `outcome` is what became of it then."""

    at: datetime
    by: str
    outcome: str
    reason: str
    evaluation: str
    verdict: Verdict


class PageLink(Record):
    """A page of a server, on the model or on a run; `target` is empty where no server is known."""

    title: str
    name: str
    target: str = ""


class PredictedFile(Record):
    """Predictions for the rows of one file. `labelled`: rows whose label has come."""

    batch: str
    path: str
    rows: int
    labelled: int
    first: datetime
    last: datetime


class LabelFile(Record):
    """A file of labels and how many predicted rows it has the label of."""

    batch: str
    path: str
    rows: int


class PredictionSummary(Record):
    """All that a version predicted, file by file in the order they came."""

    rows: int = 0
    labelled: int = 0
    first: datetime | None = None
    last: datetime | None = None
    files: tuple[PredictedFile, ...] = ()
    labels: tuple[LabelFile, ...] = ()


class MonitoringCheck(Record):
    """One look at a version while it was champion."""

    kind: Literal["drift", "performance"]
    at: datetime
    state: WatchState
    reasons: tuple[str, ...]


class ComparedCandidate(Record):
    """A candidate that was compared with the version. `version` is None while it has none."""

    version: int | None
    at: datetime
    outcome: str
    reason: str


class Lineage(Record):
    """One version of one pipeline: what it is made of, how it was evaluated, what came of it.

    Attributes:
        asked: Which one was asked for, in words.
        champion: The version that is champion now.
        problems: What could not be read; the rest is here.
        accepted: Files that its data are made of, in the order they came.
        refused: Files that were refused until it was evaluated.
        provenance: What it was made from, as stored with it.
        ingestions: Manifests of the runs that took its files in.
        features, training, evaluation, release: Manifests of the stages that made it; None where none was found.
        evaluations: Every time it was evaluated, oldest first; `newest_evaluation` is the one that counts.
        approval: The newest request for a person's approval of it; its state as of now, alone and in words.
        rivals: Candidates that were compared with it.
        replaced_by: Versions that took its place as champion, in order.
    """

    pipeline: str
    description: str
    asked: str
    version: int
    champion: int | None
    problems: tuple[LineageProblem, ...]
    model: ModelRef
    accepted: tuple[BatchRecord, ...]
    refused: tuple[BatchRecord, ...]
    tables: tuple[TableVersion, ...]
    provenance: Provenance | None
    ingestions: tuple[Manifest, ...]
    features: Manifest | None
    training: Manifest | None
    evaluation: Manifest | None
    release: Manifest | None
    newest_evaluation: CandidateEvaluation
    evaluations: tuple[CandidateEvaluation, ...]
    approval: ApprovalRequest | None
    approval_state: str
    approval_told: str
    champion_periods: tuple[ChampionPeriod, ...]
    pages: tuple[PageLink, ...]
    predictions: PredictionSummary
    watched: tuple[MonitoringCheck, ...]
    rivals: tuple[ComparedCandidate, ...]
    replaced_by: tuple[int, ...]

    @property
    def code(self) -> dict[str, str]:
        """Digest of each module that had a part in it, by path."""
        known = [one.parts.code for one in (self.features, self.training, self.evaluation) if one]
        if self.provenance:
            known = [self.provenance.features.code, self.provenance.training.code, *known]
        return dict(sorted((path, digest) for part in known for path, digest in part.items()))

    @property
    def stages(self) -> tuple[Manifest, ...]:
        """The manifests that were found, in the order of the stages."""
        last = (self.features, self.training, self.evaluation, self.release)
        return (*self.ingestions, *(one for one in last if one is not None))

    @property
    def holdout_rows(self) -> int:
        """Rows that it was evaluated on."""
        return self.newest_evaluation.verdict.metrics.rows

    def problem(self, *places: str) -> tuple[str, ...]:
        """What could not be read of some places."""
        return tuple(one.message for one in self.problems if one.place in places)
