"""What people read of the checks for drift and performance, and of the decision to retrain."""

from __future__ import annotations

from tasks.records.decision import DriftVerdict, PerformanceVerdict, RetrainDecision


def drift_page(pipeline: str, verdict: DriftVerdict) -> str:
    """The drift check's page in markdown."""
    champion = "no champion" if verdict.champion is None else f"champion version {verdict.champion}"
    lines = [
        f"# {pipeline}: drift {verdict.state}",
        f"{verdict.window_rows} newest rows against {verdict.reference_rows} training rows of {champion}.",
        *(f"- {reason}" for reason in verdict.reasons),
    ]
    if verdict.columns:
        lines += ["", "| column | measure | effect | p-value | drifted |", "| --- | --- | ---: | ---: | --- |"]
        lines += [
            f"| {one.column} | {one.measure} | {one.effect:.3f} | {one.p_value:.2g} | {_yes(one.drifted)} |"
            for one in verdict.columns
        ]
    return "\n".join(lines)


def performance_page(pipeline: str, verdict: PerformanceVerdict) -> str:
    """The performance check's page in markdown."""
    champion = "no champion" if verdict.champion is None else f"champion version {verdict.champion}"
    lines = [
        f"# {pipeline}: performance {verdict.state}",
        f"Predictions of {champion} against the labels that came since.",
    ]
    lines += [f"- {reason}" for reason in verdict.reasons]
    if verdict.interval is not None and verdict.holdout is not None and verdict.limit is not None:
        now = verdict.interval
        lines += ["", f"| {verdict.metric} | |", "| --- | ---: |"]
        lines += [f"| on the holdout, when it was evaluated | {verdict.holdout:.4g} |"]
        lines += [f"| now, on {verdict.rows} rows | {now.estimate:.4g} |"]
        lines += [f"| its {now.confidence:.0%} interval | {now.low:.4g} to {now.high:.4g} |"]
        lines += [f"| limit | {verdict.limit:.4g} |"]
    if verdict.batches:
        lines += ["", f"Files: {', '.join(verdict.batches)}."]
    return "\n".join(lines)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def decision_page(pipeline: str, decision: RetrainDecision) -> str:
    """The decision's page in markdown."""
    reasons = "\n".join(f"- {reason}" for reason in decision.reasons)
    return f"# {pipeline}: {'a new model is due' if decision.due else 'no new model is due'}\n\n{reasons}"
