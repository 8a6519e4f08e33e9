"""What `perennial run --json` prints; docs/json.md says what each field means."""

from __future__ import annotations

from typing import Any

from tasks.records.decision import DriftVerdict, PerformanceVerdict
from tasks.records.report import LifecycleReport


def run_json(report: LifecycleReport) -> dict[str, Any]:
    """A run's report as one JSON object, with the same fields whatever its outcome."""
    batches = report.ingest.batches
    return {
        "pipeline": report.pipeline,
        "outcome": report.outcome,
        "reasons": list(report.reasons),
        "version": report.version,
        "champion": report.champion,
        "metrics": report.metrics,
        "champion_metrics": report.champion_metrics,
        "baseline": report.baseline,
        "gates": [gate.model_dump(mode="json") for gate in report.gates],
        "drift": _verdict(report.drift),
        "performance": _verdict(report.performance),
        "batches": {"accepted": len(report.ingest.accepted), "rejected": len(report.ingest.rejected)},
        "rows": {
            "accepted": sum(batch.accepted for batch in batches),
            "quarantined": sum(batch.quarantined for batch in batches),
        },
        "scored": report.scored,
        "stages": [stage.model_dump(mode="json") for stage in report.stages],
    }


def _verdict(verdict: DriftVerdict | PerformanceVerdict | None) -> dict[str, Any]:
    """A verdict of monitoring; where the run did not come to monitoring, its state is unknown."""
    if verdict is None:
        return {"state": "unknown", "reasons": ["this run did not come to monitoring"]}
    return verdict.model_dump(mode="json")
