"""Each gate passes, fails, warns, errs or does not apply; what blocks, blocks."""

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import PipelineConfig
from tasks.evaluation.evaluate import CandidateContext, evaluate_candidate, of_common_classes
from tasks.evaluation.gates.base import Gate, GateInputs, Holdout
from tasks.evaluation.gates.p01_compliance import ComplianceGate
from tasks.evaluation.gates.q01_quality import QualityGate
from tasks.evaluation.gates.q02_comparison import ComparisonGate
from tasks.evaluation.gates.q05_baseline import BaselineGate
from tasks.evaluation.gates.registry import evaluate_gates, gates
from tasks.evaluation.gates.s01_servable import ServableGate
from tasks.records.decision import GateResult, Interval, MetricSet, Verdict
from tasks.statistics.metrics import ModelPredictions
from tests.support.world import ROOT

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NO_ROWS = pa.table({})
BASE: dict[str, Any] = {
    "name": "demand",
    "description": "x",
    "owner": "ana",
    "task": "regression",
    "source": {"landing": "demand"},
    "contract": {"target": "y", "columns": {name: {"type": "number"} for name in ("x", "z", "y")}},
    "features": {"numeric": ("x", "z")},
    "split": {"kind": "random"},
    "training": {"estimator": "sklearn.linear_model.Ridge"},
    "evaluation": {"primary": "mae"},
}
quality, comparison, compliance, servable = QualityGate(), ComparisonGate(), ComplianceGate(), ServableGate()
FACTS = GateInputs(
    metrics=MetricSet(rows=80, values={"mae": 1.0, "rmse": 1.5, "r2": 0.6}),
    baseline=MetricSet(rows=80, values={"mae": 3.0, "rmse": 3.5, "r2": 0.0}),
    champion_version=3,
    comparison=Interval(estimate=0.5, low=0.2, high=0.8, confidence=0.95),
    compared_rows=80,
    probe_difference="",
    train_rows=500,
    newest_event=NOW - timedelta(days=2),
    now=NOW,
    lineage={"dataset": "d", "config": "c"},
)


def config(**changes: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({**BASE, **changes})


def evaluated(primary: str = "mae", **changes: Any) -> PipelineConfig:
    return config(evaluation={"primary": primary, **changes})


def bounded(*bounds: dict[str, Any]) -> PipelineConfig:
    return evaluated(bounds=bounds)


def compared(low: float, high: float = 9.0, **rule: Any) -> GateResult:
    interval = Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.95)
    return comparison.result(evaluated(comparison=rule), replace(FACTS, comparison=interval))


# --- every gate ---


@pytest.mark.parametrize("gate", gates(), ids=lambda gate: gate.code)
def test_each_gate_has_a_code_a_title_and_a_question_and_gives_a_reason(gate: Gate) -> None:
    assert re.fullmatch(r"[A-Z]\d\d", gate.code)
    assert gate.title
    assert gate.question
    assert sys.modules[type(gate).__module__].__doc__
    found = gate.result(config(), FACTS)
    assert (found.code, found.title) == (gate.code, gate.title)
    assert found.severity in ("block", "warn")
    assert found.reason
    assert gate.result(config(), FACTS) == found, "it is pure"


def test_gates_are_found_by_their_folder_in_the_order_of_their_codes() -> None:
    assert [gate.code for gate in gates()] == ["P01", "Q01", "Q02", "Q05", "S01"]
    page = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
    for gate in gates():
        assert f"| {gate.code} | {gate.question} |" in page


# --- Q01 ---


def test_quality_passes_where_all_bounds_hold() -> None:
    found = quality.result(
        bounded({"metric": "r2", "minimum": 0.5, "maximum": 0.9}, {"metric": "mae", "maximum": 2.0}), FACTS
    )
    assert (found.code, found.severity, found.outcome) == ("Q01", "block", "pass")
    assert found.reason == "mae 1 on 80 holdout rows; all bounds are met"
    assert found.evidence == {"rows": 80, "mae": 1.0, "rmse": 1.5, "r2": 0.6}


