"""What people read of a deployment: the model card and the stage's page."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.refs import Candidate, Promotion
from tasks.stores.markdown import gate_table, metric_table


def model_card(config: PipelineConfig, candidate: Candidate) -> str:
    """A card in markdown: what the model is for, what it was made from, how well it does, how it was judged."""
    model, verdict = candidate.model, candidate.verdict
    newest = f", newest event {model.newest_event:%Y-%m-%d %H:%M} UTC" if model.newest_event else ""
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    told = "passed every gate" if verdict.passed else "turned down"
    lines = [
        f"{config.name}, {told}: {verdict.primary} {verdict.metrics.values.get(verdict.primary, float('nan')):.4g}",
        "",
        config.description,
        "",
        f"- Owner: {config.owner or 'none named'}",
        f"- Target: `{config.contract.target}` ({config.task})",
        f"- Estimator: `{config.training.estimator}`",
        f"- Features: {', '.join(f'`{name}`' for name in model.feature_columns)}",
        f"- Trained on {model.train_rows} rows{newest}; dataset `{model.dataset_digest[:12]}`",
        f"- Holdout: {verdict.metrics.rows} rows, {model.split.kind} split",
        "",
        *metric_table(verdict.metrics.values, champion, verdict.baseline.values),
        "",
        *gate_table(verdict.gates),
    ]
    return "\n".join(lines)


def promotion_page(config: PipelineConfig, promotion: Promotion) -> str:
    """The stage's page."""
    champion = "none" if promotion.champion is None else f"version {promotion.champion}"
    reasons = "\n".join(f"- {reason}" for reason in promotion.reasons)
    title = "promoted" if promotion.outcome == "promoted" else "champion kept"
    return f"# {config.name}: {title}\n\nVersion {promotion.version}. Champion: {champion}.\n\n{reasons}"
