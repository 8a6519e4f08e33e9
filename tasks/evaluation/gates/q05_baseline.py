"""Q05: against the baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.evaluation.gates.base import Finding, Gate, GateInputs
from tasks.statistics.metrics import METRIC_KINDS


class BaselineGate(Gate):
    """The candidate is better than the best constant prediction, also where there is a champion to be compared with."""

    code = "Q05"
    title = "against the baseline"
    question = "Is the candidate better on the holdout than the best constant prediction?"

    def severity(self, config: PipelineConfig) -> Literal["block", "warn"]:  # noqa: ARG002  # a gate's signature
        """A warning: the first model must beat the baseline by gate Q02, and a champion may be worse still."""
        return "warn"

    def evaluate(self, config: PipelineConfig, inputs: GateInputs) -> Finding:
        """Compare the primary metric of both on all rows of the holdout."""
        metric = config.evaluation.primary
        mine, baseline = inputs.metrics.values.get(metric), inputs.baseline.values.get(metric)
        if mine is None or baseline is None:
            return Finding("not_applicable", f"{metric} can't be computed for both on {inputs.metrics.rows} rows")
        better = mine > baseline if METRIC_KINDS[metric].greater_is_better else mine < baseline
        reason = f"{metric} {mine:.4g}, that of the best constant is {baseline:.4g}, on {inputs.metrics.rows} rows"
        evidence: dict[str, JsonValue] = {"metric": metric, "candidate": mine, "baseline": baseline}
        return Finding("pass" if better else "warn", reason, evidence)
