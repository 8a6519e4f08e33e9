"""How sure is it that one model is better? The interval is as wide as chance is, and as seeded as everything."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from configs.schema import REGRESSION_METRICS, Metric
from tasks.records.decision import Interval
from tasks.statistics import intervals
from tasks.statistics.intervals import improvements, interval
from tasks.statistics.metrics import METRIC_KINDS, ModelPredictions, metric_value, task_metrics

Floats = npt.NDArray[np.float64]


def compare(
    metric: Metric,
    truth: npt.NDArray[Any],
    candidate: ModelPredictions,
    champion: ModelPredictions,
    units: npt.NDArray[np.int64] | None = None,
    **options: Any,
) -> Interval:
    asked = {"resamples": 400, "confidence": 0.95, "seed": 1, **options}
    return improvements([metric], truth, candidate, champion, units, **asked)[metric]


def regression(
    n: int = 400, good: float = 0.5, bad: float = 2.0, seed: int = 0
) -> tuple[Floats, ModelPredictions, ModelPredictions]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 3, n)
    return truth, ModelPredictions(truth + rng.normal(0, good, n)), ModelPredictions(truth + rng.normal(0, bad, n))


def classification(
    n: int = 400, good: float = 3.0, bad: float = 0.2
) -> tuple[npt.NDArray[Any], ModelPredictions, ModelPredictions]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, n)
    names = np.array(["no", "yes"], dtype=object)

    def model(strength: float) -> ModelPredictions:
        score = 1 / (1 + np.exp(-(strength * (codes - 0.5) + rng.normal(0, 1, n))))
        return ModelPredictions(names[(score > 0.5).astype(int)], np.column_stack([1 - score, score]), ("no", "yes"))

    return names[codes], model(good), model(bad)


def pair(metric: Metric) -> tuple[npt.NDArray[Any], ModelPredictions, ModelPredictions]:
    return regression() if metric in REGRESSION_METRICS else classification()


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize("metric", METRIC_KINDS)
@pytest.mark.parametrize("by_day", [False, True], ids=["rows", "days"])
def test_identical_models_differ_by_nothing(metric: Metric, by_day: bool) -> None:
    truth, model, _ = pair(metric)
    units = np.arange(len(truth)) // 20 if by_day else None
    found = compare(metric, truth, model, model, units, resamples=100)
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("metric", METRIC_KINDS)
@pytest.mark.parametrize("by_day", [False, True], ids=["rows", "days"])
def test_a_clearly_better_model_is_surely_better(metric: Metric, by_day: bool) -> None:
    truth, good, bad = pair(metric)
    units = np.arange(len(truth)) // 5 if by_day else None
    better = compare(metric, truth, good, bad, units, resamples=100)
    worse = compare(metric, truth, bad, good, units, resamples=100)
    assert 0 < better.low < better.estimate < better.high
    assert worse.low < worse.estimate < worse.high < 0


@pytest.mark.parametrize("metric", METRIC_KINDS)
def test_the_estimate_is_the_difference_of_the_metric(metric: Metric) -> None:
    truth, good, bad = pair(metric)
    sign = 1 if METRIC_KINDS[metric].greater_is_better else -1
    expected = sign * (metric_value(metric, truth, good) - metric_value(metric, truth, bad))
    assert compare(metric, truth, good, bad, resamples=100).estimate == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2", "roc_auc", "log_loss"])
@pytest.mark.parametrize("by_day", [False, True], ids=["rows", "days"])
def test_the_seed_decides_the_interval(metric: Metric, by_day: bool) -> None:
    truth, good, bad = pair(metric)
    units = np.arange(len(truth)) // 20 if by_day else None
    first, again, other = (compare(metric, truth, good, bad, units, resamples=60, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.estimate == other.estimate
    assert (first.low, first.high) != (other.low, other.high)


def test_the_inputs_are_left_alone() -> None:
    truth, good, bad = regression()
    before = (truth.copy(), good.point.copy(), bad.point.copy())
    compare("rmse", truth, good, bad, np.arange(400) // 7)
    for was, now in zip(before, (truth, good.point, bad.point), strict=True):
        np.testing.assert_array_equal(was, now)


def test_the_interval_is_as_wide_as_theory_has_it() -> None:
    """The mean's standard error of paired differences, times 1.96, both ways."""
    truth, good, bad = regression(n=2_000)
    shares = np.abs(bad.point - truth) - np.abs(good.point - truth)
    expected = 2 * 1.96 * shares.std(ddof=1) / np.sqrt(2_000)
    assert width(compare("mae", truth, good, bad, resamples=4_000)) == pytest.approx(expected, rel=0.06)


def test_more_confidence_is_a_wider_interval() -> None:
    truth, good, bad = regression()
    widths = [
        width(compare("mae", truth, good, bad, confidence=one, resamples=2_000)) for one in (0.6, 0.8, 0.95, 0.99)
    ]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4


