"""A candidate's report in words: markdown for a pull request or a job's summary, plain lines for a terminal."""

from __future__ import annotations

from perennial.cli.render import table
from perennial.reporting.candidate import CandidateData, CandidateReport, Link, PipelineCandidateReport
from tasks.stores.markdown import cell, gate_table, metric_table

_MOST_NAMED = 5  # files that are named


def markdown(report: PipelineCandidateReport) -> str:
    """The report in markdown, GitHub's and GitLab's kind."""
    candidate = report.candidate
    if candidate is None:
        return f"## {report.pipeline}\n\n{_no_candidate(report)}\n"
    champion = "champion" if candidate.compared_with is None else f"champion (version {candidate.compared_with})"
    metrics = metric_table(candidate.metrics, candidate.champion_metrics, candidate.baseline, champion)
    lines = [
        f"## {report.pipeline}: {_title(candidate)}",
        "",
        *([report.description, ""] if report.description else []),
        *(f"- {line}" for line in _facts(report, candidate)),
        "",
        *metrics,
        "",
        *gate_table(candidate.gates),
    ]
    if report.links:
        lines += ["", " · ".join(_link(one) for one in report.links)]
    return "\n".join(lines) + "\n"


def text(report: PipelineCandidateReport) -> str:
    """The report in plain lines."""
    candidate = report.candidate
    if candidate is None:
        return f"{report.pipeline}: {_no_candidate(report)}"
    metrics: list[tuple[str, ...]] = [("metric", "candidate", "champion", "baseline")]
    for name, number in candidate.metrics.items():
        references = (candidate.champion_metrics.get(name), candidate.baseline.get(name))
        metrics.append((name, f"{number:.4g}", *("–" if one is None else f"{one:.4g}" for one in references)))
    gates = [
        ("gate", "outcome", "reason"),
        *((f"{one.code} {one.title}", one.outcome, one.reason) for one in candidate.gates),
    ]
    lines = [
        f"{report.pipeline}: {_title(candidate)}",
        *(f"  {line}" for line in _facts(report, candidate)),
        "",
        table(metrics),
        "",
        table(gates),
    ]
    if report.links:
        lines += ["", *(f"{one.title}: {one.target}" for one in report.links)]
    return "\n".join(lines)


def _title(candidate: CandidateReport) -> str:
    version = "a candidate without a version" if candidate.version is None else f"version {candidate.version}"
    return f"{version}, {candidate.outcome.replace('_', ' ')}"


def _no_candidate(report: PipelineCandidateReport) -> str:
    return (
        f"No candidate has been evaluated yet. `perennial run {report.pipeline}` trains the first once enough has "
        "landed."
    )


def _facts(report: PipelineCandidateReport, candidate: CandidateReport) -> list[str]:
    champion = "none" if report.champion is None else f"version {report.champion}"
    reason = f": {cell(candidate.reason)}" if candidate.reason else ""
    drift = (
        "not checked yet" if report.drift is None else f"{report.drift.state}, {cell('; '.join(report.drift.reasons))}"
    )
    rejected = [f"Rejected: {cell(one)}" for one in candidate.data.refused[:_MOST_NAMED]]
    if len(candidate.data.refused) > _MOST_NAMED:
        rejected.append(f"Rejected: {len(candidate.data.refused) - _MOST_NAMED} more files")
    return [
        f"Evaluated {candidate.at:%Y-%m-%d %H:%M} UTC{reason}",
        f"Champion now: {champion}",
        _data(candidate.data),
        *([_files(candidate.data)] if candidate.data.files else []),
        *rejected,
        f"Drift: {drift}",
    ]


def _data(data: CandidateData) -> str:
    newest = f", newest event {data.newest_event:%Y-%m-%d %H:%M} UTC" if data.newest_event else ""
    split = f"{data.split} split, {data.holdout_rows} rows held out"
    return f"Data: trained on {data.train_rows} rows, {split}{newest}; dataset {data.digest[:12]}"


def _files(data: CandidateData) -> str:
    named = ", ".join(cell(one) for one in data.files[:_MOST_NAMED])
    more = f" and {len(data.files) - _MOST_NAMED} more" if len(data.files) > _MOST_NAMED else ""
    return f"New since the candidate before: {len(data.files)} files with {data.rows} observations ({named}{more})"


def _link(link: Link) -> str:
    return f"[{cell(link.title)}](<{link.target}>)"
