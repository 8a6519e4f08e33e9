"""What people read of a whole run in the Prefect UI."""

from __future__ import annotations

from tasks.refs import LifecycleReport


def report_page(report: LifecycleReport) -> str:
    """A run's page in markdown: outcome, reasons, metrics, gates, stages."""
    champion = "none" if report.champion is None else f"version {report.champion}"
    batches = report.ingest.batches
    files = f"{len(report.ingest.accepted)} files came in, {len(report.ingest.rejected)} were rejected"
    rows = f"{sum(one.accepted for one in batches)} accepted, {sum(one.quarantined for one in batches)} in quarantine"
    lines = [
        f"# {report.pipeline}: {report.outcome.replace('_', ' ')}",
        f"Champion: {champion}. {files}; rows: {rows}, {report.scored} scored.",
        *(f"- {reason}" for reason in report.reasons),
        *_metrics(report),
        *_gates(report),
        "",
        "| stage | state | seconds | outcome |",
        "| --- | --- | ---: | --- |",
        *(f"| {one.name} | {one.state} | {one.seconds:.1f} | {one.note} |" for one in report.stages),
    ]
    return "\n".join(lines)


def _metrics(report: LifecycleReport) -> list[str]:
    if not report.metrics:
        return []
    lines = ["", "| metric | candidate | champion before | baseline |", "| --- | ---: | ---: | ---: |"]
    for name, number in report.metrics.items():
        rivals = [metrics.get(name) for metrics in (report.champion_metrics, report.baseline)]
        cells = " | ".join("–" if one is None else f"{one:.4g}" for one in rivals)
        lines.append(f"| {name} | {number:.4g} | {cells} |")
    return lines


def _gates(report: LifecycleReport) -> list[str]:
    if not report.gates:
        return []
    rows = [f"| {one.code} {one.title} | {one.outcome} | {one.reason} |" for one in report.gates]
    return ["", "| gate | outcome | reason |", "| --- | --- | --- |", *rows]