def test_quality_passes_without_bounds_and_says_so() -> None:
    assert quality.result(config(), FACTS).outcome == "pass"
    assert "no bounds are configured" in quality.result(config(), FACTS).reason


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ({"metric": "r2", "minimum": 0.61}, "r2 is 0.6, at least 0.61 is required"),
        ({"metric": "mae", "maximum": 0.99}, "mae is 1, at most 0.99 is allowed"),
        ({"metric": "rmse", "minimum": 2, "maximum": 3}, "rmse is 1.5, at least 2 is required"),
    ],
)
def test_quality_fails_where_a_bound_is_broken(bound: dict[str, Any], reason: str) -> None:
    found = quality.result(bounded({"metric": "mae", "maximum": 2.0}, bound), FACTS)
    assert (found.outcome, found.reason, found.blocks) == ("fail", reason, True)


@pytest.mark.parametrize("bound", [{"metric": "r2", "minimum": 0.6}, {"metric": "mae", "maximum": 1.0}])
def test_a_bound_reached_exactly_holds(bound: dict[str, Any]) -> None:
    assert quality.result(bounded(bound), FACTS).outcome == "pass"


def test_quality_fails_where_a_bounded_metric_is_not_there() -> None:
    facts = replace(FACTS, metrics=MetricSet(rows=1, values={"mae": 1.0}))
    found = quality.result(bounded({"metric": "r2", "minimum": 0.1}), facts)
    assert (found.outcome, found.reason) == ("fail", "r2 can't be computed")


def test_quality_errs_where_the_primary_metric_is_not_there() -> None:
    found = quality.result(evaluated("r2"), replace(FACTS, metrics=MetricSet(rows=1, values={"mae": 1.0})))
    assert (found.outcome, found.blocks) == ("error", True)
    assert found.reason == "r2 can't be computed on 1 holdout rows"


def test_all_broken_bounds_are_told() -> None:
    found = quality.result(bounded({"metric": "r2", "minimum": 0.9}, {"metric": "mae", "maximum": 0.5}), FACTS)
    assert found.reason == "r2 is 0.6, at least 0.9 is required; mae is 1, at most 0.5 is allowed"


# --- Q05 ---


@pytest.mark.parametrize(("mine", "outcome"), [(0.81, "pass"), (0.82, "warn"), (3.0, "warn")])
def test_a_candidate_that_beats_only_a_bad_champion_is_warned_of(mine: float, outcome: str) -> None:
    facts = replace(
        FACTS,
        metrics=MetricSet(rows=80, values={"mae": mine}),
        baseline=MetricSet(rows=80, values={"mae": 0.82}),
        comparison=Interval(estimate=2.0, low=1.8, high=2.2, confidence=0.95),
    )
    found = BaselineGate().result(config(), facts)
    assert (found.outcome, found.severity, found.blocks) == (outcome, "warn", False)
    assert found.reason == f"mae {mine:.4g}, that of the best constant is 0.82, on 80 rows"


def test_the_direction_of_the_metric_decides_what_beats_the_baseline() -> None:
    better, constant = MetricSet(rows=80, values={"r2": 0.1}), MetricSet(rows=80, values={"r2": 0.0})
    facts = replace(FACTS, metrics=better, baseline=constant)
    assert BaselineGate().result(evaluated("r2"), facts).outcome == "pass"
    facts = replace(facts, metrics=MetricSet(rows=80, values={}))
    assert BaselineGate().result(evaluated("r2"), facts).outcome == "not_applicable"


# --- Q02 ---


