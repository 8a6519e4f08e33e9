"""What the stores know of a pipeline, read for `perennial status`: no pandas, MLflow or Prefect is imported for it."""

from __future__ import annotations

from datetime import UTC, datetime

from configs.schema import PipelineConfig
from perennial.reporting.versions import VersionLine, versions
from tasks.errors import PerennialError
from tasks.lifecycle.due import runs_due
from tasks.monitoring.verdicts import newest_drift, newest_performance
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import OpenEntries, open_entries
from tasks.quarantine.select import EntryFilter
from tasks.records.base import Record
from tasks.records.data import BatchRecord
from tasks.records.decision import Candidate
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state import rollouts
from tasks.stores.state.approvals import ApprovalRequest, Approvals
from tasks.stores.state.audit import Audit, ChampionPeriod
from tasks.stores.state.candidates import close_reasons, evaluated
from tasks.stores.state.rollout_checks import Look, last_check
from tasks.stores.state.rollouts import Rollout


class CandidateLine(Record):
    """One candidate: when it was evaluated, its version, what became of it, the primary metric of all three."""

    at: datetime
    version: int | None
    verdict: str
    train_rows: int
    metric: float | None
    champion: float | None
    baseline: float | None
    reason: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row in a table."""
        numbers = tuple("–" if one is None else f"{one:.4g}" for one in (self.metric, self.champion, self.baseline))
        version = "–" if self.version is None else str(self.version)
        return (f"{self.at:%Y-%m-%d %H:%M}", version, self.verdict, str(self.train_rows), *numbers, self.reason)


class RolloutLine(Record):
    """One rollout: the version, what it was compared with, where it is or how it ended, and why.

    Attributes:
        state: rolling_out, or how it ended.
        step, kind, share: The present step, or the last; its share of the keys (0: a shadow).
        found: What the last look found, where it is under way.
    """

    version: int
    champion: int
    state: str
    step: int
    steps: int
    kind: str
    share: float
    since: datetime
    until: datetime | None
    description: str
    reasons: tuple[str, ...]
    found: Look | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row in a table."""
        until = "now" if self.until is None else f"{self.until:%Y-%m-%d %H:%M}"
        step = f"{self.step + 1} of {self.steps}: {self.kind}{f' {self.share:.3g}' if self.share else ''}"
        since = f"{self.since:%Y-%m-%d %H:%M}"
        return (str(self.version), str(self.champion), since, until, step, self.state, "; ".join(self.reasons))


class PipelineHistory(Record):
    """A pipeline's files, candidates and champions, oldest first.

    Attributes:
        champion: The version that is champion now; None before any.
        quarantine: Rows and files that wait in quarantine.
        pending: Versions that a person may approve or reject now.
        rollouts: Versions that were shown step by step.
        rolled_back: Versions that were rolled back, and why; none becomes champion by itself.
        due: The runs that the sweep or `perennial run` would begin now, and why; empty where there are none.
    """

    pipeline: str
    description: str
    champion: int | None
    primary: str
    rows: int
    accepted: int
    rejected: int
    quarantine: OpenEntries
    batches: tuple[BatchRecord, ...]
    versions: tuple[VersionLine, ...]
    candidates: tuple[CandidateLine, ...]
    champion_periods: tuple[ChampionPeriod, ...]
    pending: tuple[ApprovalRequest, ...]
    rollouts: tuple[RolloutLine, ...]
    rolled_back: dict[int, str]
    drift: str
    drift_reason: str
    performance: str
    performance_reason: str
    due: str

    @property
    def pending_messages(self) -> tuple[str, ...]:
        """What waits for a person, until when, and how to answer."""
        return tuple(request.pending_message() for request in self.pending)

    @property
    def rolling_out(self) -> RolloutLine | None:
        """The rollout that is under way."""
        return next((one for one in self.rollouts if one.until is None), None)


def read(config: PipelineConfig, settings: Settings) -> PipelineHistory:
    """All that is known of a pipeline."""
    lake, audit = Lake(settings, config), Audit(settings)
    history, now = evaluated(audit, config.name), datetime.now(UTC)
    requests = _open_requests(
        settings, config.name, [number for _, _, outcome, number in history if outcome == "awaiting_approval"]
    )
    reasons = close_reasons(audit, config.name) | {
        one.version: one.describe(now) for one in requests if one.state(now) != "pending"
    }
    ledger = lake.ledger()
    accepted = [one for one in ledger if one.verdict == "accepted"]
    drift, performance = newest_drift(lake), newest_performance(lake)
    return PipelineHistory(
        pipeline=config.name,
        description=config.description,
        champion=audit.champion(config.name),
        primary=config.evaluation.primary,
        rows=sum(one.accepted for one in accepted if one.feed == "observations"),
        accepted=len(accepted),
        rejected=len(ledger) - len(accepted),
        quarantine=open_entries(Quarantine(lake), EntryFilter()),
        batches=tuple(ledger),
        versions=tuple(versions(audit, config.name, history, reasons)),
        candidates=tuple(_line(*one, reasons.get(one[3] or 0, "")) for one in history),
        champion_periods=tuple(audit.champion_periods(config.name)),
        pending=tuple(one for one in requests if one.state(now) == "pending"),
        rollouts=tuple(_rollout(settings, one) for one in rollouts.history(audit, config.name)),
        rolled_back=rollouts.rolled_back(audit, config.name),
        drift="–" if drift is None else drift.state,
        drift_reason="" if drift is None else "; ".join(drift.reasons),
        performance="–" if performance is None else performance.state,
        performance_reason="" if performance is None else "; ".join(performance.reasons),
        due=_due(config, settings),
    )


def _due(config: PipelineConfig, settings: Settings) -> str:
    try:
        work = [f"{one.flow}: {one.reason}" for one in runs_due(config, settings)]
    except PerennialError as error:  # a source that can't be reached is shown, and hides nothing else
        return f"unknown: {error}"
    return "; ".join(work)


def _rollout(settings: Settings, one: Rollout) -> RolloutLine:
    exposure, ending = one.exposure, one.ending
    check = last_check(settings, one) if one.closed is None else None
    return RolloutLine(
        version=one.version,
        champion=one.champion,
        state="rolling_out" if ending is None else ending.outcome,
        step=one.step,
        steps=len(one.plan.steps),
        kind=exposure.kind,
        share=exposure.share,
        since=one.began,
        until=one.closed,
        description=one.status,
        reasons=ending.reasons if ending else check.decision.reasons if check else (),
        found=check,
    )


def _open_requests(settings: Settings, pipeline: str, versions: list[int | None]) -> list[ApprovalRequest]:
    """Requests for approval that are not carried out yet."""
    approvals = Approvals(settings)
    requests = [approvals.of_version(pipeline, version) for version in versions if version is not None]
    return [request for request in requests if request is not None]


def _line(at: datetime, candidate: Candidate, outcome: str, version: int | None, reason: str) -> CandidateLine:
    verdict = candidate.verdict
    name = verdict.primary
    champion = verdict.champion_metrics.values.get(name) if verdict.champion_metrics else None
    passed = "; ".join(gate.reason for gate in verdict.gates if gate.code == "Q02")
    return CandidateLine(
        at=at,
        version=version,
        verdict=outcome,
        train_rows=candidate.model.train_rows,
        metric=verdict.metrics.values.get(name),
        champion=champion,
        baseline=verdict.baseline.values.get(name),
        reason=reason or "; ".join(verdict.reasons) or passed,
    )
