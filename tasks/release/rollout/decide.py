"""Whether a rollout goes on, takes its next step, ends well, or goes back: evidence and rules to a decision. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from configs.schema import Comparison, Metric
from configs.serving import RolloutChecks, RolloutPlan
from tasks.records.decision import Interval
from tasks.records.rollout import RolloutCheck, RolloutDecision
from tasks.release.rollout.evidence import Evidence, Labelled, Pairs
from tasks.statistics.distances import class_shift, median_interval, number_shift, wilson_lower_bound
from tasks.statistics.intervals import improvements

Floats = npt.NDArray[np.float64]
# One failed row of the first few is a share of which even the interval's lower end is large: it may be the caller's.
LEAST_FAILED = 3
LEAST_TIMES = 10


@dataclass(frozen=True)
class Rules:
    """What a rollout goes by.

    Attributes:
        plan: The rollout, as it was configured when it began.
        task: The pipeline's.
        primary: The metric that predictions with labels are evaluated by.
        comparison: How it is resampled.
        seed: Of that.
    """

    plan: RolloutPlan
    task: Literal["regression", "classification"]
    primary: Metric
    comparison: Comparison
    seed: int


def decide(
    rules: Rules, step: int, evidence: Evidence, *, began: datetime, since: datetime, now: datetime
) -> RolloutDecision:
    """What is to become of a rollout now.

    Args:
        rules: What it goes by.
        step: Number of the step that it is in, from 0.
        evidence: What is known of it.
        began: When the rollout began.
        since: When the step began.
        now: The present.
    """
    plan = rules.plan
    checks = (
        errors(plan.checks, evidence),
        latency(plan.checks, evidence.pairs),
        predictions(rules, evidence.pairs),
        labels(rules, evidence.labelled),
    )
    missing = _missing(plan, step, evidence, checks, now - since)
    last = step == len(plan.steps) - 1
    late = deadline(plan, now - began, done=last and not missing)
    broken = [one for one in (*checks, late) if one.outcome == "fail"]
    action: Literal["go_on", "advance", "promote", "roll_back"] = "promote" if last else "advance"
    if broken:
        action, reasons = "roll_back", [f"{one.name}: {one.reason}" for one in broken]
        reasons += missing if late in broken else []
    elif missing:
        action, reasons = "go_on", missing
    else:
        reasons = [f"{one.name}: {one.reason}" for one in checks]
    return RolloutDecision(
        action=action,
        step=step,
        steps=len(plan.steps),
        answered=evidence.answered,
        reasons=tuple(reasons),
        checks=(*checks, late),
    )


def _missing(
    plan: RolloutPlan, step: int, evidence: Evidence, checks: Sequence[RolloutCheck], spent: timedelta
) -> list[str]:
    """What the step still waits for. What nobody could look at yet is never fine: only labels may stay away."""
    asked, minutes = plan.steps[step].requests, spent.total_seconds() / 60.0
    missing = [f"{evidence.answered} of {asked} rows are answered"] if evidence.answered < asked else []
    if minutes < plan.steps[step].minutes:
        missing.append(f"{minutes:.1f} of {plan.steps[step].minutes:g} minutes are over")
    waits = [one for one in checks if one.outcome == "not_applicable" and one.name != "labels"]
    return missing + [f"{one.name}: {one.reason}" for one in waits]


def errors(checks: RolloutChecks, evidence: Evidence) -> RolloutCheck:
    """Does it fail more rows than it may, by the lower end of a 95 % interval of the share, or not load at all?"""
    if evidence.refused:
        return RolloutCheck(name="errors", outcome="fail", reason=f"the service refused it: {evidence.refused}")
    if evidence.asked == 0:
        return RolloutCheck(name="errors", outcome="not_applicable", reason="it was asked nothing yet")
    low = wilson_lower_bound(evidence.failed, evidence.asked)
    share = evidence.failed / evidence.asked
    reason = (
        f"{evidence.failed} of {evidence.asked} rows failed ({share:.2%}; its 95 % interval begins at {low:.2%}); "
        f"{checks.max_error_share:.2%} may, or {LEAST_FAILED - 1} rows"
    )
    figures = {"asked": float(evidence.asked), "failed": float(evidence.failed), "share": share, "at_least": low}
    failed = low > checks.max_error_share and evidence.failed >= LEAST_FAILED
    return RolloutCheck(name="errors", outcome="fail" if failed else "pass", reason=reason, figures=figures)


def latency(checks: RolloutChecks, pairs: Pairs | None) -> RolloutCheck:
    """Is its median time for a prediction too long beside the champion's, by the near ends of 95 % intervals?"""
    rows = 0 if pairs is None else len(pairs.champion.point)
    if pairs is None or rows < checks.min_rows:
        return _few("latency", rows, checks.min_rows)
    both = np.isfinite(pairs.challenger_ms) & np.isfinite(pairs.champion_ms)
    times, needed = int(both.sum()), min(LEAST_TIMES, checks.min_rows)
    if times < needed:
        reason = f"both were timed on {times} requests, {needed} are needed to compare"
        return RolloutCheck(name="latency", outcome="not_applicable", reason=reason, figures={"times": float(times)})
    mine, theirs = median_interval(pairs.challenger_ms[both]), median_interval(pairs.champion_ms[both])
    others = pairs.waited_ms[np.isfinite(pairs.waited_ms)]
    waited = len(others) >= needed and np.median(others) > theirs.estimate
    theirs = median_interval(others) if waited else theirs
    ratio = mine.estimate / max(theirs.estimate, 1e-6)
    slow = mine.low > checks.max_latency_ratio * theirs.high and mine.low > checks.latency_floor_ms
    reason = (
        f"median {mine.estimate:.3g} ms ({mine.low:.3g} to {mine.high:.3g}), champion {theirs.estimate:.3g} ms "
        f"({theirs.low:.3g} to {theirs.high:.3g}){' for others meanwhile' if waited else ''}: {ratio:.2f} times; "
        f"{checks.max_latency_ratio:g} may be, or {checks.latency_floor_ms:g} ms"
    )
    figures = {"times": float(times), "challenger_ms": mine.estimate, "champion_ms": theirs.estimate, "ratio": ratio}
    return RolloutCheck(name="latency", outcome="fail" if slow else "pass", reason=reason, figures=figures)


