"""What people read of an evaluation."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.refs import Verdict


def verdict_page(config: PipelineConfig, verdict: Verdict) -> str:
    """The gates' page in markdown."""
    rival = "no champion yet" if verdict.champion_version is None else f"champion: version {verdict.champion_version}"
    lines = [
        f"# {config.name}: {'passed' if verdict.passed else 'turned down'}",
        f"{rival}. Primary metric: {verdict.primary}, on {verdict.metrics.rows} holdout rows.",
        "",
        "| gate | outcome | reason |",
        "| --- | --- | --- |",
        *(f"| {gate.code} {gate.title} | **{gate.outcome}** | {gate.reason} |" for gate in verdict.gates),
        "",
        "| metric | candidate | champion | baseline |",
        "| --- | ---: | ---: | ---: |",
    ]
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    for name, number in verdict.metrics.values.items():
        held = f"{champion[name]:.4g}" if name in champion else "–"
        base = f"{verdict.baseline.values[name]:.4g}" if name in verdict.baseline.values else "–"
        lines.append(f"| {name} | {number:.4g} | {held} | {base} |")
    return "\n".join(lines)
