"""What people read of a deployment: the model card and the stage's page."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.refs import Candidate, Promotion
from tasks.stores.approvals import Request
from tasks.stores.markdown import cell, gate_table, metric_table


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


_TITLES = {"promoted": "promoted", "awaiting_approval": "awaiting approval"}


def promotion_page(config: PipelineConfig, promotion: Promotion) -> str:
    """The stage's page."""
    champion = "none" if promotion.champion is None else f"version {promotion.champion}"
    gate = promotion.approval
    told = [] if gate is None else ["", *gate_table([gate])]
    lines = [
        f"# {config.name}: {_TITLES.get(promotion.outcome, 'champion kept')}",
        "",
        f"Version {promotion.version}. Champion: {champion}.",
        "",
        *(f"- {cell(reason)}" for reason in promotion.reasons),
        *told,
    ]
    return "\n".join(lines)


def approval_page(config: PipelineConfig, candidate: Candidate, request: Request, form: str) -> str:
    """What a person reads who is asked to approve: until when, how to answer, and the model card.

    Args:
        config: The pipeline.
        candidate: The candidate and the verdict on it.
        request: The request.
        form: Address of the form in Prefect's UI; empty if there is none.
    """
    name = f"{request.pipeline}@{request.version}"
    champion = "There is no champion yet." if request.champion is None else f"Champion: version {request.champion}."
    strict = config.approval.four_eyes
    who = " Approving takes the command and a personal token (PERENNIAL_TOKEN) of another person." if strict else ""
    lines = [
        f"# {config.name}: version {request.version} waits for a person",
        "",
        f"Put forward by {request.requested_by} on {request.requested_at:%Y-%m-%d %H:%M} UTC. {champion}",
        "",
        f"**Answer before {request.deadline:%Y-%m-%d %H:%M} UTC.** If nobody does, the champion stays.{who}",
        "",
        *([f"- [{'Reject' if strict else 'Answer'} in the form]({form})"] if form else []),
        f"- `perennial approve {name} --reason TEXT`",
        f"- `perennial reject {name} --reason TEXT`",
        "",
        "## Model card",
        "",
        model_card(config, candidate),
    ]
    return "\n".join(lines)
