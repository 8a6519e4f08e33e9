"""What people read of an evaluation."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.records.decision import Verdict
from tasks.stores.markdown import gate_table, metric_table


def verdict_page(config: PipelineConfig, verdict: Verdict) -> str:
    """The gates' page in markdown."""
    rival = "no champion yet" if verdict.champion_version is None else f"champion: version {verdict.champion_version}"
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    lines = [
        f"# {config.name}: {'passed' if verdict.passed else 'turned down'}",
        f"{rival}. Primary metric: {verdict.primary}, on {verdict.metrics.rows} holdout rows.",
        "",
        *gate_table(verdict.gates),
        "",
        *metric_table(verdict.metrics.values, champion, verdict.baseline.values),
    ]
    return "\n".join(lines)
