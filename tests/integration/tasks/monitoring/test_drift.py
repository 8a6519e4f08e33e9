"""Drift is a large effect that is not chance, over all columns together; what can't be known is unknown."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from configs.schema import Monitoring
from tasks.monitoring.drift import column_drifts, drift_state, holm
from tasks.monitoring.measures import ColumnDistance, column_distances
from tasks.records.decision import ColumnDrift

RULES = Monitoring(warn_effect=0.1, act_effect=0.5, act_share=0.3, significance=0.05)
p_values = st.lists(st.floats(0, 1), max_size=12)


# --- Holm's correction ---


def test_holm_as_computed_by_hand() -> None:
    """Ascending 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1, never less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_one_p_value_as_it_is() -> None:
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_holm_never_exceeds_one() -> None:
    assert holm([0.9, 0.8, 0.5]) == [1.0, 1.0, 1.0]


@given(p_values)
def test_holm_adjusts_upwards_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    for raw, now in zip(values, adjusted, strict=True):
        assert raw <= now <= min(1.0, raw * len(values))
    for one, now in zip(values, adjusted, strict=True):
        for other, then in zip(values, adjusted, strict=True):
            if one <= other:
                assert now <= then


@given(p_values, st.randoms(use_true_random=False))
def test_holm_does_not_look_at_places(values: list[float], random: object) -> None:
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]  # a random.Random
    shuffled = holm([values[place] for place in order])
    adjusted = holm(values)
    assert shuffled == [adjusted[place] for place in order]


@given(p_values, st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_the_step_down_procedure_rejects(values: list[float], level: float) -> None:
    """The procedure in its original form: ascending, until the first that is not below level / (m - rank)."""
    rejected: set[int] = set()
    for rank, place in enumerate(sorted(range(len(values)), key=lambda one: values[one])):
        if (len(values) - rank) * values[place] >= level:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(values)) if p < level} == rejected


# --- columns ---


def measured(column: str, effect: float, p_value: float, numeric: bool = True) -> ColumnDistance:
    return ColumnDistance(column, numeric, effect, p_value)


@pytest.mark.parametrize(
    ("effect", "p_value", "drifted"),
    [(0.1, 0.04, True), (0.09, 0.0, False), (9.0, 0.05, False), (9.0, 0.06, False), (0.0, 1.0, False)],
)
def test_drift_is_a_large_effect_that_is_not_chance(effect: float, p_value: float, drifted: bool) -> None:
    (found,) = column_drifts([measured("x", effect, p_value)], [], RULES)
    assert found == ColumnDrift(column="x", measure="wasserstein", effect=effect, p_value=p_value, drifted=drifted)


def test_many_columns_need_smaller_p_values() -> None:
    one = column_drifts([measured("x", 1.0, 0.01)], [], RULES)
    ten = column_drifts([measured("x", 1.0, 0.01), *[measured(f"c{n}", 0.0, 0.9) for n in range(9)]], [], RULES)
    assert one[0].drifted
    assert ten[0].column == "x"
    assert ten[0].p_value == pytest.approx(0.1)
    assert not ten[0].drifted


def test_columns_are_sorted_by_effect_then_name() -> None:
    found = column_drifts(
        [measured("b", 0.2, 0.5), measured("a", 0.2, 0.5), measured("c", 0.7, 0.5, numeric=False)], [], RULES
    )
    assert [(one.column, one.measure) for one in found] == [
        ("c", "jensen_shannon"),
        ("a", "wasserstein"),
        ("b", "wasserstein"),
    ]


def test_a_lost_column_has_drifted_and_costs_the_others_nothing() -> None:
    found = column_drifts([measured("x", 0.2, 0.04)], ["gone"], RULES)
    assert found[0] == ColumnDrift(column="gone", measure="missing", effect=1.0, p_value=0.0, drifted=True)
    assert found[1].drifted


# --- the verdict ---


