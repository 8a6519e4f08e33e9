"""What the command line shows: progress on standard error, a short summary at the end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.status import Status

from perennial.reporting.history import PipelineHistory, RolloutLine
from tasks.records.decision import GateResult
from tasks.records.report import LifecycleReport, StageRecord

_SIGNS = {"done": "[green]✓[/]", "reused": "[dim]=[/]", "skipped": "[dim]·[/]", "failed": "[red]✗[/]"}
_OUTCOMES = {
    "promoted": "promoted: a new champion",
    "kept_champion": "champion kept",
    "awaiting_approval": "awaiting approval",
    "rolling_out": "rolling out",
    "nothing_to_do": "nothing to do",
    "stopped": "stopped",
    "data_rejected": "data rejected",
    "failed": "failed",
}


class ConsoleReporter:
    """Progress as lines on standard error, with a spinner where that is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def begin(self, stage: str) -> None:
        """Show that a stage runs."""
        self._clear()
        if self._console.is_terminal:
            self._status = self._console.status(f"{stage} …")
            self._status.start()

    def end(self, record: StageRecord) -> None:
        """Show how a stage ended."""
        self._clear()
        note = record.note.replace("[", r"\[")
        self._console.print(f"{_SIGNS[record.state]} {record.name:<10}{record.seconds:6.1f} s  {note}", highlight=False)

    def say(self, text: str) -> None:
        """Show a line."""
        safe = text.replace("[", r"\[")
        self._console.print(f"  [dim]{safe}[/]", highlight=False)

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def console() -> Console:
    """Standard error, wide enough for a reason where it is no terminal."""
    return Console(stderr=True, width=None if os.isatty(2) else 160, soft_wrap=True)


def print_result(as_json: bool, value: dict[str, Any], text: str) -> None:
    """A command's result on standard output: one JSON object, or text."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" if as_json else text + "\n")
    sys.stdout.flush()


def summary(report: LifecycleReport) -> str:
    """A run's outcome in a few plain lines."""
    lines = [f"{report.pipeline}: {_OUTCOMES.get(report.outcome, report.outcome)}"]
    lines += [f"  {reason}" for reason in report.reasons]
    if report.metrics:
        lines.append(_metrics(report))
    lines += [_gate(gate) for gate in report.gates if gate.outcome != "pass" and not gate.blocks]
    champion = "none" if report.champion is None else f"version {report.champion}"
    lines.append(f"  champion: {champion}")
    return "\n".join(lines)


def _metrics(report: LifecycleReport) -> str:
    shown = []
    for name, number in report.metrics.items():
        held = f", champion {report.champion_metrics[name]:.4g}" if name in report.champion_metrics else ""
        base = f", baseline {report.baseline[name]:.4g}" if name in report.baseline else ""
        shown.append(f"{name} {number:.4g} ({(held + base).lstrip(', ')})")
    return "  " + "; ".join(shown)


def _gate(gate: GateResult) -> str:
    return f"  {gate.code} {gate.title}: {gate.outcome}, {gate.reason}"


def overview(histories: Sequence[PipelineHistory]) -> str:
    """All pipelines, a line each."""
    rows = [("pipeline", "champion", "since", "rows", "files", "rejected", "drift", "performance", "rollout")]
    for one in histories:
        period = one.champion_periods[-1] if one.champion_periods else None
        rows.append(
            (
                one.pipeline,
                str(period.version) if period else "–",
                f"{period.since:%Y-%m-%d %H:%M}" if period else "–",
                str(one.rows),
                str(one.accepted),
                str(one.rejected),
                one.drift,
                one.performance,
                _shown(one.rolling_out),
            )
        )
    return table(rows)


def _shown(rollout: RolloutLine | None) -> str:
    if rollout is None:
        return "–"
    share = f" {rollout.share:.3g}" if rollout.share else ""
    return f"version {rollout.version}: {rollout.kind}{share}, {rollout.step + 1} of {rollout.steps}"


def detail(one: PipelineHistory) -> str:
    """One pipeline's history: files, verdicts, champions."""
    parts = [f"{one.pipeline}: {one.description}", ""]
    for title, rows in (("files", _files(one)), ("candidates", _candidates(one)), ("champions", _champions(one))):
        parts += [title, table(rows) if len(rows) > 1 else "none yet", ""]
    if one.quarantine.entries:
        message = f"quarantine: {one.quarantine.description} wait; see `perennial quarantine list {one.pipeline}`"
        parts += [message, ""]
    parts += _rollouts(one)
    if one.pending_messages:
        parts += ["waits for a person", *(f"  {description}" for description in one.pending_messages), ""]
    watched = {"drift": (one.drift, one.drift_reason), "performance": (one.performance, one.performance_reason)}
    parts += [f"{name}: {state}{f' ({reason})' if reason else ''}" for name, (state, reason) in watched.items()]
    parts.append(f"due: {one.due or 'nothing'}")
    return "\n".join(parts)


def _rollouts(one: PipelineHistory) -> list[str]:
    """The rollout under way with what was found of it last, those that ended, and the versions rolled back."""
    if not one.rollouts and not one.rolled_back:
        return []
    parts = []
    if one.rollouts:
        head = ("version", "against", "since", "until", "step", "state", "reason")
        parts += ["rollouts", table([head, *(line.cells for line in one.rollouts)]), ""]
    now = one.rolling_out
    if now is not None:
        found = now.found.decision.checks if now.found else ()
        parts += [
            f"rolling out: {now.description}",
            *(f"  {each.name}: {each.outcome}, {each.reason}" for each in found),
            "",
        ]
    if one.rolled_back:
        parts += ["rolled back", *(f"  version {number} was {why}" for number, why in one.rolled_back.items()), ""]
    return parts


def _files(one: PipelineHistory) -> list[tuple[str, ...]]:
    rows = [(b.path, b.verdict, str(b.accepted), str(b.quarantined), "; ".join(b.reasons)) for b in one.batches]
    return [("file", "verdict", "rows", "quarantined", "reason"), *rows]


def _candidates(one: PipelineHistory) -> list[tuple[str, ...]]:
    head = ("evaluated (UTC)", "version", "verdict", "trained on", one.primary, "champion", "baseline", "reason")
    return [head, *(line.cells for line in one.candidates)]


def _champions(one: PipelineHistory) -> list[tuple[str, ...]]:
    moment = "%Y-%m-%d %H:%M:%S"
    rows = [
        (str(r.version), r.since.strftime(moment), r.until.strftime(moment) if r.until else "now", r.actor)
        for r in one.champion_periods
    ]
    return [("version", "since", "until", "by"), *rows]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first the heading, in aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
