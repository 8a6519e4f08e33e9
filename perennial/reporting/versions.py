"""The registered versions of a pipeline and what became of each, from the audit alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from tasks.records.base import Record
from tasks.records.decision import Candidate
from tasks.stores.state import rollouts
from tasks.stores.state.audit import Audit

State = Literal["champion", "former_champion", "rejected", "rolled_back", "rolling_out", "awaiting_approval"]
_OPEN: Mapping[str, State] = {"awaiting_approval": "awaiting_approval", "rolling_out": "rolling_out"}


class VersionLine(Record):
    """One registered version.

    Attributes:
        aliases: Of `champion` and `challenger`, those that it has now.
        state: What became of it.
        trained_at: The clock of the run that submitted it.
        metrics, champion_metrics, baseline: On its holdout, as it was evaluated last: its own, those of the version
            that it was compared with, and those of the baseline.
        reason: Why it is in its state; empty where nothing was noted.
    """

    version: int
    aliases: tuple[str, ...]
    state: State
    trained_at: datetime
    run_id: str
    train_rows: int
    holdout_rows: int
    metrics: dict[str, float]
    compared_with: int | None
    champion_metrics: dict[str, float]
    baseline: dict[str, float]
    reason: str


def versions(
    audit: Audit,
    pipeline: str,
    evaluated: Sequence[tuple[datetime, Candidate, str, int | None]],
    reasons: Mapping[int, str],
) -> Iterator[VersionLine]:
    """Every registered version, by its number.

    Args:
        audit: Says which version is champion, and which were.
        pipeline: The pipeline's name.
        evaluated: Its candidates, oldest first: when each was submitted, what became of it, its version.
        reasons: Why versions are what they are, by number.
    """
    periods = audit.champion_periods(pipeline)
    champion, champions = audit.champion(pipeline), {period.version for period in periods}
    rollout, rolled_back = rollouts.active(audit, pipeline), rollouts.rolled_back(audit, pipeline)
    for version in sorted({number for *_, number in evaluated if number is not None}):
        own = [(at, candidate, outcome) for at, candidate, outcome, number in evaluated if number == version]
        _, candidate, outcome = own[-1]  # evaluated anew, perhaps under other gates
        verdict, champion_metrics = candidate.verdict, candidate.verdict.champion_metrics
        aliases = {"champion": champion, "challenger": None if rollout is None else rollout.version}
        closed: State = "former_champion" if version in champions else "rejected"
        state = _OPEN.get(outcome, closed)
        if version == champion or version in rolled_back:
            state = "champion" if version == champion else "rolled_back"
        yield VersionLine(
            version=version,
            aliases=tuple(alias for alias, number in aliases.items() if number == version),
            state=state,
            trained_at=own[0][0],
            run_id=candidate.model.run_id,
            train_rows=candidate.model.train_rows,
            holdout_rows=verdict.metrics.rows,
            metrics=verdict.metrics.values,
            compared_with=verdict.champion_version,
            champion_metrics={} if champion_metrics is None else champion_metrics.values,
            baseline=verdict.baseline.values,
            reason=rolled_back.get(version) or reasons.get(version) or "; ".join(verdict.reasons),
        )
