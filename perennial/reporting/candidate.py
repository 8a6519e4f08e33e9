"""One candidate, as a pull request or a job's summary shows it: no pandas, MLflow or Prefect is imported for it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.monitoring.verdicts import newest_drift
from tasks.records.base import Record
from tasks.records.data import BatchRecord
from tasks.records.decision import Candidate, DriftVerdict, GateResult, Interval
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import evaluated


class Link(Record):
    """A page or a file that exists."""

    title: str
    target: str


class Point(Record):
    """The primary metric at one candidate: its own, its champion's, the baseline's."""

    label: str
    candidate: float | None
    champion: float | None
    baseline: float | None


class CandidateData(Record):
    """What a candidate was trained and evaluated on.

    Attributes:
        files: Accepted files that the candidate before it had not seen.
        rows: Their observations.
        refused: Files that were refused in the same time, each with its reason.
    """

    digest: str
    labelled: int
    train_rows: int
    holdout_rows: int
    split: str
    newest_event: datetime | None
    files: tuple[str, ...]
    rows: int
    refused: tuple[str, ...]


class CandidateReport(Record):
    """A candidate and how it was evaluated. `compared_with` is the champion of that moment."""

    at: datetime
    version: int | None
    outcome: str
    reason: str
    run_id: str
    primary: str
    metrics: dict[str, float]
    champion_metrics: dict[str, float]
    baseline: dict[str, float]
    compared_with: int | None
    comparison: Interval | None
    gates: tuple[GateResult, ...]
    data: CandidateData


class PipelineCandidateReport(Record):
    """A pipeline's champion now, one of its candidates (None: none was evaluated yet), and where to read more."""

    pipeline: str
    description: str
    champion: int | None
    candidate: CandidateReport | None
    drift: DriftVerdict | None
    points: tuple[Point, ...]
    links: tuple[Link, ...]


def read(config: PipelineConfig, settings: Settings, version: int | None = None) -> PipelineCandidateReport:
    """What the stores know of the newest candidate, or of a version.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        version: A registered version; the newest candidate by default.

    Raises:
        UsageError: there is no such version.
    """
    lake, audit = Lake(settings, config), Audit(settings)
    history = evaluated(audit, config.name)
    index = _candidate_index(config.name, history, version)
    ledger = lake.ledger()
    return PipelineCandidateReport(
        pipeline=config.name,
        description=config.description,
        champion=audit.champion(config.name),
        candidate=None if index is None else _candidate(history, index, ledger),
        drift=newest_drift(lake),
        points=tuple(_point(*one) for one in history),
        links=() if index is None else links(settings, config.name, history[index][1], history[index][3]),
    )


_Evaluated = list[tuple[datetime, Candidate, str, int | None]]


def _candidate_index(pipeline: str, history: _Evaluated, version: int | None) -> int | None:
    if version is None:
        return len(history) - 1 if history else None
    indices = [place for place, one in enumerate(history) if one[3] == version]
    if not indices:
        known = ", ".join(str(one[3]) for one in history if one[3] is not None) or "none yet"
        raise UsageError(
            f"{pipeline} has no version {version}; known here: {known}. Leave --version out for the newest."
        )
    return indices[-1]


def _candidate(history: _Evaluated, index: int, ledger: list[BatchRecord]) -> CandidateReport:
    at, candidate, outcome, version = history[index]
    model, verdict = candidate.model, candidate.verdict
    before = history[index - 1][1].model.through_seq if index else 0
    return CandidateReport(
        at=at,
        version=version,
        outcome=outcome,
        reason="; ".join(verdict.reasons) or "; ".join(gate.reason for gate in verdict.gates if gate.code == "Q02"),
        run_id=model.run_id,
        primary=verdict.primary,
        metrics=dict(sorted(verdict.metrics.values.items(), key=lambda one: one[0] != verdict.primary)),
        champion_metrics=verdict.champion_metrics.values if verdict.champion_metrics else {},
        baseline=verdict.baseline.values,
        compared_with=verdict.champion_version,
        comparison=verdict.comparison,
        gates=verdict.gates,
        data=_data(candidate, [one for one in ledger if before < one.seq <= _until(history, index, ledger)]),
    )


def _until(history: _Evaluated, index: int, ledger: list[BatchRecord]) -> int:
    """The newest candidate answers for all that came in so far: a rejected file is reported with it."""
    newest = index == len(history) - 1
    return max((one.seq for one in ledger), default=0) if newest else history[index][1].model.through_seq


def _data(candidate: Candidate, batches: list[BatchRecord]) -> CandidateData:
    model = candidate.model
    seen = [one for one in batches if one.verdict == "accepted" and one.seq <= model.through_seq]
    rejected = [one for one in batches if one.verdict == "rejected"]
    return CandidateData(
        digest=model.dataset_digest,
        labelled=model.labelled,
        train_rows=model.train_rows,
        holdout_rows=candidate.verdict.metrics.rows,
        split=model.split.kind,
        newest_event=model.newest_event,
        files=tuple(one.path for one in seen),
        rows=sum(one.accepted for one in seen if one.feed == "observations"),
        refused=tuple(f"{one.path}: {'; '.join(one.reasons)}" for one in rejected),
    )


def _point(_at: datetime, candidate: Candidate, _outcome: str, version: int | None) -> Point:
    verdict = candidate.verdict
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    return Point(
        label="new" if version is None else str(version),
        candidate=verdict.metrics.values.get(verdict.primary),
        champion=champion.get(verdict.primary),
        baseline=verdict.baseline.values.get(verdict.primary),
    )


def links(settings: Settings, pipeline: str, candidate: Candidate, version: int | None) -> tuple[Link, ...]:
    """Pages of the MLflow server that the settings name; without one, the verdict's file where it is on this disk."""
    run = candidate.model.run_id
    url = settings.mlflow_page
    if url is None:
        file = settings.artifacts / pipeline / run / "artifacts" / "verdict.md"
        return (Link(title="verdict", target=_relative(file)),) if file.is_file() else ()
    pages = [
        Link(title="MLflow run", target=f"{url}/#/runs/{run}"),
        Link(title="verdict", target=f"{url}/get-artifact?path=verdict.md&run_uuid={run}"),
    ]
    if version is not None:
        pages.append(Link(title=f"version {version}", target=f"{url}/#/models/{pipeline}/versions/{version}"))
    return tuple(pages)


def _relative(file: Path) -> str:
    """A path as a reader in this folder follows it."""
    return os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)
