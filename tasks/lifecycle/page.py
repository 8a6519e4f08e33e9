"""What people read of a whole run in the Prefect UI."""

from __future__ import annotations

from tasks.records.report import LifecycleReport
from tasks.stores.markdown import gate_table, metric_table


def report_page(report: LifecycleReport) -> str:
    """A run's page in markdown: outcome, reasons, metrics, gates, stages."""
    champion = "none" if report.champion is None else f"version {report.champion}"
    batches = report.ingest.batches
    files = f"{len(report.ingest.accepted)} files came in, {len(report.ingest.rejected)} were rejected"
    rows = f"{sum(one.accepted for one in batches)} accepted, {sum(one.quarantined for one in batches)} in quarantine"
    metrics = metric_table(report.metrics, report.champion_metrics, report.baseline, "champion before")
    lines = [
        f"# {report.pipeline}: {report.outcome.replace('_', ' ')}",
        f"Champion: {champion}. {files}; rows: {rows}, {report.scored} scored.",
        *(f"- {reason}" for reason in report.reasons),
        *(["", *metrics] if report.metrics else []),
        *(["", *gate_table(report.gates)] if report.gates else []),
        "",
        "| stage | state | seconds | outcome |",
        "| --- | --- | ---: | --- |",
        *(f"| {one.name} | {one.state} | {one.seconds:.1f} | {one.note} |" for one in report.stages),
    ]
    return "\n".join(lines)
