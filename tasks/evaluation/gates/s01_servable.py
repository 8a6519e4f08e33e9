"""S01: servable."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.evaluation.gates.base import Finding, Gate, GateInputs


class ServableGate(Gate):
    """A clean process loads the model and reproduces the predictions of the stored sample."""

    code = "S01"
    title = "servable"
    question = "Does a new process load the model and predict a stored sample identically?"

    def evaluate(self, config: PipelineConfig, inputs: GateInputs) -> Finding:  # noqa: ARG002  # a gate's signature
        """Fail where the clean process found a difference."""
        if inputs.probe_difference:
            return Finding("fail", inputs.probe_difference)
        return Finding("pass", "loads in a clean process and reproduces the predictions of the stored sample")