def drifted(*effects: float, of: int = 20) -> list[ColumnDrift]:
    """So many columns, of which the first have drifted by these effects."""
    padded = [*effects, *[0.01] * (of - len(effects))]
    return [
        ColumnDrift(column=f"c{place}", measure="wasserstein", effect=effect, p_value=0.0, drifted=place < len(effects))
        for place, effect in enumerate(padded)
    ]


def test_no_column_is_unknown_never_fine() -> None:
    assert drift_state([], RULES) == ("unknown", ("no column could be measured",))
    assert drift_state(column_drifts([], [], RULES), RULES)[0] == "unknown"


def test_no_drift_is_ok() -> None:
    assert drift_state(drifted(), RULES) == ("ok", ("none of 20 columns drifted",))


@pytest.mark.parametrize(
    ("effects", "state"),
    [
        ((0.2,), "warn"),
        ((0.49, 0.2, 0.2, 0.2, 0.2), "warn"),
        ((0.5,), "act"),
        ((0.11,) * 6, "act"),
        ((0.11,) * 5, "warn"),
        ((0.11,) * 20, "act"),
    ],
)
def test_a_share_or_one_strong_column_makes_it_act(effects: tuple[float, ...], state: str) -> None:
    found, reasons = drift_state(drifted(*effects), RULES)
    assert found == state
    assert reasons[0].startswith(f"{len(effects)} of 20 columns drifted: c0 (wasserstein {effects[0]:.2f})")
    assert len(reasons) == (2 if state == "act" else 1)


def test_a_strong_effect_that_may_be_chance_is_no_reason() -> None:
    chance = [one.model_copy(update={"effect": 3.0, "drifted": False}) for one in drifted(of=5)]
    assert drift_state(chance, RULES)[0] == "ok"


def test_a_lost_column_makes_it_act_alone() -> None:
    found = column_drifts([measured(f"c{n}", 0.0, 0.9) for n in range(50)], ["gone"], RULES)
    state, reasons = drift_state(found, RULES)
    assert state == "act"
    assert reasons == ("1 of 51 columns drifted: gone (missing 1.00)", "no value any more in gone")


def test_a_lost_column_makes_it_act_whatever_the_rules() -> None:
    rules = Monitoring(warn_effect=5.0, act_effect=9.0, act_share=1.0)
    state, _ = drift_state(column_drifts([measured("x", 0.0, 0.9)], ["gone"], rules), rules)
    assert state == "act"


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=8))
def test_a_verdict_is_ok_only_without_drift(values: list[tuple[float, float]]) -> None:
    found = column_drifts([measured(f"c{place}", *one) for place, one in enumerate(values)], [], RULES)
    state, reasons = drift_state(found, RULES)
    assert (state == "ok") == (not any(one.drifted for one in found))
    assert state != "unknown"
    assert reasons


# --- Evidently itself ---

N = 600
NUMERIC, CATEGORICAL = ["x", "n", "flag"], ["place"]


def sample(seed: int, shift: float = 0.0, places: tuple[float, ...] = (0.5, 0.3, 0.2), n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(5 + 2 * shift, 2, n),
            "n": rng.integers(0, 50, n),
            "flag": (rng.random(n) < 0.5).astype(float),
            "place": pd.Series(rng.choice(["north", "south", "Zürich"], n, p=places), dtype="str"),
        }
    )


def measure_all(current: pd.DataFrame, reference: pd.DataFrame) -> dict[str, ColumnDistance]:
    return {one.column: one for one in column_distances(current, reference, NUMERIC, CATEGORICAL)}


def state_of(current: pd.DataFrame, reference: pd.DataFrame) -> str:
    return drift_state(column_drifts(list(measure_all(current, reference).values()), [], RULES), RULES)[0]


def test_samples_of_one_kind_do_not_drift() -> None:
    found = column_drifts(list(measure_all(sample(1), sample(2)).values()), [], RULES)
    assert {one.column for one in found} == {*NUMERIC, *CATEGORICAL}
    assert [one.column for one in found if one.drifted] == []
    assert state_of(sample(1), sample(2)) == "ok"