def predictions(rules: Rules, pairs: Pairs | None) -> RolloutCheck:
    """Do its predictions lie too far from the champion's for the same rows?"""
    checks = rules.plan.checks
    rows = 0 if pairs is None else len(pairs.champion.point)
    if pairs is None or rows < checks.min_rows:
        return _few("predictions", rows, checks.min_rows)
    if rules.task == "regression":
        shift, measure = number_shift(pairs.challenger.point, pairs.champion.point), "standard deviations"
    else:
        shift, measure = class_shift(pairs.challenger.point, pairs.champion.point), "Jensen-Shannon distance"
    reason = f"{shift:.3g} away from the champion's on the same {rows} rows ({measure}); {checks.max_shift:g} may be"
    return RolloutCheck(
        name="predictions",
        outcome="fail" if shift > checks.max_shift else "pass",
        reason=reason,
        figures={"rows": float(rows), "shift": shift},
    )


def labels(rules: Rules, labelled: Labelled | None) -> RolloutCheck:
    """Is it surely worse than the champion on the rows whose label is known?"""
    needed = rules.plan.checks.min_labels
    rows = 0 if labelled is None else len(labelled.truth)
    if labelled is None or rows < needed:
        reason = f"{rows} rows have a label, {needed} are needed"
        return RolloutCheck(name="labels", outcome="not_applicable", reason=reason, figures={"rows": float(rows)})
    improvement = _improvement(rules, labelled)
    if improvement is None:
        reason = f"{rules.primary} is not a number on {rows} rows with a label"
        return RolloutCheck(name="labels", outcome="not_applicable", reason=reason, figures={"rows": float(rows)})
    better = "better" if improvement.estimate >= 0 else "worse"
    reason = (
        f"{rules.primary} {better} by {abs(improvement.estimate):.4g} than the champion on {rows} rows with a label "
        f"(improvement {improvement.low:.4g} to {improvement.high:.4g})"
    )
    return RolloutCheck(
        name="labels",
        outcome="fail" if improvement.high < 0 else "pass",
        reason=reason,
        figures={
            "rows": float(rows),
            "improvement": improvement.estimate,
            "low": improvement.low,
            "high": improvement.high,
        },
    )


def _improvement(rules: Rules, labelled: Labelled) -> Interval | None:
    return improvements(
        [rules.primary],
        labelled.truth,
        labelled.challenger,
        labelled.champion,
        labelled.units,
        resamples=rules.comparison.resamples,
        confidence=rules.comparison.confidence,
        seed=rules.seed,
    ).get(rules.primary)


def deadline(plan: RolloutPlan, spent: timedelta, *, done: bool) -> RolloutCheck:
    """Is the time for all steps over, and they are not done?"""
    hours = spent.total_seconds() / 3600.0
    late = hours > plan.deadline_hours and not done
    reason = f"{hours:.3g} of {plan.deadline_hours:g} hours are over"
    figures = {"hours": hours}
    return RolloutCheck(name="deadline", outcome="fail" if late else "pass", reason=reason, figures=figures)


def _few(name: Literal["latency", "predictions"], rows: int, needed: int) -> RolloutCheck:
    reason = f"both answered {rows} rows, {needed} are needed to compare"
    return RolloutCheck(name=name, outcome="not_applicable", reason=reason, figures={"rows": float(rows)})
