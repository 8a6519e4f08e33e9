"""The markdown page of an evaluation."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.records.decision import Verdict
from tasks.stores.markdown import gate_table, metric_table


def verdict_page(config: PipelineConfig, verdict: Verdict) -> str:
    """Return the page in markdown."""
    incumbent = (
        "no champion yet" if verdict.champion_version is None else f"champion: version {verdict.champion_version}"
    )
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    lines = [
        f"# {config.name}: {'passed' if verdict.passed else 'rejected'}",
        f"{incumbent}. Primary metric: {verdict.primary}, on {verdict.metrics.rows} holdout rows.",
        "",
        *gate_table(verdict.gates),
        "",
        *metric_table(verdict.metrics.values, champion, verdict.baseline.values),
    ]
    return "\n".join(lines)
