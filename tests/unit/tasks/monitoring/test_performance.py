"""Predictions against labels: which rows count, how good they were, and what the tolerance makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import PipelineConfig
from tasks.monitoring import performance
from tasks.records.decision import Interval
from tasks.statistics.metrics import METRIC_KINDS
from tests.support.world import REGRESSION, merged


def pipeline(changes: Mapping[str, Any] | None = None) -> PipelineConfig:
    document = merged({**deepcopy(REGRESSION), "name": "p", "source": {"landing": "p"}}, changes or {})
    return PipelineConfig.model_validate_json(json.dumps(document))


def rows(sequences: list[int], targets: list[float | None] | None = None) -> pa.Table:
    """Observations with ids from 0 on, each of the batch told."""
    table = {"_row_id": pa.array(range(len(sequences))), "_seq": pa.array(sequences)}
    return pa.table(table | ({} if targets is None else {"y": pa.array(targets, pa.float64())}))


def labels(entries: list[tuple[int, int, float | None]]) -> pa.Table:
    """Labels as (row id, sequence number of their batch, target)."""
    ids, sequences, targets = zip(*entries, strict=True) if entries else ((), (), ())
    return pa.table(
        {
            "_row_id": pa.array(ids, pa.int64()),
            "_seq": pa.array(sequences, pa.int64()),
            "y": pa.array(targets, pa.float64()),
        }
    )


BY_DAY = {"evaluation": {"comparison": {"unit": "day"}}}


# --- which rows ---


def test_the_window_is_the_newest_batches_that_have_a_label() -> None:
    observations = rows([3, 3, 5, 7, 9])
    late = labels([(0, 4, 1.0), (2, 6, 2.0), (3, 10, 3.0)])  # nothing of batch 9, half of batch 3
    window = performance.labelled_window(observations, late, "y", 2)
    assert performance.window_batches(window) == [5, 7]
    assert window.column("_row_id").to_pylist() == [2, 3]
    assert window.column("_target").to_pylist() == [2.0, 3.0]
    assert performance.window_batches(performance.labelled_window(observations, late, "y", 9)) == [3, 5, 7]


def test_targets_that_came_with_the_observations_count_where_they_are_known() -> None:
    window = performance.labelled_window(rows([3, 5, 7], [1.0, 2.0, None]), None, "y", 5)
    assert performance.window_batches(window) == [3, 5]


def test_the_newest_label_of_a_row_counts() -> None:
    window = performance.labelled_window(rows([3]), labels([(0, 9, 5.0), (0, 4, 1.0)]), "y", 1)
    assert window.column("_target").to_pylist() == [5.0]


def test_no_label_is_an_empty_window() -> None:
    window = performance.labelled_window(rows([3, 5]), labels([]), "y", 2)
    assert (window.num_rows, performance.window_batches(window)) == (0, [])


def test_only_rows_with_a_prediction_are_joined() -> None:
    window = performance.labelled_window(rows([3, 3, 3], [1.0, 2.0, 3.0]), None, "y", 1)
    told = pa.table({"_row_id": [2, 0, 77], "_seq": [3, 3, 3], "prediction": [2.5, 0.5, 9.9], "scored_at": [0, 0, 0]})
    found = performance.join_predictions(window, told)
    assert found.select(["_row_id", "_target", "prediction"]).to_pylist() == [
        {"_row_id": 0, "_target": 1.0, "prediction": 0.5},
        {"_row_id": 2, "_target": 3.0, "prediction": 2.5},
    ]


def test_columns_are_those_that_are_needed() -> None:
    assert performance.needed_columns(pipeline()) == ["_row_id", "_seq", "y"]
    by_day = pipeline({**BY_DAY, "labels": {"landing": "late"}})
    assert performance.needed_columns(by_day) == ["_row_id", "_seq", "at"]
    group = {"split": {"kind": "group", "column": "kind", "holdout": 0.3}}
    by_group = pipeline({"evaluation": {"comparison": {"unit": "group"}}, **group})
    assert performance.needed_columns(by_group) == ["_row_id", "_seq", "y", "kind"]


# --- how good ---


def table(truth: Any, predicted: Any, **more: Any) -> pa.Table:
    return pa.table({"_row_id": range(len(truth)), "_target": truth, "prediction": predicted, **more})


def test_a_regression_s_metric_is_what_it_is() -> None:
    found, units = performance.measure_performance(pipeline(), table([1.0, 2.0, 4.0] * 40, [1.5, 2.0, 3.0] * 40))
    assert found is not None
    assert found.estimate == pytest.approx(0.5)
    assert found.low < 0.5 < found.high
    assert units is None


def test_days_are_drawn_where_the_comparison_draws_them() -> None:
    by_day = pipeline(BY_DAY)
    rng = np.random.default_rng(0)
    times = pa.array(np.repeat(np.arange(20), 30) * 86_400_000_000, pa.timestamp("us", tz="UTC"))
    errors = rng.normal(0, 1, 20).repeat(30)
    rows_of_days = table(np.zeros(600), errors, at=times)
    whole, units = performance.measure_performance(by_day, rows_of_days)
    alone, _ = performance.measure_performance(pipeline(), rows_of_days)
    assert whole is not None
    assert alone is not None
    assert units == 20
    assert whole.high - whole.low > 2 * (alone.high - alone.low)


CLASSES = {"task": "classification", "evaluation": {"primary": "log_loss"}}


@pytest.mark.parametrize(
    ("kind", "names"), [("string", ("no", "yes")), ("integer", (0, 1)), ("boolean", (False, True))]
)
def test_a_classification_s_metric_is_of_the_stored_probabilities(kind: str, names: tuple[Any, Any]) -> None:
    config = pipeline({"contract": {"columns": {"y": {"type": kind}}}, **CLASSES})
    truth = [names[0], names[1]] * 60
    stored = {
        f"probability_{names[1]}": [0.2, 0.8] * 60,
        f"probability_{names[0]}": [0.8, 0.2] * 60,
        "probability_7": pa.nulls(120, pa.float64()),  # a class that another version knew
    }
    found, _ = performance.measure_performance(config, table(truth, truth, **stored))
    assert found is not None
    assert found.estimate == pytest.approx(-np.log(0.8))


def test_a_classifier_without_probabilities_is_measured_by_its_answers() -> None:
    changes = {**CLASSES, "evaluation": {"primary": "accuracy"}}
    config = pipeline({"contract": {"columns": {"y": {"type": "string"}}}, **changes})
    found, _ = performance.measure_performance(config, table(["a", "b", "a", "b"] * 30, ["a", "b", "b", "b"] * 30))
    assert found is not None
    assert found.estimate == pytest.approx(0.75)


# --- the verdict ---


def judged(
    low: float,
    now: float,
    high: float,
    changes: Mapping[str, Any] | None = None,
    *,
    holdout: float | None = 1.0,
    units: int | None = None,
) -> performance.PerformanceState:
    found = Interval(estimate=now, low=low, high=high, confidence=0.95)
    return performance.performance_state(pipeline(changes), holdout, found, 500, units, 3)


@pytest.mark.parametrize(
    ("low", "now", "high", "state"),
    [
        (0.9, 1.0, 1.1, "ok"),
        (1.1, 1.19, 1.5, "ok"),  # worse, and not beyond the tolerance of a fifth
        (1.1, 1.25, 1.4, "warn"),  # beyond, but perhaps by chance
        (1.21, 1.4, 1.6, "act"),
        (0.1, 0.2, 0.3, "ok"),  # much better
    ],
)
def test_an_error_that_grew_for_sure_beyond_the_tolerance_makes_it_act(
    low: float, now: float, high: float, state: str
) -> None:
    found = judged(low, now, high)
    assert found.state == state
    assert found.limit == pytest.approx(1.2)
    assert found.reasons[0].startswith(f"mae {now:.4g} ({low:.4g} to {high:.4g}) on 500 labelled rows of 3 batches, 1 ")
    assert len(found.reasons) == (2 if state == "warn" else 1)


R2 = {"evaluation": {"primary": "r2"}}


@pytest.mark.parametrize(
    ("holdout", "now", "state"), [(0.9, 0.75, "ok"), (0.9, 0.71, "act"), (-0.5, -0.55, "ok"), (-0.5, -0.65, "act")]
)
def test_a_metric_that_is_better_when_greater_must_not_fall(holdout: float, now: float, state: str) -> None:
    assert judged(now - 0.005, now, now + 0.005, R2, holdout=holdout).state == state


def test_the_tolerance_is_the_configuration_s() -> None:
    loose = {"monitoring": {"performance": {"tolerance": 1.0}}}
    assert judged(1.3, 1.4, 1.5).state == "act"
    assert judged(1.3, 1.4, 1.5, loose).state == "ok"
    assert judged(2.1, 2.2, 2.3, loose).state == "act"


def test_two_days_can_not_tell_it_from_chance() -> None:
    found = judged(1.4, 1.4, 1.4, BY_DAY, units=1)
    assert (found.state, found.reasons[1]) == ("warn", "1 of the 3 days needed to tell this from chance")
    assert judged(1.3, 1.4, 1.5, BY_DAY, units=3).state == "act"
    assert judged(1.0, 1.0, 1.0, BY_DAY, units=1).state == "ok"


def test_what_is_not_known_is_unknown_and_never_fine() -> None:
    good = Interval(estimate=0.5, low=0.4, high=0.6, confidence=0.95)
    config = pipeline()
    for holdout, found, count, told in (
        (1.0, None, 0, "0 predicted rows have a label, at least 100 are needed"),
        (1.0, good, 99, "99 predicted rows have a label, at least 100 are needed"),
        (None, good, 100, "mae was not measured when the champion was evaluated"),
        (1.0, None, 100, "mae is not a number on 100 labelled rows"),
    ):
        assert performance.performance_state(config, holdout, found, count, None, 1) == ("unknown", (told,), None)


numbers = st.floats(-50, 50).map(lambda one: round(one, 3))


@given(st.sampled_from(list(METRIC_KINDS)), numbers, st.tuples(numbers, numbers, numbers).map(sorted), st.floats(0, 2))
def test_it_acts_only_on_what_is_worse_than_the_holdout(
    metric: Any, holdout: float, bounds: list[float], tolerance: float
) -> None:
    task = "regression" if metric in ("mae", "rmse", "r2") else "classification"
    rules = {"monitoring": {"performance": {"tolerance": tolerance}}}
    low, now, high = bounds
    found = judged(low, now, high, {"task": task, "evaluation": {"primary": metric}, **rules}, holdout=holdout)
    assert found.state in ("ok", "warn", "act")
    if found.state == "act":
        assert (high < holdout) if METRIC_KINDS[metric].greater_is_better else (low > holdout)
