"""What people read of a scoring run in the Prefect UI."""

from __future__ import annotations

from tasks.records.report import ScoreReport


def score_page(pipeline: str, report: ScoreReport) -> str:
    """A scoring run in markdown: how many rows, by which version, from where and into what."""
    where = report.output or f"the table `{report.table}`"
    files = ", ".join(report.batches) or "no new batches"
    return f"# {pipeline}: scored\n\n{report.rows} rows by version {report.version} into {where}.\n\nFrom: {files}."
