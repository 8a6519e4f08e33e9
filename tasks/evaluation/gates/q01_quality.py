"""Q01: absolute quality."""

from __future__ import annotations

from pydantic import JsonValue

from configs.schema import Bound, PipelineConfig
from tasks.evaluation.gates.base import Finding, Gate, GateInputs
from tasks.records.decision import MetricSet


class QualityGate(Gate):
    """All bounds are met on the holdout."""

    code = "Q01"
    title = "absolute quality"
    question = "Does every bound on a metric hold on the holdout?"

    def evaluate(self, config: PipelineConfig, inputs: GateInputs) -> Finding:
        """Compare the candidate's metrics with the bounds."""
        primary, metrics = config.evaluation.primary, inputs.metrics
        evidence: dict[str, JsonValue] = {"rows": metrics.rows, **metrics.values}
        if primary not in metrics.values:
            return Finding("error", f"{primary} can't be computed on {metrics.rows} holdout rows", evidence)
        violations = [violation for bound in config.evaluation.bounds if (violation := _violation(bound, metrics))]
        if violations:
            return Finding("fail", "; ".join(violations), evidence)
        limits = "all bounds are met" if config.evaluation.bounds else "no bounds are configured"
        reason = f"{primary} {metrics.values[primary]:.4g} on {metrics.rows} holdout rows; {limits}"
        return Finding("pass", reason, evidence)


def _violation(bound: Bound, metrics: MetricSet) -> str:
    value = metrics.values.get(bound.metric)
    if value is None:
        return f"{bound.metric} can't be computed"
    if bound.minimum is not None and value < bound.minimum:
        return f"{bound.metric} is {value:.4g}, at least {bound.minimum:g} is required"
    if bound.maximum is not None and value > bound.maximum:
        return f"{bound.metric} is {value:.4g}, at most {bound.maximum:g} is allowed"
    return ""
