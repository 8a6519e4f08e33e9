"""What decides a step of a rollout: evidence, rules and a clock to a decision. No data is never fine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import Comparison
from configs.serving import RolloutPlan
from tasks.records.rollout import RolloutCheck, RolloutDecision
from tasks.release.rollout.decide import Rules, decide
from tasks.release.rollout.evidence import Evidence, Labelled, Pairs
from tasks.statistics.distances import class_shift, number_shift, wilson_lower_bound
from tasks.statistics.metrics import ModelPredictions

BEGAN = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEPS: list[dict[str, Any]] = [
    {"kind": "shadow", "requests": 100, "minutes": 10},
    {"kind": "canary", "share": 0.1, "requests": 50},
]


def rules(**changes: Any) -> Rules:
    plan = RolloutPlan.model_validate({"steps": STEPS, **changes}, strict=False)
    return Rules(plan, "regression", "mae", Comparison(resamples=200), 1)


def pairs(rows: int = 200, *, shift: float = 0.0, times: float = 1.0, base: float = 10.0) -> Pairs:
    rng = np.random.default_rng(3)
    theirs, took = rng.normal(0.0, 2.0, rows), rng.uniform(0.9, 1.1, rows) * base
    return Pairs(ModelPredictions(theirs + 2.0 * shift), ModelPredictions(theirs), took * times, took)


def labelled(rows: int, worse: float) -> Labelled:
    rng = np.random.default_rng(4)
    truth = rng.normal(0.0, 1.0, rows)
    theirs = truth + rng.normal(0.0, 0.3, rows)
    mine = truth + rng.normal(0.0, 0.3, rows) + worse
    return Labelled(truth, ModelPredictions(mine), ModelPredictions(theirs), np.arange(rows))


FINE = Evidence(answered=200, asked=200, failed=0, pairs=pairs())


def decided(
    evidence: Evidence, step: int = 0, *, after: float = 60.0, by: Rules | None = None, since: float = 0.0
) -> RolloutDecision:
    """What is decided some minutes after the rollout began, in a step that began later."""
    begun = BEGAN + timedelta(minutes=since)
    now = BEGAN + timedelta(minutes=after)
    return decide(by or rules(), step, evidence, began=BEGAN, since=begun, now=now)


def check(decision: RolloutDecision, name: str) -> RolloutCheck:
    return next(one for one in decision.checks if one.name == name)


def test_a_step_with_enough_rows_and_time_leads_to_the_next_and_the_last_to_promotion() -> None:
    assert decided(FINE).action == "advance"
    last = decided(FINE, 1)
    assert (last.action, last.step, last.steps, last.answered) == ("promote", 1, 2, 200)
    assert {one.outcome for one in last.checks if one.name != "labels"} == {"pass"}
    assert check(last, "labels").outcome == "not_applicable"


def test_what_is_missing_is_told() -> None:
    waits = decided(replace(FINE, answered=40, asked=40), after=4.0)
    assert waits.action == "go_on"
    assert waits.reasons == ("40 of 100 rows are answered", "4.0 of 10 minutes are over")


@pytest.mark.parametrize("step", [0, 1])
def test_no_data_is_never_fine(step: int) -> None:
    nothing = decided(Evidence(answered=0, asked=0, failed=0), step, after=24 * 60)
    assert nothing.action == "go_on"
    assert {one.outcome for one in nothing.checks if one.name != "deadline"} == {"not_applicable"}
    few = rules(steps=[{"kind": "shadow", "requests": 5}])
    told = decided(Evidence(answered=10, asked=10, failed=0, pairs=pairs(10)), by=few)
    assert told.action == "go_on", "ten rows are enough for the step, but too few to compare"
    assert "latency: both answered 10 rows, 30 are needed to compare" in told.reasons


def test_too_little_by_the_deadline_goes_back() -> None:
    late = decided(replace(FINE, answered=40, asked=40), after=72 * 60 + 1)
    assert (late.action, late.reasons) == (
        "roll_back",
        ("deadline: 72 of 72 hours are over", "40 of 100 rows are answered"),
    )
    assert decided(FINE, 1, after=72 * 60 + 1).action == "promote", "all is there, and was only looked at late"
    assert decided(FINE, 0, after=72 * 60 + 1).action == "roll_back"


@pytest.mark.parametrize(
    ("asked", "failed", "action"),
    [
        (200, 0, "advance"),
        (200, 3, "advance"),
        (200, 10, "roll_back"),
        (20, 20, "roll_back"),
        (20, 2, "advance"),
        (3, 3, "roll_back"),
    ],
)
def test_errors_beyond_what_may_be_by_an_interval(asked: int, failed: int, action: str) -> None:
    found = decided(Evidence(answered=200, asked=asked, failed=failed, pairs=pairs()))
    assert found.action == action
    assert check(found, "errors").figures["failed"] == failed


@pytest.mark.parametrize(("asked", "action"), [(0, "roll_back"), (200, "roll_back")])
def test_what_the_service_refuses_to_load_goes_back(asked: int, action: str) -> None:
    found = decided(Evidence(answered=asked, asked=asked, failed=0, pairs=pairs(), refused="it does not load"))
    assert found.action == action
    assert found.reasons == ("errors: the service refused it: it does not load",)


@pytest.mark.parametrize(
    ("times", "base", "action"), [(1.5, 10.0, "advance"), (3.0, 10.0, "roll_back"), (3.0, 1.0, "advance")]
)
def test_slowness_counts_from_a_ratio_and_a_floor_on(times: float, base: float, action: str) -> None:
    found = decided(replace(FINE, pairs=pairs(times=times, base=base)))
    assert found.action == action
    assert check(found, "latency").figures["ratio"] == pytest.approx(times)


def test_beside_a_canary_the_champion_is_timed_where_callers_waited_for_it() -> None:
    three = pairs(times=3.0)
    assert decided(replace(FINE, pairs=replace(three, waited_ms=np.full(200, 25.0)))).action == "advance"
    assert decided(replace(FINE, pairs=replace(three, waited_ms=np.full(200, 1.0)))).action == "roll_back"


def test_few_or_scattered_times_are_no_slowness() -> None:
    slow = pairs(times=3.0)
    few = replace(slow, challenger_ms=slow.challenger_ms[:9], champion_ms=slow.champion_ms[:9])
    waits = decided(replace(FINE, pairs=few))
    assert waits.action == "go_on"
    assert waits.reasons == ("latency: both were timed on 9 requests, 10 are needed to compare",)
    times = np.array([8.0, 9.0, 11.0, 12.0, 13.0, 24.0, 25.0, 26.0, 30.0, 31.0, 33.0, 40.0])
    scattered = replace(slow, challenger_ms=times, champion_ms=np.full(12, 10.0))
    assert decided(replace(FINE, pairs=scattered)).action == "advance", "its median is 2.45 times, but not surely"


@pytest.mark.parametrize(("shift", "action"), [(0.0, "advance"), (0.3, "advance"), (0.7, "roll_back")])
def test_predictions_that_lie_elsewhere(shift: float, action: str) -> None:
    found = decided(replace(FINE, pairs=pairs(shift=shift)))
    assert found.action == action
    assert check(found, "predictions").figures["shift"] == pytest.approx(shift, abs=0.03)


@pytest.mark.parametrize(
    ("rows", "worse", "outcome"), [(200, 0.5, "fail"), (200, 0.0, "pass"), (20, 0.5, "not_applicable")]
)
def test_labels_where_there_are_enough(rows: int, worse: float, outcome: str) -> None:
    found = decided(replace(FINE, labelled=labelled(rows, worse)))
    assert check(found, "labels").outcome == outcome
    assert found.action == ("roll_back" if outcome == "fail" else "advance")


def test_classes_are_compared_by_how_often_they_are_given() -> None:
    yes, no = np.array(["yes"] * 100, dtype=object), np.array(["no"] * 100, dtype=object)
    one = Pairs(ModelPredictions(yes), ModelPredictions(no), np.ones(100), np.ones(100))
    by = replace(rules(), task="classification")
    assert check(decided(replace(FINE, pairs=one), by=by), "predictions").figures["shift"] == pytest.approx(1.0)
    assert class_shift(yes, yes) == 0.0
    assert class_shift(np.concatenate([yes, no]), np.concatenate([no, yes])) == 0.0


@given(failed=st.integers(0, 300), more=st.integers(0, 300))
def test_the_interval_lies_below_the_share(failed: int, more: int) -> None:
    rows = failed + more
    low = wilson_lower_bound(failed, rows)
    assert 0.0 <= low <= (failed / rows if rows else 0.0) + 1e-12
    assert wilson_lower_bound(failed * 10, rows * 10) >= low - 1e-12, "more of the same makes it surer"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-100, 100), st.floats(0.01, 100))
def test_the_shift_is_what_it_was_moved_by_in_any_unit(values: list[float], moved: float, unit: float) -> None:
    theirs = np.array(values)
    found = number_shift(theirs + moved, theirs)
    assert np.isfinite(found)
    spread, size = float(np.std(theirs)), float(np.max(np.abs(theirs)))
    spread = spread if spread > 1e-9 * size else size if size > 1e-300 else 1.0
    assert found * spread == pytest.approx(abs(moved), rel=1e-6, abs=1e-6)
    if np.std(theirs) > 1e-2:
        assert number_shift((theirs + moved) * unit, theirs * unit) == pytest.approx(found, rel=1e-3, abs=1e-6)


def test_rounding_is_no_spread() -> None:
    always = np.full(1000, 0.1) * 3.0
    always[::2] = 0.3
    assert number_shift(np.full(1000, 0.3003), always) == pytest.approx(0.001, rel=1e-6)


@given(
    asked=st.integers(0, 400),
    share=st.floats(0.0, 1.0),
    shift=st.floats(0.0, 2.0),
    times=st.floats(0.1, 10.0),
    minutes=st.floats(0.0, 100.0),
    step=st.integers(0, 1),
)
def test_a_decision_follows_from_its_checks(
    asked: int, share: float, shift: float, times: float, minutes: float, step: int
) -> None:
    failed = int(asked * share)
    good = asked - failed
    evidence = Evidence(good, asked, failed, pairs(good, shift=shift, times=times) if good else None)
    found = decided(evidence, step, after=minutes)
    outcomes = {one.name: one.outcome for one in found.checks}
    if "fail" in outcomes.values():
        assert found.action == "roll_back"
    elif found.action in ("advance", "promote"):
        assert good >= STEPS[step]["requests"]
        assert minutes >= STEPS[step].get("minutes", 0.0)
        assert {outcomes["errors"], outcomes["latency"], outcomes["predictions"]} == {"pass"}
    assert found.reasons
    assert found == decided(evidence, step, after=minutes)
    assert RolloutDecision.model_validate_json(found.model_dump_json()) == found