def test_rows_of_classes_that_one_model_alone_knows_are_left_out_and_named() -> None:
    truth = np.array(["bus", "tram", "rail", "bus", "monorail"])
    old = ModelPredictions(truth, None, ("bus", "rail", "tram"))
    new = ModelPredictions(truth, None, ("bus", "monorail", "rail"))
    rows, classes = of_common_classes(truth, np.arange(5), new, old)
    assert (rows.tolist(), classes) == ([0, 2, 3], ("monorail", "tram"))
    rows, classes = of_common_classes(truth, np.array([0, 2]), new, old)
    assert (rows.tolist(), classes) == ([0, 2], ())
    found = comparison.result(config(), replace(FACTS, left_out_classes=("monorail", "tram")))
    assert found.reason.endswith("; rows of classes that only one of both knows are left out: monorail, tram")
    assert found.evidence["left_out_classes"] == ["monorail", "tram"]


@pytest.mark.parametrize(
    ("mode", "margin", "low", "outcome"),
    [
        ("superiority", 0.0, 0.01, "pass"),
        ("superiority", 0.0, 0.0, "fail"),
        ("superiority", 0.0, -0.01, "fail"),
        ("superiority", 0.2, 0.21, "pass"),
        ("superiority", 0.2, 0.19, "fail"),
        ("non_inferiority", 0.2, -0.19, "pass"),
        ("non_inferiority", 0.2, -0.2, "fail"),
        ("non_inferiority", 0.2, -0.21, "fail"),
        ("non_inferiority", 0.0, 0.0, "fail"),
    ],
)
def test_the_whole_interval_must_lie_above(mode: str, margin: float, low: float, outcome: str) -> None:
    found = compared(low, mode=mode, margin=margin)
    assert (found.code, found.severity, found.outcome) == ("Q02", "block", outcome)
    assert found.evidence["mode"] == mode
    assert found.evidence["low"] == low


@given(st.floats(-2, 2), st.floats(0, 2), st.floats(0, 1))
def test_what_is_superior_is_not_inferior(low: float, length: float, margin: float) -> None:
    superior = compared(low, low + length, mode="superiority", margin=margin).outcome
    non_inferior = compared(low, low + length, mode="non_inferiority", margin=margin).outcome
    if superior == "pass":
        assert non_inferior == "pass"


def test_the_first_model_must_be_better_than_the_baseline_in_any_mode() -> None:
    rule = evaluated(comparison={"mode": "non_inferiority", "margin": 0.3})
    interval = Interval(estimate=0.1, low=-0.1, high=0.3, confidence=0.95)
    first = comparison.result(rule, replace(FACTS, champion_version=None, comparison=interval))
    later = comparison.result(rule, replace(FACTS, comparison=interval))
    assert (first.outcome, first.evidence["rival"]) == ("fail", "the baseline")
    assert (later.outcome, later.evidence["rival"]) == ("pass", "champion 3")


def test_too_few_rows_unseen_by_both_do_not_apply_and_block() -> None:
    found = comparison.result(evaluated(comparison={"min_rows": 50}), replace(FACTS, comparison=None, compared_rows=12))
    assert (found.outcome, found.blocks) == ("not_applicable", True)
    assert found.reason == ("can't be compared with champion 3: 12 holdout rows are unseen by both, 50 are required")


def test_a_metric_that_is_no_number_on_enough_rows_errs_and_blocks() -> None:
    found = comparison.result(config(), replace(FACTS, comparison=None))
    assert (found.outcome, found.blocks) == ("error", True)
    assert found.reason == "mae compared with champion 3 is undefined on 80 rows"


def test_worse_is_told_as_worse() -> None:
    assert "mae worse by 1 than champion 3 on 80 rows" in compared(-1.5, -0.5).reason
    assert "mae better by 1 than champion 3 on 80 rows" in compared(0.5, 1.5).reason


# --- S01 ---


def test_servable_passes_or_fails() -> None:
    assert servable.result(config(), FACTS).outcome == "pass"
    found = servable.result(config(), replace(FACTS, probe_difference="3 of 20 answers differ"))
    assert (found.code, found.outcome, found.reason, found.blocks) == ("S01", "fail", "3 of 20 answers differ", True)


