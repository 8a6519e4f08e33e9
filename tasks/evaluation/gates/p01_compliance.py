"""P01: the compliance rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.evaluation.data_age import data_age_violation
from tasks.evaluation.gates.base import Finding, Gate, GateInputs


class ComplianceGate(Gate):
    """The rules of the section `compliance`. A violation blocks in production and warns in development."""

    code = "P01"
    title = "policy"
    question = "Owner, banned features, minimum number of rows, age of the data, allowed estimators, complete lineage"

    def severity(self, config: PipelineConfig) -> Literal["block", "warn"]:
        """`warn` in development."""
        return "warn" if config.compliance.environment == "development" else "block"

    def evaluate(self, config: PipelineConfig, inputs: GateInputs) -> Finding:
        """List the rules that are violated."""
        violations = [violation for violation in _violations(config, inputs) if violation]
        evidence: dict[str, JsonValue] = {
            "environment": config.compliance.environment,
            "broken": list(violations),
            "train_rows": inputs.train_rows,
            **inputs.lineage,
        }
        if not violations:
            return Finding("pass", "all rules are met", evidence)
        return Finding("warn" if self.severity(config) == "warn" else "fail", "; ".join(violations), evidence)


def _violations(config: PipelineConfig, inputs: GateInputs) -> Sequence[str]:
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
