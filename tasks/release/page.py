"""Pages of a release: the model card and the stage's page."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.records.decision import Candidate, Promotion
from tasks.records.rollout import RolloutCheck, RolloutDecision
from tasks.release.rollback import Rollback
from tasks.stores.markdown import cell, gate_table, metric_table
from tasks.stores.state.approvals import ApprovalRequest
from tasks.stores.state.rollouts import Rollout


def model_card(config: PipelineConfig, candidate: Candidate) -> str:
    """A card in markdown: what the model is for, what it was made from, how well it does, how it was evaluated."""
    model, verdict = candidate.model, candidate.verdict
    newest = f", newest event {model.newest_event:%Y-%m-%d %H:%M} UTC" if model.newest_event else ""
    champion = verdict.champion_metrics.values if verdict.champion_metrics else {}
    outcome = "passed every gate" if verdict.passed else "rejected"
    lines = [
        f"{config.name}, {outcome}: {verdict.primary} {verdict.metrics.values.get(verdict.primary, float('nan')):.4g}",
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


_TITLES = {"promoted": "promoted", "awaiting_approval": "awaiting approval", "rolling_out": "rolling out"}


def promotion_page(config: PipelineConfig, promotion: Promotion) -> str:
    """The stage's page."""
    champion = "none" if promotion.champion is None else f"version {promotion.champion}"
    gate = promotion.approval
    approval = [] if gate is None else ["", *gate_table([gate])]
    lines = [
        f"# {config.name}: {_TITLES.get(promotion.outcome, 'champion kept')}",
        "",
        f"Version {promotion.version}. Champion: {champion}.",
        "",
        *(f"- {cell(reason)}" for reason in promotion.reasons),
        *approval,
    ]
    return "\n".join(lines)


def approval_page(config: PipelineConfig, candidate: Candidate, request: ApprovalRequest, form: str) -> str:
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
        f"Submitted by {request.requested_by} on {request.requested_at:%Y-%m-%d %H:%M} UTC. {champion}",
        "",
        f"**Decide before {request.deadline:%Y-%m-%d %H:%M} UTC.** If nobody does, the champion stays.{who}",
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


def rollout_page(config: PipelineConfig, rollout: Rollout, decision: RolloutDecision | None) -> str:
    """Where a rollout is, or how it ended, and what each check found last."""
    ending = rollout.ending
    reasons = ending.reasons if ending is not None else decision.reasons if decision is not None else ()
    steps = [f"{move.at:%Y-%m-%d %H:%M:%S} UTC: step {move.step + 1}, {_step(rollout, move.step)}"
             for move in rollout.moved]  # fmt: skip
    lines = [
        f"# {config.name}: {'rolling out' if ending is None else ending.outcome.replace('_', ' ')}",
        "",
        f"Version {rollout.version}, compared with champion {rollout.champion}.",
        "",
        *(f"- {cell(reason)}" for reason in reasons),
        "",
        *(f"1. {one}" for one in steps),
        *(["", *_checks(decision.checks)] if decision is not None else []),
    ]
    return "\n".join(lines)


def _step(rollout: Rollout, step: int) -> str:
    one = rollout.plan.steps[step]
    share = f" with {one.share:.3g} of the keys" if one.kind == "canary" else ""
    return f"{one.kind}{share}: {one.requests} rows, {one.minutes:g} minutes"


def _checks(checks: tuple[RolloutCheck, ...]) -> list[str]:
    rows = [f"| {one.name} | **{one.outcome.replace('_', ' ')}** | {cell(one.reason)} |" for one in checks]
    return ["| check | outcome | found |", "| --- | --- | --- |", *rows]


def rollback_page(done: Rollback) -> str:
    """What a rollback came to, who asked for it, and why."""
    known = "by personal token" if done.verified else "identity not verified"
    what = "It was being rolled out; the champion is as before." if done.rollout else "It was champion."
    lines = [
        f"# {done.pipeline}: version {done.version} rolled back",
        "",
        f"{what} Champion: version {done.champion}.",
        "",
        f"- By {cell(done.by)} ({known})",
        f"- Why: {cell(done.reason)}",
        f"- To promote it again: `perennial rollback {done.pipeline} --to {done.version} --reason TEXT`",
    ]
    return "\n".join(lines)