# --- P01 ---

ALLOWED = {"allowed_estimators": ("sklearn.svm.SVR",)}
RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a banned feature": ({"compliance": {"banned_features": ("z", "y")}}, {}, "banned features are used: z"),
    "no owner": ({"owner": ""}, {}, "the pipeline has no owner"),
    "too few rows": ({"compliance": {"min_training_rows": 501}}, {}, "500 training rows, at least 501 are required"),
    "too old": ({"compliance": {"max_data_age_days": 1.5}}, {}, "newest training row is 2.0 days old, at most 1.5"),
    "no age": ({"compliance": {"max_data_age_days": 9.0}}, {"newest_event": None}, "the data's age is unknown"),
    "another estimator": ({"compliance": ALLOWED}, {}, "estimator sklearn.linear_model.Ridge is not allowed"),
    "no lineage": ({}, {"lineage": {"dataset": "d", "code": "", "run": ""}}, "lineage is missing code, run"),
}


def test_policy_passes_where_every_rule_holds() -> None:
    rules = {
        "banned_features": ("y",),
        "min_training_rows": 500,
        "max_data_age_days": 2.0,
        "allowed_estimators": ("sklearn.linear_model.Ridge",),
    }
    for profile in ("production", "development"):
        found = compliance.result(config(compliance={**rules, "environment": profile}), FACTS)
        assert (found.code, found.outcome, found.reason) == ("P01", "pass", "all rules are met")
        assert not found.blocks
        assert found.evidence["dataset"] == "d"


@pytest.mark.parametrize(("changes", "facts", "reason"), RULES.values(), ids=RULES.keys())
def test_a_broken_rule_blocks_in_production_and_warns_in_development(
    changes: dict[str, Any], facts: dict[str, Any], reason: str
) -> None:
    for profile, outcome, severity in (("production", "fail", "block"), ("development", "warn", "warn")):
        made = config(**{**changes, "compliance": {**changes.get("compliance", {}), "environment": profile}})
        found = compliance.result(made, replace(FACTS, **facts))
        assert (found.outcome, found.severity, found.blocks) == (outcome, severity, profile == "production")
        assert found.reason.startswith(reason)


def test_all_broken_rules_are_told() -> None:
    found = compliance.result(
        config(owner="", compliance={"min_training_rows": 1000, "banned_features": ("x",)}), FACTS
    )
    assert len(found.reason.split("; ")) == 3
    assert found.evidence["broken"] == found.reason.split("; ")


# --- together ---


@pytest.mark.parametrize(
    ("severity", "outcome", "blocks"),
    [
        ("block", "pass", False),
        ("block", "warn", False),
        ("block", "fail", True),
        ("block", "not_applicable", True),
        ("block", "error", True),
        *[("warn", outcome, False) for outcome in ("pass", "warn", "fail", "not_applicable", "error")],
    ],
)
def test_a_blocking_gate_that_is_not_sure_blocks(severity: Any, outcome: Any, blocks: bool) -> None:
    result = GateResult(code="Q01", title="t", severity=severity, outcome=outcome, reason="r")
    assert result.blocks is blocks


def test_all_gates_are_asked() -> None:
    assert [gate.code for gate in evaluate_gates(config(), FACTS)] == ["P01", "Q01", "Q02", "Q05", "S01"]
    assert {gate.outcome for gate in evaluate_gates(config(), FACTS)} == {"pass"}


RNG = np.random.default_rng(0)
TRUTH = RNG.normal(0, 2, 200)
GOOD, BAD, DUMMY = (
    ModelPredictions(TRUTH + RNG.normal(0, 0.3, 200)),
    ModelPredictions(TRUTH + RNG.normal(0, 3, 200)),
    ModelPredictions(0 * TRUTH),
)


