"""The tables of a lineage, as its text and its page show them: headings, and rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from perennial.reporting.champions import format_time
from perennial.reporting.lineage.records import Lineage
from tasks.records.data import BatchRecord

Rows = list[tuple[str, ...]]
FILES = ("file", "rows", "event time", "ingested (UTC)", "sha256")
REJECTED = ("rejected file", "ingested (UTC)", "reason")
STAGES = ("stage", "as of (UTC)", "seconds", "CPU s", "MiB", "fingerprint", "flow run")
GATES = ("gate", "outcome", "reason")
CHAMPION_PERIODS = ("since (UTC)", "until (UTC)", "by", "why")
PREDICTED = ("file", "rows", "with a label", "scored (UTC)")
MONITORING = ("checked (UTC)", "what", "state", "reasons")
COMPARED = ("evaluated (UTC)", "version", "outcome", "reason")


def metrics(one: Lineage) -> Rows:
    """The metrics beside the champion's and the baseline's, with a heading."""
    verdict = one.newest_evaluation.verdict
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    names = sorted(verdict.metrics.values, key=lambda name: name != verdict.primary)
    incumbent = "champion" if verdict.champion_version is None else f"version {verdict.champion_version}"
    head = ("metric", f"version {one.version}", incumbent, "baseline")
    sets = (verdict.metrics.values, champion, verdict.baseline.values)
    return [head, *((name, *(_number(each.get(name)) for each in sets)) for name in names)]


def gates(one: Lineage) -> Rows:
    """Each gate and what it found."""
    return [(f"{gate.code} {gate.title}", gate.outcome, gate.reason) for gate in one.newest_evaluation.verdict.gates]


def files(batches: Iterable[BatchRecord]) -> Rows:
    """A row a file."""
    return [
        (
            one.path,
            str(one.accepted),
            time_range(one.event_time_min, one.event_time_max),
            timestamp(one.ingested_at),
            one.batch,
        )
        for one in batches
    ]


def rejected(one: Lineage) -> Rows:
    """A row a file that was refused."""
    return [(each.path, timestamp(each.ingested_at), "; ".join(each.reasons)) for each in one.refused]


def stages(one: Lineage) -> Rows:
    """A row a stage that ran."""
    return [
        (
            each.stage,
            timestamp(each.at),
            f"{each.cost.seconds:.1f}",
            f"{each.cost.cpu_seconds:.1f}",
            f"{each.cost.peak_mebibytes:.0f}",
            each.fingerprint,
            each.run or "–",
        )
        for each in one.stages
    ]


def champion_periods(one: Lineage) -> Rows:
    """A row for each time that it was champion."""
    return [
        (timestamp(each.since), timestamp(each.until) if each.until else "now", each.actor, each.reason)
        for each in one.champion_periods
    ]


def predicted(one: Lineage) -> Rows:
    """A row a file that it predicted."""
    return [
        (each.path or each.batch, str(each.rows), str(each.labelled), time_range(each.first, each.last))
        for each in one.predictions.files
    ]


def monitoring(one: Lineage) -> Rows:
    """A row for each look at it."""
    return [(timestamp(each.at), each.kind, each.state, "; ".join(each.reasons)) for each in one.watched]


def compared(one: Lineage) -> Rows:
    """A row for each candidate that was compared with it."""
    return [
        (timestamp(each.at), "–" if each.version is None else str(each.version), _words(each.outcome), each.reason)
        for each in one.rivals
    ]


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def timestamp(at: datetime) -> str:
    """A moment in a table, in UTC."""
    return format_time(at).removesuffix(" UTC")


def time_range(first: datetime | None, last: datetime | None) -> str:
    """A stretch of time in a table, in UTC."""
    if first is None or last is None:
        return "–"
    if first == last:
        return timestamp(first)
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" if first.date() != last.date() else f"{first:%Y-%m-%d}"


def shortened(rows: Sequence[tuple[str, ...]], most: int) -> tuple[Rows, int]:
    """The first and the last rows of many, and how many are left out between them."""
    if len(rows) <= most:
        return list(rows), 0
    half = most // 2
    return [*rows[: most - half], *rows[len(rows) - half :]], len(rows) - most
