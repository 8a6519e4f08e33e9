"""The gates. Each looks at facts already gathered and ends as a record; none touches a store."""

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
class Facts:
    """What the gates judge by.

    Attributes:
        metrics: The candidate's, on the holdout.
        baseline: The dummy's, on the same rows.
        champion_version: The champion, None before the first.
        comparison: Improvement over the champion, or over the baseline before the first champion; None where too few
            rows were unseen by both, or where the metric is not a number on them.
        compared_rows: Holdout rows that neither model has seen.
        probe_difference: What differed when a clean process answered the stored sample; empty if nothing.
        train_rows: Training rows.
        newest_event: Event time of the newest training row.
        now: The run's clock.
        lineage: Digests and versions by name; an empty one is missing.
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


def judge(config: PipelineConfig, facts: Facts) -> tuple[GateResult, ...]:
    """All gates, in the order of their codes."""
    return (quality(config, facts), against_champion(config, facts), policy(config, facts), servable(facts))


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


def quality(config: PipelineConfig, facts: Facts) -> GateResult:
    """Q01: every bound holds on the holdout."""
    primary = config.evaluation.primary
    broken = [told for bound in config.evaluation.bounds if (told := _broken(bound, facts.metrics))]
    evidence: dict[str, JsonValue] = {"rows": facts.metrics.rows, **facts.metrics.values}
    shown = _shown(primary, facts.metrics)
    if primary not in facts.metrics.values:
        return _result("Q01", "error", f"{primary} can't be computed on {facts.metrics.rows} holdout rows", evidence)
    if broken:
        return _result("Q01", "fail", "; ".join(broken), evidence)
    limits = "every bound holds" if config.evaluation.bounds else "no bound is set"
    return _result("Q01", "pass", f"{shown} on {facts.metrics.rows} holdout rows; {limits}", evidence)


def _broken(bound: Bound, metrics: MetricSet) -> str:
    found = metrics.values.get(bound.metric)
    if found is None:
        return f"{bound.metric} can't be computed"
    if bound.minimum is not None and found < bound.minimum:
        return f"{bound.metric} is {found:.4g}, at least {bound.minimum:g} is asked"
    if bound.maximum is not None and found > bound.maximum:
        return f"{bound.metric} is {found:.4g}, at most {bound.maximum:g} is asked"
    return ""


def _shown(metric: Metric, metrics: MetricSet) -> str:
    return f"{metric} {metrics.values.get(metric, math.nan):.4g}"


def against_champion(config: PipelineConfig, facts: Facts) -> GateResult:
    """Q02: better than the champion (or not worse, as configured); the first model must beat the baseline."""
    rule, metric = config.evaluation.comparison, config.evaluation.primary
    rival = f"champion {facts.champion_version}" if facts.champion_version is not None else "the baseline"
    interval = facts.comparison
    evidence: dict[str, JsonValue] = {"rival": rival, "rows": facts.compared_rows, "metric": metric}
    if interval is None and facts.compared_rows >= rule.min_rows:
        told = f"{metric} against {rival} is not a number on {facts.compared_rows} rows"
        return _result("Q02", "error", told, evidence)
    if interval is None:
        why = f"{facts.compared_rows} holdout rows are unseen by both, {rule.min_rows} are needed"
        return _result("Q02", "not_applicable", f"can't be compared with {rival}: {why}", evidence)
    evidence |= {**interval.model_dump(), "mode": rule.mode, "margin": rule.margin}
    tolerated = 0.0 if facts.champion_version is None else -rule.margin  # the baseline must be beaten
    needed = rule.margin if rule.mode == "superiority" else tolerated
    better = "better" if interval.estimate >= 0 else "worse"
    told = (
        f"{metric} {better} by {abs(interval.estimate):.4g} than {rival} on {facts.compared_rows} rows "
        f"(improvement {interval.low:.4g} to {interval.high:.4g}, all of it above {needed:g} is asked)"
    )
    return _result("Q02", "pass" if interval.low > needed else "fail", told, evidence)


def servable(facts: Facts) -> GateResult:
    """S01: a clean process loads the model and answers the stored sample as training did."""
    if facts.probe_difference:
        return _result("S01", "fail", facts.probe_difference, {})
    return _result("S01", "pass", "loads in a clean process and answers the stored sample alike", {})


def policy(config: PipelineConfig, facts: Facts) -> GateResult:
    """P01: the house rules. A broken rule blocks in production and warns in development."""
    broken = [told for told in _broken_rules(config, facts) if told]
    warns = config.policy.profile == "development"
    evidence: dict[str, JsonValue] = {
        "profile": config.policy.profile,
        "broken": list(broken),
        "train_rows": facts.train_rows,
        **facts.lineage,
    }
    if not broken:
        return _result("P01", "pass", "every rule holds", evidence, warns=warns)
    return _result("P01", "warn" if warns else "fail", "; ".join(broken), evidence, warns=warns)


def _broken_rules(config: PipelineConfig, facts: Facts) -> Sequence[str]:
    rules = config.policy
    banned = [name for name in config.feature_columns if name in rules.banned_features]
    allowed = rules.allowed_estimators
    missing = [name for name, found in facts.lineage.items() if not found]
    return (
        f"banned features are used: {', '.join(banned)}" if banned else "",
        "" if config.owner else "the pipeline names no owner",
        _too_few(facts.train_rows, rules.min_training_rows),
        too_old(facts.newest_event, facts.now, rules.max_data_age_days),
        f"estimator {config.training.estimator} is not allowed"
        if allowed is not None and config.training.estimator not in allowed
        else "",
        f"lineage lacks {', '.join(missing)}" if missing else "",
    )


def _too_few(rows: int, needed: int) -> str:
    return f"{rows} training rows, at least {needed} are asked" if rows < needed else ""


def too_old(newest_event: datetime | None, now: datetime, max_days: float | None) -> str:
    """How a rule on the age of the newest training row is broken; empty where it is kept, or there is none."""
    if max_days is None:
        return ""
    if newest_event is None:
        return "the data's age is unknown: no event time"
    age = (now - newest_event).total_seconds() / 86_400
    return f"newest training row is {age:.1f} days old, at most {max_days:g} are allowed" if age > max_days else ""
