"""Whether a new model is due: by rows, share, recipe or drift, and never without a reason."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import Retrain
from tasks.monitoring.decide import decide_retraining
from tasks.records.decision import RetrainDecision, WatchState

STATES: tuple[WatchState, ...] = get_args(WatchState)


def decided(policy: Retrain | None = None, **changes: Any) -> RetrainDecision:
    states = {"drift": "ok", "performance": "ok"}
    facts: dict[str, Any] = {"labelled": 150, "trained": 100, **states, "recipe": "r", "changed": None}
    return decide_retraining(policy or Retrain(new_rows=1000), **{**facts, **changes})


def test_no_label_is_never_due() -> None:
    for trained in (None, 0, 50):
        found = decided(labelled=0, trained=trained, drift="act", changed="training")
        assert found == RetrainDecision(due=False, reasons=("no labelled row yet",), new_rows=0, recipe="r")


def test_the_first_model_is_due_with_the_first_label() -> None:
    found = decided(labelled=1, trained=None)
    assert found == RetrainDecision(due=True, reasons=("no model yet, 1 labelled rows",), new_rows=1, recipe="r")


@pytest.mark.parametrize(("labelled", "due"), [(100, False), (149, False), (150, True), (151, True)])
def test_enough_new_rows_make_it_due(labelled: int, due: bool) -> None:
    found = decided(Retrain(new_rows=50), labelled=labelled)
    assert (found.due, found.new_rows) == (due, labelled - 100)
    expected = f"{labelled - 100} new labelled rows, 50 make it due" if due else f"waits: {labelled - 100} of 50 new"
    assert found.reasons[0].startswith(expected)


@pytest.mark.parametrize(("labelled", "due"), [(119, False), (120, True)])
def test_a_share_of_what_was_trained_on_must_be_reached_too(labelled: int, due: bool) -> None:
    assert decided(Retrain(new_rows=10, new_share=0.2), labelled=labelled).due is due
    assert decided(Retrain(new_rows=20, new_share=0.01), labelled=labelled).due is due


@pytest.mark.parametrize(("age", "labelled", "due"), [(29.9, 101, False), (30.0, 101, True), (400.0, 100, False)])
def test_an_old_training_is_due_with_any_new_row(age: float, labelled: int, due: bool) -> None:
    assert decided(Retrain(new_rows=1000, max_age_days=30.0), labelled=labelled, age_days=age).due is due
    assert not decided(labelled=labelled, age_days=age).due


def test_another_recipe_is_due_without_a_new_row() -> None:
    found = decided(labelled=100, changed="training", details=("seed: 1 → 2", "numpy 1 → 2"))
    assert (found.due, found.recipe, found.start_from) == (True, "r", "training")
    assert found.reasons == ("training changed: seed: 1 → 2; numpy 1 → 2",)


@pytest.mark.parametrize(
    ("changed", "facts", "start"),
    [
        ("training", {"labelled": 100}, "training"),
        ("training", {"labelled": 101}, "features"),
        ("features", {"labelled": 100}, "features"),
        ("evaluation", {"labelled": 100}, "evaluation"),
        ("evaluation", {"labelled": 101}, "evaluation"),
        ("evaluation", {"labelled": 1100}, "features"),
        ("evaluation", {"labelled": 101, "drift": "act"}, "features"),
    ],
)
def test_it_starts_from_what_changed_first(changed: str, facts: dict[str, Any], start: str) -> None:
    """Other gates alone ask for no other model, though some rows wait."""
    assert decided(changed=changed, details=("x",), **facts).start_from == start


@pytest.mark.parametrize("drift", STATES)
@pytest.mark.parametrize("on_drift", [True, False])
def test_only_a_verdict_to_act_makes_it_due(drift: WatchState, on_drift: bool) -> None:
    found = decided(Retrain(new_rows=1000, on_drift=on_drift), drift=drift)
    assert found.due is (on_drift and drift == "act")


@pytest.mark.parametrize("performance", STATES)
@pytest.mark.parametrize("on_degraded", [True, False])
def test_only_a_degraded_performance_makes_it_due(performance: WatchState, on_degraded: bool) -> None:
    found = decided(Retrain(new_rows=1000, on_degraded=on_degraded), performance=performance)
    assert found.due is (on_degraded and performance == "act")
    assert ("performance verdict: act" in found.reasons) is found.due


def test_a_degraded_performance_without_a_new_row_would_train_the_same_again() -> None:
    assert not decided(labelled=100, performance="act").due
    assert decided(labelled=101, performance="act").start_from == "features"


def test_drift_without_a_new_row_would_train_the_same_again() -> None:
    assert not decided(labelled=100, drift="act").due
    assert decided(labelled=101, drift="act").reasons == ("drift verdict: act",)


def test_fewer_rows_than_before_are_not_new_rows() -> None:
    assert not decided(labelled=60, drift="act").due


def test_all_reasons_are_told() -> None:
    found = decided(Retrain(new_rows=10), drift="act", performance="act", changed="training", details=("seed",))
    assert found.reasons == (
        "50 new labelled rows, 10 make it due",
        "drift verdict: act",
        "performance verdict: act",
        "training changed: seed",
    )


counts = st.integers(0, 10_000)
policies = st.builds(Retrain, new_rows=st.integers(1, 2_000), new_share=st.floats(0, 1), on_drift=st.booleans())


@given(policies, counts, st.one_of(st.none(), counts), st.sampled_from(STATES), st.booleans())
def test_a_decision_has_reasons_and_is_the_same_again(
    policy: Retrain, labelled: int, trained: int | None, drift: WatchState, changed: bool
) -> None:
    facts: dict[str, Any] = {"labelled": labelled, "trained": trained, "drift": drift}
    facts["changed"] = "training" if changed else None
    found = decided(policy, **facts)
    assert found.reasons
    assert all(found.reasons)
    assert found == decided(policy, **facts)
    if found.due:
        assert labelled > 0


@given(policies, counts, counts, st.integers(0, 5_000), st.sampled_from(STATES))
def test_more_rows_never_make_it_less_due(
    policy: Retrain, labelled: int, trained: int, more: int, drift: WatchState
) -> None:
    if decided(policy, labelled=labelled, trained=trained, drift=drift).due:
        assert decided(policy, labelled=labelled + more, trained=trained, drift=drift).due


@given(policies, counts, st.sampled_from(STATES))
def test_a_training_settles_the_rows(policy: Retrain, labelled: int, drift: WatchState) -> None:
    """Right after a training nothing is due, whatever the drift: the same rows give the same model."""
    assert not decided(policy, labelled=labelled, trained=labelled, drift=drift).due
