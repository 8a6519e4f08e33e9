"""Distributions of the champion's training data: the same data pass, shifted data fail, and nothing is infinite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.base import ColumnType
from configs.contract import Column, Expectation
from tasks.validation.expectations import ExpectationOutcome, evaluate, prepare_expectations
from tasks.validation.reference import MOST_VALUES, UNSEEN_SHARE, partition, with_reference
from tests.support.world import World, trips

KL = "expect_column_kl_divergence_to_be_less_than"


def compared(
    reference: pd.Series[Any], current: pd.Series[Any], kind: ColumnType, threshold: float = 0.1
) -> ExpectationOutcome:
    """What Great Expectations itself says of `current`, compared with `reference`."""
    columns = {"x": Column(type=kind, nullable=True)}
    asked = Expectation(type=KL, arguments={"column": "x", "threshold": threshold}, reference="champion")
    (filled,), notes = with_reference([asked], pd.DataFrame({"x": reference}), columns)
    assert notes == []
    (answer,) = evaluate(pd.DataFrame({"x": current}), prepare_expectations([filled], {"x": kind}))
    assert not answer.error_message
    return answer


def divergence(answer: ExpectationOutcome) -> float:
    """The divergence, which is never infinite."""
    assert isinstance(answer.observed, float), answer.observed
    assert np.isfinite(answer.observed)
    return answer.observed


numbers = st.lists(
    st.floats(min_value=-1e9, max_value=1e9, allow_subnormal=False).map(lambda one: round(one, 3)),
    min_size=1,
    max_size=60,
)
words = st.lists(st.sampled_from(["a", "b", "c", "é", "<b>", ""]), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(values=numbers)
def test_the_same_numbers_pass(values: list[float]) -> None:
    same = pd.Series(values)
    answer = compared(same, same, "number", threshold=0.01)
    assert answer.success
    assert divergence(answer) <= 2 * UNSEEN_SHARE


@settings(max_examples=25, deadline=None)
@given(values=words)
def test_the_same_words_pass(values: list[str]) -> None:
    same = pd.Series(values, dtype="str")
    assert compared(same, same, "string", threshold=0.01).success


@settings(max_examples=40, deadline=None)
@given(reference=numbers, current=numbers)
def test_numbers_never_diverge_without_end(reference: list[float], current: list[float]) -> None:
    divergence(compared(pd.Series(reference), pd.Series(current), "number"))


@settings(max_examples=25, deadline=None)
@given(reference=words, current=words)
def test_words_never_diverge_without_end(reference: list[str], current: list[str]) -> None:
    divergence(compared(pd.Series(reference, dtype="str"), pd.Series(current, dtype="str"), "string"))


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.integers(-(10**12), 10**12), min_size=30, max_size=60, unique=True))
def test_numbers_beyond_the_reference_fail(values: list[int]) -> None:
    reference = pd.Series(values)
    answer = compared(reference, reference + (max(values) - min(values) + 1), "integer")
    assert not answer.success
    assert divergence(answer) > 1


def test_another_draw_of_the_same_passes_and_a_shift_fails() -> None:
    rng = np.random.default_rng(7)
    reference, again = (pd.Series(rng.normal(size=5000)) for _ in range(2))
    assert compared(reference, again, "number", threshold=0.02).success
    assert not compared(reference, again + 0.7, "number").success
    assert not compared(reference, again * 0.2, "number").success


def test_booleans_with_missing_values_are_categories() -> None:
    reference = pd.Series([1.0, 0.0, 1.0, np.nan] * 20)  # as a champion's sample has those of a nullable column
    current = pd.Series([True, False, True, None] * 20, dtype=object)
    assert divergence(compared(reference, current, "boolean")) == pytest.approx(0)
    assert not compared(reference, pd.Series([False] * 20), "boolean").success


def test_a_column_that_never_changes() -> None:
    constant = pd.Series([5.0] * 20)
    assert compared(constant, constant, "number").success
    assert not compared(constant, constant + 1, "number").success


def test_an_unseen_value_alone_is_tolerated_and_many_are_not() -> None:
    reference = pd.Series(["a", "b"] * 500, dtype="str")
    assert compared(reference, pd.Series(["a", "b"] * 499 + ["new"], dtype="str"), "string").success
    assert not compared(reference, pd.Series(["a", "b", "new"] * 300, dtype="str"), "string").success


def test_what_the_yaml_says_itself_stands() -> None:
    asked = Expectation(
        type=KL, arguments={"column": "x", "threshold": 1, "tail_weight_holdout": 0.05}, reference="champion"
    )
    (filled,), _ = with_reference([asked], pd.DataFrame({"x": [1.0, 2.0]}), {"x": Column(type="number")})
    assert filled.arguments["tail_weight_holdout"] == 0.05
    assert "partition_object" in filled.arguments


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (None, "there is no champion yet"),
        (pd.DataFrame({"y": [1.0]}), "the champion was trained without this column"),
        (pd.DataFrame({"x": [np.nan]}), "the champion's training data have no values for it"),
        (pd.DataFrame({"x": [np.inf]}), "the champion's training data have no finite values for it"),
    ],
)
def test_without_a_distribution_it_is_left_out_and_told(sample: pd.DataFrame | None, why: str) -> None:
    other = Expectation(type="expect_column_to_exist", arguments={"column": "x"})
    asked = Expectation(type=KL, arguments={"column": "x", "threshold": 1}, reference="champion")
    filled, notes = with_reference([asked, other], sample, {"x": Column(type="number")})
    assert filled == [other]
    assert notes == [f"{KL} of x is skipped: {why}"]


def test_too_many_values_are_no_distribution() -> None:
    with pytest.raises(ValueError, match=f"{MOST_VALUES + 1} different values"):
        partition(pd.Series([f"n{number}" for number in range(MOST_VALUES + 1)]), "string")


@pytest.mark.usefixtures("server")
def test_a_file_that_is_not_like_the_champions_training_data(module_world: World) -> None:
    from tests.support.direct import ingest

    name = "referring"
    own = {"arguments": {"column": "x1", "threshold": 0.5}, "type": KL, "reference": "champion"}
    target = {
        "arguments": {"column": "y", "threshold": 0.5},
        "type": KL,
        "reference": "champion",
        "severity": "warning",
    }
    module_world.pipeline(name, {"expectations": [own, target]})
    module_world.land(name, "1.csv", trips(0, 300, seed=1))
    assert module_world.run(name).outcome == "promoted"
    module_world.land(name, "2.csv", trips(300, 300, seed=2))
    module_world.land(name, "3.csv", trips(600, 300, seed=3, shift=4.0))
    ingest(name)
    ledger = module_world.ledger(name)
    assert {path: one.verdict for path, one in ledger.items()} == {
        "1.csv": "accepted",
        "2.csv": "accepted",
        "3.csv": "rejected",
    }
    assert ledger["3.csv"].reasons[0].startswith(f"{KL}(x1): observed ")
    assert "expected threshold=0.5" in ledger["3.csv"].reasons[0]

    from tasks.stores.lake.tables import Lake
    from tasks.validation.docs.validated import newest

    lake = Lake(module_world.settings, module_world.config(name))
    found = {one.batch.path: {result.column for result in one.failed} for one in newest(lake, 3)}
    assert found == {"1.csv": set(), "2.csv": set(), "3.csv": {"x1", "y"}}