def test_the_true_difference_is_inside_about_as_often_as_asked() -> None:
    """90 % intervals of 300 samples: 270 hits, 5.2 standard deviation; four of them are allowed."""
    hits = 0
    true = np.sqrt(2 / np.pi) * (1.2 - 1.0)
    for seed in range(300):
        rng = np.random.default_rng(10_000 + seed)
        truth = np.zeros(250)
        good, bad = ModelPredictions(rng.normal(0, 1.0, 250)), ModelPredictions(rng.normal(0, 1.2, 250))
        found = compare("mae", truth, good, bad, confidence=0.9, resamples=300, seed=seed)
        hits += found.low <= true <= found.high
    assert 249 <= hits <= 291


def test_equal_models_are_seldom_called_better() -> None:
    """The 95 % interval lies above 0 in 2.5 % of cases: 7.5 of 300, and 20 would be far out."""
    wins = 0
    for seed in range(300):
        rng = np.random.default_rng(20_000 + seed)
        models = [ModelPredictions(rng.normal(0, 1, 200)) for _ in range(2)]
        wins += compare("rmse", np.zeros(200), models[0], models[1], resamples=300, seed=seed).low > 0
    assert wins < 20


def by_day(days: int = 60, rows: int = 30) -> tuple[Floats, ModelPredictions, ModelPredictions, npt.NDArray[np.int64]]:
    """Errors of one day hang together: the champion has good and bad days."""
    rng = np.random.default_rng(5)
    units = np.repeat(np.arange(days), rows)
    truth = rng.normal(0, 1, days * rows)
    off = rng.normal(0, 1, days)[units]
    return truth, ModelPredictions(truth + rng.normal(0, 0.3, days * rows)), ModelPredictions(truth + off), units


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_days_widen_the_interval_where_errors_of_a_day_hang_together(metric: Metric) -> None:
    truth, good, bad, units = by_day()
    by_rows = compare(metric, truth, good, bad)
    by_days = compare(metric, truth, good, bad, units)
    assert width(by_days) > 2.5 * width(by_rows)
    assert by_days.estimate == by_rows.estimate


def test_days_do_not_matter_where_errors_do_not_hang_together() -> None:
    truth, good, bad = regression(n=1_800)
    units = np.repeat(np.arange(60), 30)
    ratio = width(compare("mae", truth, good, bad, units, resamples=2_000)) / width(
        compare("mae", truth, good, bad, resamples=2_000)
    )
    assert 0.7 < ratio < 1.4


@pytest.mark.parametrize("metric", ["mae", "r2"])
def test_units_may_be_named_anyhow_and_stand_anywhere(metric: Metric) -> None:
    truth, good, bad, units = by_day(days=20, rows=10)
    names = np.random.default_rng(0).integers(-(2**62), 2**62, 20)[units]
    order = np.argsort(np.random.default_rng(1).random(len(truth)))
    plain = compare(metric, truth, good, bad, units, resamples=800)
    renamed = compare(metric, truth[order], good.take(order), bad.take(order), names[order], resamples=800)
    assert renamed.estimate == pytest.approx(plain.estimate)
    assert width(renamed) == pytest.approx(width(plain), rel=0.2)


