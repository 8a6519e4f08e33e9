"""Q02: against the champion."""

from __future__ import annotations

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.evaluation.gates.base import Finding, Gate, GateInputs


class ComparisonGate(Gate):
    """Better than the champion (or not worse, as configured); the first model must beat the baseline."""

    code = "Q02"
    title = "against the champion"
    question = (
        "Is the candidate better than the champion (or not worse), on the same rows, unseen by both, by a paired "
        "bootstrap interval? The first model must beat the best constant prediction."
    )

    def evaluate(self, config: PipelineConfig, inputs: GateInputs) -> Finding:
        """Compare the interval of the improvement with the margin."""
        rule, metric = config.evaluation.comparison, config.evaluation.primary
        incumbent = f"champion {inputs.champion_version}" if inputs.champion_version is not None else "the baseline"
        interval, rows = inputs.comparison, inputs.compared_rows
        evidence: dict[str, JsonValue] = {"rival": incumbent, "rows": rows, "metric": metric}
        alone = ""
        if inputs.left_out_classes:
            evidence["left_out_classes"] = [*inputs.left_out_classes]
            alone = f"; rows of classes that only one of both knows are left out: {', '.join(inputs.left_out_classes)}"
        if interval is None and rows >= rule.min_rows:
            return Finding("error", f"{metric} compared with {incumbent} is undefined on {rows} rows", evidence)
        if interval is None:
            reason = f"{rows} holdout rows are unseen by both, {rule.min_rows} are required{alone}"
            return Finding("not_applicable", f"can't be compared with {incumbent}: {reason}", evidence)
        evidence |= {**interval.model_dump(), "mode": rule.mode, "margin": rule.margin}
        tolerated = 0.0 if inputs.champion_version is None else -rule.margin  # the baseline must be beaten
        needed = rule.margin if rule.mode == "superiority" else tolerated
        better = "better" if interval.estimate >= 0 else "worse"
        reason = (
            f"{metric} {better} by {abs(interval.estimate):.4g} than {incumbent} on {rows} rows "
            f"(improvement {interval.low:.4g} to {interval.high:.4g}, an interval above {needed:g} is required){alone}"
        )
        return Finding("pass" if interval.low > needed else "fail", reason, evidence)
