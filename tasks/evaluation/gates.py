"""The gates: pure functions from their inputs to a result record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from configs.schema import Bound, Metric, PipelineConfig
from tasks.records.decision import GateOutcome, GateResult, Interval, MetricSet

_TITLES = {
    "Q01": "absolute quality",
    "Q02": "against the champion",
    "S01": "servable",
    "P01": "policy",
}


@dataclass(frozen=True)
class GateInputs:
    """The inputs of the gates.

    Attributes:
        metrics: The candidate's metrics on the holdout.
        baseline: The baseline's metrics on the same rows.
        champion_version: Version of the champion; None before the first.
        comparison: Improvement over the champion, or over the baseline before the first champion; None if too few
            rows were unseen by both, or the metric is undefined on them.
        compared_rows: Number of holdout rows that neither model has seen.
        probe_difference: Difference of the predictions of the stored sample in a clean process; empty if none.
        train_rows: Number of training rows.
        newest_event: Event time of the newest training row.
        now: The run's clock.
        lineage: Digests and versions by name; empty ones are missing.
    """

    metrics: MetricSet
    baseline: MetricSet
    champion_version: int | None
    comparison: Interval | None
    compared_rows: int
    probe_difference: str
    train_rows: int
    newest_event: datetime | None
    now: datetime
    lineage: dict[str, str]


def evaluate_gates(config: PipelineConfig, inputs: GateInputs) -> tuple[GateResult, ...]:
    """Evaluate all gates, in the order of their codes."""
    return (
        quality_gate(config, inputs),
        comparison_gate(config, inputs),
        policy_gate(config, inputs),
        servable_gate(inputs),
    )


def _result(
    code: str, outcome: GateOutcome, reason: str, evidence: dict[str, JsonValue], *, warns: bool = False
) -> GateResult:
    return GateResult(
        code=code,
        title=_TITLES[code],
        severity="warn" if warns else "block",
        outcome=outcome,
        reason=reason,
        evidence=evidence,
    )


def quality_gate(config: PipelineConfig, inputs: GateInputs) -> GateResult:
    """Q01: all bounds are met on the holdout."""
    primary = config.evaluation.primary
    violations = [
        violation for bound in config.evaluation.bounds if (violation := _bound_violation(bound, inputs.metrics))
    ]
    evidence: dict[str, JsonValue] = {"rows": inputs.metrics.rows, **inputs.metrics.values}
    metric_text = _format_metric(primary, inputs.metrics)
    if primary not in inputs.metrics.values:
        return _result("Q01", "error", f"{primary} can't be computed on {inputs.metrics.rows} holdout rows", evidence)
    if violations:
        return _result("Q01", "fail", "; ".join(violations), evidence)
    limits = "all bounds are met" if config.evaluation.bounds else "no bounds are configured"
    return _result("Q01", "pass", f"{metric_text} on {inputs.metrics.rows} holdout rows; {limits}", evidence)


def _bound_violation(bound: Bound, metrics: MetricSet) -> str:
    value = metrics.values.get(bound.metric)
    if value is None:
        return f"{bound.metric} can't be computed"
    if bound.minimum is not None and value < bound.minimum:
        return f"{bound.metric} is {value:.4g}, at least {bound.minimum:g} is required"
    if bound.maximum is not None and value > bound.maximum:
        return f"{bound.metric} is {value:.4g}, at most {bound.maximum:g} is allowed"
    return ""


def _format_metric(metric: Metric, metrics: MetricSet) -> str:
    return f"{metric} {metrics.values.get(metric, math.nan):.4g}"


def comparison_gate(config: PipelineConfig, inputs: GateInputs) -> GateResult:
    """Q02: better than the champion (or not worse, as configured); the first model must beat the baseline."""
    rule, metric = config.evaluation.comparison, config.evaluation.primary
    incumbent = f"champion {inputs.champion_version}" if inputs.champion_version is not None else "the baseline"
    interval = inputs.comparison
    evidence: dict[str, JsonValue] = {"rival": incumbent, "rows": inputs.compared_rows, "metric": metric}
    if interval is None and inputs.compared_rows >= rule.min_rows:
        reason = f"{metric} compared with {incumbent} is undefined on {inputs.compared_rows} rows"
        return _result("Q02", "error", reason, evidence)
    if interval is None:
        reason = f"{inputs.compared_rows} holdout rows are unseen by both, {rule.min_rows} are required"
        return _result("Q02", "not_applicable", f"can't be compared with {incumbent}: {reason}", evidence)
    evidence |= {**interval.model_dump(), "mode": rule.mode, "margin": rule.margin}
    tolerated = 0.0 if inputs.champion_version is None else -rule.margin  # the baseline must be beaten
    needed = rule.margin if rule.mode == "superiority" else tolerated
    better = "better" if interval.estimate >= 0 else "worse"
    reason = (
        f"{metric} {better} by {abs(interval.estimate):.4g} than {incumbent} on {inputs.compared_rows} rows "
        f"(improvement {interval.low:.4g} to {interval.high:.4g}, an interval above {needed:g} is required)"
    )
    return _result("Q02", "pass" if interval.low > needed else "fail", reason, evidence)


def servable_gate(inputs: GateInputs) -> GateResult:
    """S01: a clean process loads the model and reproduces the predictions of the stored sample."""
    if inputs.probe_difference:
        return _result("S01", "fail", inputs.probe_difference, {})
    return _result("S01", "pass", "loads in a clean process and reproduces the predictions of the stored sample", {})


def policy_gate(config: PipelineConfig, inputs: GateInputs) -> GateResult:
    """P01: the compliance rules. A violation blocks in production and warns in development."""
    violations = [violation for violation in _policy_violations(config, inputs) if violation]
    warns = config.compliance.environment == "development"
    evidence: dict[str, JsonValue] = {
        "profile": config.compliance.environment,
        "broken": list(violations),
        "train_rows": inputs.train_rows,
        **inputs.lineage,
    }
    if not violations:
        return _result("P01", "pass", "all rules are met", evidence, warns=warns)
    return _result("P01", "warn" if warns else "fail", "; ".join(violations), evidence, warns=warns)


def _policy_violations(config: PipelineConfig, inputs: GateInputs) -> Sequence[str]:
    rules = config.compliance
    banned = [name for name in config.feature_columns if name in rules.banned_features]
    allowed = rules.allowed_estimators
    missing = [name for name, value in inputs.lineage.items() if not value]
    return (
        f"banned features are used: {', '.join(banned)}" if banned else "",
        "" if config.owner else "the pipeline has no owner",
        _row_count_violation(inputs.train_rows, rules.min_training_rows),
        data_age_violation(inputs.newest_event, inputs.now, rules.max_data_age_days),
        f"estimator {config.training.estimator} is not allowed"
        if allowed is not None and config.training.estimator not in allowed
        else "",
        f"lineage is missing {', '.join(missing)}" if missing else "",
    )


def _row_count_violation(rows: int, needed: int) -> str:
    return f"{rows} training rows, at least {needed} are required" if rows < needed else ""


def data_age_violation(newest_event: datetime | None, now: datetime, max_days: float | None) -> str:
    """Return the violation of the maximum age of the newest training row; empty if none."""
    if max_days is None:
        return ""
    if newest_event is None:
        return "the data's age is unknown: no event time"
    age = (now - newest_event).total_seconds() / 86_400
    return f"newest training row is {age:.1f} days old, at most {max_days:g} are allowed" if age > max_days else ""