def judged(
    candidate: ModelPredictions,
    champion: ModelPredictions | None,
    version: int | None,
    unseen: int = 200,
    difference: str = "",
    **changes: Any,
) -> Verdict:
    return evaluate_candidate(
        config(**changes),
        Holdout(TRUTH, None, np.arange(200) < unseen),
        candidate,
        DUMMY,
        champion,
        CandidateContext(version, 500, NOW, NOW, {"dataset": "d"}, NO_ROWS, Path("model")),
        lambda: difference,
    )


def test_a_better_candidate_passes() -> None:
    found = judged(GOOD, BAD, 3)
    assert found.passed
    assert found.reasons == ()
    assert found.comparison is not None
    assert found.comparison.low > 0
    assert found.metrics.values["mae"] < found.baseline.values["mae"]
    assert found.champion_metrics is not None
    assert found.champion_metrics.rows == 200


def test_a_worse_candidate_is_turned_down_with_its_reason() -> None:
    found = judged(BAD, GOOD, 3)
    assert not found.passed
    assert [reason.split(" ")[0] for reason in found.reasons] == ["Q02"]
    assert "worse" in found.reasons[0]


def test_the_first_candidate_is_held_against_the_baseline() -> None:
    assert judged(GOOD, None, None).passed
    assert not judged(ModelPredictions(TRUTH + 5), None, None).passed
    assert judged(GOOD, None, None).champion_metrics is None


def test_a_champion_that_can_t_be_asked_is_no_win() -> None:
    found = judged(GOOD, None, 3)
    assert not found.passed
    assert found.comparison is None
    assert {gate.code: gate.outcome for gate in found.gates}["Q02"] == "not_applicable"


def test_a_primary_metric_of_one_class_alone_errs_and_blocks() -> None:
    """All holdout rows are of one class: the area under the ROC curve is no number, and nothing is promoted by it."""
    truth = np.array(["no"] * 200, dtype=object)
    answers = ModelPredictions(
        truth, np.column_stack([np.linspace(0.6, 0.9, 200), np.linspace(0.4, 0.1, 200)]), ("no", "yes")
    )
    columns = {"x": {"type": "number"}, "y": {"type": "string"}}
    made = config(
        task="classification",
        contract={"target": "y", "columns": columns},
        features={"numeric": ("x",)},
        evaluation={"primary": "roc_auc"},
    )
    circumstances = CandidateContext(3, 500, NOW, NOW, {"dataset": "d"}, NO_ROWS, Path("model"))
    found = evaluate_candidate(
        made, Holdout(truth, None, truth == "no"), answers, answers, answers, circumstances, lambda: ""
    )
    assert {gate.code: gate.outcome for gate in found.gates if gate.blocks} == {"Q01": "error", "Q02": "error"}
    assert not found.passed


@pytest.mark.parametrize(("unseen", "outcome"), [(49, "not_applicable"), (50, "pass"), (0, "not_applicable")])
def test_only_rows_unseen_by_both_are_compared(unseen: int, outcome: str) -> None:
    found = judged(GOOD, BAD, 3, unseen)
    gate = {gate.code: gate for gate in found.gates}["Q02"]
    assert (gate.outcome, gate.evidence["rows"]) == (outcome, unseen)
    assert found.metrics.rows == 200


def test_rows_that_the_champion_saw_count_for_nothing() -> None:
    cheat = ModelPredictions(np.where(np.arange(200) < 100, TRUTH + 4, TRUTH))
    assert judged(cheat, DUMMY, 3, unseen=200).passed is False
    clean = ModelPredictions(np.where(np.arange(200) < 100, TRUTH, TRUTH + 9))
    assert judged(clean, DUMMY, 3, unseen=100).comparison is not None
    assert judged(clean, DUMMY, 3, unseen=100).passed


def test_one_blocking_gate_is_enough() -> None:
    assert not judged(GOOD, BAD, 3, difference="other answers").passed
    assert not judged(GOOD, BAD, 3, owner="").passed
    assert judged(GOOD, BAD, 3, owner="", compliance={"environment": "development"}).passed