def test_one_unit_alone_says_nothing_of_chance() -> None:
    truth, good, bad = regression(n=50)
    found = compare("mae", truth, good, bad, np.zeros(50, dtype=np.int64))
    assert found.low == pytest.approx(found.estimate)
    assert found.high == pytest.approx(found.estimate)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_pooled_units_give_about_the_same_width(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, good, bad = regression(n=4_000)
    plain = compare(metric, truth, good, bad, resamples=1_000)
    monkeypatch.setattr(intervals, "_MAX_UNITS", 400)
    pooled = compare(metric, truth, good, bad, resamples=1_000)
    assert pooled != plain
    assert pooled.estimate == plain.estimate
    assert width(pooled) == pytest.approx(width(plain), rel=0.2)


def test_pooling_keeps_days_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, good, bad, units = by_day(days=600, rows=5)
    plain = compare("mae", truth, good, bad, units, resamples=2_000)
    monkeypatch.setattr(intervals, "_MAX_UNITS", 300)
    pooled = compare("mae", truth, good, bad, units, resamples=2_000)
    assert width(pooled) == pytest.approx(width(plain), rel=0.25)
    assert width(pooled) > 1.5 * width(compare("mae", truth, good, bad, resamples=2_000))


def test_a_sample_of_many_rows_is_never_surer_than_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, good, bad = classification(n=4_000)
    plain = compare("roc_auc", truth, good, bad, resamples=200)
    monkeypatch.setattr(intervals, "_MAX_ROWS", 400)
    sampled = compare("roc_auc", truth, good, bad, resamples=200)
    assert width(sampled) > 2 * width(plain)
    assert sampled.estimate == plain.estimate


@pytest.mark.parametrize("units", [None, 40], ids=["rows", "units"])
def test_a_sample_of_many_rows_still_finds_the_better(units: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_MAX_ROWS", 150)
    truth, good, bad = classification()
    numbers = None if units is None else np.arange(len(truth)) % units
    found = compare("roc_auc", truth, good, bad, numbers, resamples=100)
    assert found.low > 0


def test_resamples_of_one_class_are_left_out() -> None:
    truth, good, bad = classification()
    rare = np.array(["no"] * 59 + ["yes"], dtype=object)
    rows = np.concatenate([np.flatnonzero(truth == "no")[:59], np.flatnonzero(truth == "yes")[:1]])
    found = compare("roc_auc", rare, good.take(rows), bad.take(rows), resamples=200)
    assert np.isfinite([found.low, found.high]).all()


def test_rows_of_one_class_have_no_interval() -> None:
    truth, good, bad = classification()
    rows = np.flatnonzero(truth == "no")[:60]
    pair_of_rows = (truth[rows], good.take(rows), bad.take(rows), None)
    found = improvements(["roc_auc", "log_loss"], *pair_of_rows, resamples=100, confidence=0.95, seed=1)
    assert list(found) == ["log_loss"]


# --- several metrics at once ---


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("by_day", [False, True], ids=["rows", "days"])
def test_metrics_asked_together_are_told_as_each_alone(task: str, by_day: bool) -> None:
    """All share their draws: company changes nothing."""
    asked = task_metrics(task)
    truth, good, bad = pair(asked[0])
    units = np.arange(len(truth)) // 20 if by_day else None
    found = improvements(asked, truth, good, bad, units, resamples=300, confidence=0.9, seed=4)
    assert list(found) == list(asked)
    for metric in asked:
        alone = compare(metric, truth, good, bad, units, resamples=300, confidence=0.9, seed=4)
        assert found[metric] == alone


@pytest.mark.parametrize("metric", METRIC_KINDS)
@pytest.mark.parametrize("codes", [("no", "yes"), ("a", "b", "c")], ids=["two", "three"])
def test_a_weighed_metric_is_that_of_the_rows_drawn(metric: Metric, codes: tuple[str, ...]) -> None:
    """What a resample's weights give is the metric of the rows themselves, each as often as it was drawn."""
    rng = np.random.default_rng(8)
    if metric in REGRESSION_METRICS:
        truth, answers, _ = regression(n=90)
    else:
        classes = np.array(codes, dtype=object)
        chance = np.round(rng.dirichlet(np.ones(len(codes)), 90), 1)  # rounded: many scores are equal
        truth = classes[rng.integers(0, len(codes), 90)]
        answers = ModelPredictions(classes[chance.argmax(axis=1)], chance, codes)
    units = np.arange(90) // 3
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=5).astype(np.float64)
    weighed = intervals._weighted_metric(metric, truth, answers, units, 0)(weights)
    for drawn, found in zip(weights, weighed, strict=True):
        rows = np.repeat(np.arange(90), drawn[units].astype(int))
        assert found == pytest.approx(metric_value(metric, truth[rows], answers.take(rows)))


def test_the_area_gets_fewer_resamples_only_where_it_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, good, bad = classification()
    options: dict[str, Any] = {"resamples": 1_000, "confidence": 0.95, "seed": 1}
    plain = compare("roc_auc", truth, good, bad, **options)
    monkeypatch.setattr(intervals, "_MAX_ROW_VISITS", 1)
    first = improvements(["roc_auc", "accuracy"], truth, good, bad, None, **options)["roc_auc"]
    second = improvements(["accuracy", "roc_auc"], truth, good, bad, None, **options)["roc_auc"]
    few = compare("roc_auc", truth, good, bad, resamples=200)
    assert first == plain
    assert second == few != plain


# --- one model alone ---


@pytest.mark.parametrize("metric", METRIC_KINDS)
@pytest.mark.parametrize("by_day", [False, True], ids=["rows", "days"])
def test_one_model_s_metric_lies_in_its_interval(metric: Metric, by_day: bool) -> None:
    truth, good, bad = pair(metric)
    units = np.arange(len(truth)) // 5 if by_day else None
    better, worse = (
        interval(metric, truth, model, units, resamples=200, confidence=0.95, seed=1) for model in (good, bad)
    )
    assert better is not None
    assert worse is not None
    assert better.estimate == metric_value(metric, truth, good)
    assert better.low < better.estimate < better.high
    assert (better.low > worse.high) if METRIC_KINDS[metric].greater_is_better else (better.high < worse.low)


def test_one_model_s_interval_is_as_wide_as_theory_has_it() -> None:
    truth, good, _ = regression(n=2_000)
    expected = 2 * 1.96 * np.abs(good.point - truth).std(ddof=1) / np.sqrt(2_000)
    found = interval("mae", truth, good, None, resamples=4_000, confidence=0.95, seed=1)
    assert found is not None
    assert width(found) == pytest.approx(expected, rel=0.06)


def test_one_model_has_no_interval_on_rows_of_one_class() -> None:
    truth, good, _ = classification()
    rows = np.flatnonzero(truth == "no")[:60]
    assert interval("roc_auc", truth[rows], good.take(rows), None, resamples=100, confidence=0.95, seed=1) is None
