"""A pipeline's versions, what changed in each and what that did: from audit, ledger, manifests and decisions.

No pandas, MLflow or Prefect is imported for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from perennial.reporting.changes.candidates import EvaluatedVersion, evaluated_versions
from perennial.reporting.changes.costs import money, stage_costs, total
from perennial.reporting.changes.describe import FIRST
from perennial.reporting.changes.difference import version_change
from perennial.reporting.changes.records import (
    DriftSummary,
    History,
    MetricEffect,
    StageCost,
    VersionChange,
    VersionHistory,
)
from tasks.errors import UsageError
from tasks.records.data import BatchRecord
from tasks.records.decision import DriftVerdict, MetricSet, Verdict
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORST = 3


def read(config: PipelineConfig, settings: Settings, version: int | None = None) -> History:
    """Every version with its changes, effects and costs, oldest first; or one of them.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        version: The only one wanted.

    Raises:
        UsageError: there is no such version.
    """
    found, damaged = evaluated_versions(settings, config.name)
    lake = Lake(settings, config)
    ledger, drifts = lake.ledger(), list(_drifts(lake))
    versions = [
        _version_history(found, place, stages, ledger, drifts)
        for place, stages in enumerate(stage_costs(found, config.cost))
    ]
    if version is not None:
        versions = [one for one in versions if one.version == version]
        if not versions:
            raise UsageError(no_version(config.name, found, version))
    return History(
        pipeline=config.name,
        primary=config.evaluation.primary,
        champion=Audit(settings).champion(config.name),
        currency=config.cost.currency,
        versions=tuple(versions),
        notes=damaged,
    )


def neighbours(
    config: PipelineConfig, settings: Settings, version: int | None
) -> tuple[EvaluatedVersion, EvaluatedVersion, VersionChange]:
    """A version, the one before it that is another model, and what changed: those two, older first, and the change.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        version: The version; the newest by default.

    Raises:
        UsageError: there is no such version, or none before it.
    """
    found, _ = evaluated_versions(settings, config.name)
    places = [place for place, one in enumerate(found) if version is None or one.version == version]
    if not places:
        raise UsageError(no_version(config.name, found, version))
    now = found[places[-1]]
    earlier = [one for one in found[: places[-1]] if one.candidate.model.run_id != now.candidate.model.run_id]
    if not earlier:
        raise UsageError(f"{config.name}: {now.name} is the first: there is none before it to attribute changes to.")
    ledger = Lake(settings, config).ledger()
    return earlier[-1], now, version_change(earlier[-1], now, "the one before", ledger, None, newest=False)


def no_version(pipeline: str, found: Sequence[EvaluatedVersion], version: int | None) -> str:
    """That a version is not there, and which are."""
    if version is None:
        return f"{pipeline}: no candidate has been evaluated yet. `perennial run {pipeline}` trains the first."
    numbers = sorted({one.version for one in found if one.version is not None})
    known = ", ".join(str(one) for one in numbers) or "none yet"
    return f"{pipeline} has no version {version}; known here: {known}. Leave --version out for all."


def _version_history(
    found: Sequence[EvaluatedVersion],
    place: int,
    stages: tuple[StageCost, ...],
    ledger: Sequence[BatchRecord],
    drifts: Sequence[DriftSummary],
) -> VersionHistory:
    one = found[place]
    verdict = one.candidate.verdict
    incumbent = verdict.baseline if verdict.champion_version is None else verdict.champion_metrics
    return VersionHistory(
        version=one.version,
        at=one.at,
        by=one.by,
        outcome=one.outcome,
        reason=one.reason,
        rival=verdict.champion_version,
        compared_rows=0 if incumbent is None else incumbent.rows,
        effects=tuple(_effects(verdict, incumbent)),
        changes=tuple(_changes(found, place, ledger, drifts)),
        stages=stages,
        total=total(stages),
        money=money(stages),
        notes=one.missing,
    )


def _effects(verdict: Verdict, incumbent: MetricSet | None) -> Iterator[MetricEffect]:
    """Every metric, the primary first."""
    intervals = dict(verdict.effects)
    if verdict.comparison is not None:
        intervals.setdefault(verdict.primary, verdict.comparison)
    names = dict.fromkeys([verdict.primary, *verdict.metrics.values, *(incumbent.values if incumbent else ())])
    for name in names:
        yield MetricEffect(
            metric=name,
            value=verdict.metrics.values.get(name),
            rival=incumbent.values.get(name) if incumbent else None,
            improvement=intervals.get(name),
        )


def _changes(
    found: Sequence[EvaluatedVersion], place: int, ledger: Sequence[BatchRecord], drifts: Sequence[DriftSummary]
) -> Iterator[VersionChange]:
    """Against the version before; and against the one that it was compared with, where that is another."""
    now, newest = found[place], place == len(found) - 1
    before = found[place - 1] if place else None
    drift = _drift(drifts, None if before is None else before.at, now.at)
    yield version_change(before, now, "the one before" if before else FIRST, ledger, drift, newest=newest)
    incumbent = now.candidate.verdict.champion_version
    if incumbent is None or before is None or before.version == incumbent:
        return
    other = [one for one in found[:place] if one.version == incumbent]
    if other:
        yield version_change(other[-1], now, "the champion that it was compared with", ledger, drift, newest=newest)


def _drift(drifts: Sequence[DriftSummary], after: datetime | None, until: datetime) -> DriftSummary | None:
    """The newest that was found between two evaluations."""
    between = [one for one in drifts if one.at <= until and (after is None or one.at > after)]
    return between[-1] if between else None


def _drifts(lake: Lake) -> Iterator[DriftSummary]:
    """Every drift verdict, oldest first."""
    rows = lake.read("decisions", ["at", "record"], where=pc.field("kind") == "drift")
    times = rows.column("at").cast(pa.int64()).to_pylist()
    for micros, record in sorted(zip(times, rows.column("record").to_pylist(), strict=True)):
        verdict = DriftVerdict.model_validate_json(record)
        worst = sorted(verdict.columns, key=lambda one: (not one.drifted, -one.effect))[:_WORST]
        yield DriftSummary(
            at=_EPOCH + timedelta(microseconds=micros),
            state=verdict.state,
            reasons=verdict.reasons,
            columns=tuple(worst),
        )