def test_the_same_sample_differs_by_nothing() -> None:
    for one in measure_all(sample(1), sample(1)).values():
        assert one.effect == pytest.approx(0, abs=1e-9)
        assert one.p_value == pytest.approx(1)


def test_a_shifted_number_drifts_alone() -> None:
    found = column_drifts(list(measure_all(sample(1, shift=0.8), sample(2)).values()), [], RULES)
    assert [one.column for one in found if one.drifted] == ["x"]
    assert state_of(sample(1, shift=0.8), sample(2)) == "act"


def test_effects_and_p_values_are_scipy_s() -> None:
    current, reference = sample(1, shift=0.3), sample(2)
    found = measure_all(current, reference)
    for name in ("x", "n"):
        distance = stats.wasserstein_distance(reference[name], current[name]) / reference[name].std(ddof=0)
        assert found[name].effect == pytest.approx(distance, rel=0.01)
        assert found[name].p_value == pytest.approx(stats.ks_2samp(reference[name], current[name]).pvalue, rel=1e-6)
        assert found[name].numeric


def test_other_shares_of_categories_drift() -> None:
    found = column_drifts(list(measure_all(sample(1, places=(0.1, 0.2, 0.7)), sample(2)).values()), [], RULES)
    assert [(one.column, one.measure) for one in found if one.drifted] == [("place", "jensen_shannon")]


@pytest.mark.parametrize("side", ["current", "reference"])
def test_a_category_that_one_side_lacks_drifts(side: str) -> None:
    more, fewer = sample(1), sample(2, places=(0.7, 0.3, 0.0))
    pair = (more, fewer) if side == "current" else (fewer, more)
    found = column_drifts(list(measure_all(*pair).values()), [], RULES)
    assert [one.column for one in found if one.drifted] == ["place"]


def test_missing_values_are_left_out_of_both_sides() -> None:
    current, reference = sample(1), sample(2)
    current.loc[::3, ["x", "place"]] = None
    assert state_of(current, reference) == "ok"
    shifted = sample(1, shift=1.0)
    shifted.loc[::3, "x"] = np.nan
    assert state_of(shifted, reference) == "act"


def test_a_column_without_any_value_is_not_measured() -> None:
    current, reference = sample(1), sample(2)
    current["x"] = np.nan
    reference["place"] = pd.Series([None] * N, dtype="str")
    assert set(measure_all(current, reference)) == {"n", "flag"}


def test_nothing_to_measure_is_nothing_measured() -> None:
    assert column_distances(sample(1), sample(2), [], []) == []


def test_a_constant_that_changes_drifts() -> None:
    current, reference = sample(1), sample(2)
    current["n"], reference["n"] = 8, 7
    found = measure_all(current, reference)["n"]
    assert found.p_value < 1e-6
    assert found.effect >= RULES.warn_effect


def test_a_constant_that_stays_does_not() -> None:
    current, reference = sample(1), sample(2)
    current["n"], reference["n"] = 7, 7
    assert measure_all(current, reference)["n"].effect == 0


def test_integers_as_categories_are_measured_as_such() -> None:
    current, reference = sample(1), sample(2)
    current["n"], reference["n"] = current["n"] % 3, reference["n"] % 3
    (found,) = column_distances(current, reference, [], ["n"])
    assert not found.numeric
    assert found.effect < RULES.warn_effect
    assert found.p_value > 1e-4


def test_sides_of_other_sizes_can_be_compared() -> None:
    assert state_of(sample(1, n=150), sample(2, n=3000)) == "ok"
    assert state_of(sample(1, shift=1.0, n=150), sample(2, n=3000)) == "act"


def test_the_frames_are_left_alone() -> None:
    current, reference = sample(1), sample(2)
    before = current.copy(deep=True), reference.copy(deep=True)
    measure_all(current, reference)
    pd.testing.assert_frame_equal(current, before[0])
    pd.testing.assert_frame_equal(reference, before[1])


def test_measures_repeat_themselves() -> None:
    assert measure_all(sample(1, 0.2), sample(2)) == measure_all(sample(1, 0.2), sample(2))
