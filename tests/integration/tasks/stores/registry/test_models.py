"""Models on disk: what was fitted comes back, and nothing is built that was not looked at."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from configs.schema import CustomFeature, Features
from tasks.features.definitions import build_transformer
from tasks.stores.registry import models
from tasks.stores.registry.models import ModelError
from tests.support.world import ROOT

N = 120
# Not audited: a tree's arrays index each other unchecked.
FEATURES = Features(
    numeric=("x", "n"), categorical=("place",), scale=True, calendar=("hour", "weekday", "elapsed_days")
)


def frame(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    x[::7] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "n": rng.integers(0, 5, N),
            "place": pd.Series(rng.choice(["north", "south", "Zürich"], N), dtype="str"),
            "at": pd.date_range("2026-01-01", periods=N, freq="h").to_numpy().astype("datetime64[us]"),
        }
    )


def numbers() -> Any:
    data = frame()
    return data["n"].to_numpy() + np.nan_to_num(data["x"].to_numpy()) + 1.5


def labels() -> Any:
    return np.where(numbers() > 3.5, "late", "on time").astype(object)


def fitted(estimator: Any, target: Any, features: Features = FEATURES) -> Pipeline:
    return Pipeline([("features", build_transformer(features, "at")), ("model", estimator)]).fit(frame(), target)


ESTIMATORS: dict[str, Callable[[], Pipeline]] = {
    "ridge": lambda: fitted(Ridge(), numbers()),
    "gradient boosting": lambda: fitted(HistGradientBoostingRegressor(max_iter=5), numbers()),
    "gradient boosting, poisson": lambda: fitted(
        HistGradientBoostingRegressor(max_iter=5, loss="poisson"), np.abs(numbers())
    ),
    "gradient boosting, quantile": lambda: fitted(
        HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.9), numbers()
    ),
    "forest": lambda: fitted(RandomForestRegressor(5, random_state=0), numbers()),
    "logistic": lambda: fitted(LogisticRegression(max_iter=5000), labels()),
    "boosted classes": lambda: fitted(HistGradientBoostingClassifier(max_iter=5), labels()),
    "boosted three classes": lambda: fitted(
        HistGradientBoostingClassifier(max_iter=5), frame()["place"].to_numpy(dtype=object)
    ),
    "extra trees, ordinal": lambda: fitted(
        ExtraTreesClassifier(5, random_state=0), labels(), FEATURES.model_copy(update={"encoding": "ordinal"})
    ),
}


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_a_pipeline_comes_back_and_answers_alike(make: Callable[[], Pipeline], tmp_path: Path) -> None:
    model = make()
    models.save(model, tmp_path / "model.skops")
    assert models.untrusted_types(tmp_path / "model.skops") == []
    again = models.load(tmp_path / "model.skops")
    fresh = frame(seed=1)
    fresh.loc[0, "place"] = "unseen"
    point, probabilities = models.predict(model, fresh)
    point_again, probabilities_again = models.predict(again, fresh)
    assert np.array_equal(point, point_again)
    assert (probabilities is None) == (probabilities_again is None)
    if probabilities is not None and probabilities_again is not None:
        assert np.array_equal(probabilities, probabilities_again)
        assert np.array_equal(point, model.predict(fresh))


def test_the_class_is_that_of_the_estimator_s_own_predict() -> None:
    from sklearn.metrics import recall_score
    from sklearn.model_selection import TunedThresholdClassifierCV

    rng = np.random.default_rng(0)
    x = pd.DataFrame({"x": rng.normal(size=2_000)})
    y = (rng.random(2_000) < 1 / (1 + np.exp(4 - 2 * x["x"]))).astype(int)
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy").fit(x, y)
    point, probabilities = models.predict(tuned, x)
    assert np.array_equal(point, tuned.predict(x))
    assert probabilities is not None
    likeliest = np.asarray(tuned.classes_)[probabilities.argmax(axis=1)]
    assert recall_score(y, point) > 2 * recall_score(y, likeliest)


class Unknown(Ridge):
    """A type that nobody has looked at."""


def test_a_type_nobody_looked_at_is_refused_by_name(tmp_path: Path) -> None:
    model = Unknown().fit([[1.0], [2.0]], [1.0, 2.0])
    name = f"{Unknown.__module__}.Unknown"
    models.save(model, tmp_path / "model.skops")
    with pytest.raises(ModelError) as caught:
        models.load(tmp_path / "model.skops")
    assert str(caught.value).startswith(f"{tmp_path / 'model.skops'} holds types that are not audited: {name}. ")
    assert "training.trusted_types" in str(caught.value)
    with pytest.raises(ModelError, match="the fitted model holds types that are not audited"):
        models.check_types(model)


def test_a_type_that_was_trusted_loads(tmp_path: Path) -> None:
    model = Unknown().fit([[1.0], [2.0]], [1.0, 2.0])
    name = f"{Unknown.__module__}.Unknown"
    models.save(model, tmp_path / "model.skops")
    assert models.untrusted_types(tmp_path / "model.skops") == [name]
    assert models.untrusted_types(tmp_path / "model.skops", [name]) == []
    models.check_types(model, [name])
    assert np.array_equal(models.load(tmp_path / "model.skops", [name]).predict([[3.0]]), model.predict([[3.0]]))


def test_types_of_our_own_features_are_audited() -> None:
    assert "tasks.features.definitions.AsNumber" in models.AUDITED
    models.check_types(ESTIMATORS["gradient boosting"]())


def saved(folder: Path) -> Path:
    path = folder / "model.skops"
    models.save(Ridge().fit([[1.0], [2.0]], [1.0, 2.0]), path)
    return path


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other(path: Path) -> None:
    path.write_bytes(b"these are not the bytes of a model")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="missing"),
        pytest.param(folder_instead, id="a folder"),
        pytest.param(half, id="half"),
        pytest.param(other, id="other bytes"),
        pytest.param(emptied, id="empty"),
        pytest.param(flipped, id="a flipped byte"),
    ],
)
def test_a_damaged_file_is_a_model_error(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = saved(tmp_path)
    damage(path)
    with pytest.raises(ModelError, match=r"can't be loaded as a model"):
        models.load(path)


def test_predictions_have_a_column_a_class() -> None:
    model = ESTIMATORS["logistic"]()
    columns = models.prediction_columns(model, frame())
    assert list(columns) == ["prediction", "probability_late", "probability_on time"]
    assert set(columns["prediction"].to_pylist()) == {"late", "on time"}
    sums = np.sum([columns[name].to_numpy() for name in list(columns)[1:]], axis=0)
    assert np.allclose(sums, 1.0)


def test_a_regression_has_one_column() -> None:
    columns = models.prediction_columns(ESTIMATORS["ridge"](), frame())
    assert list(columns) == ["prediction"]
    assert columns["prediction"].type == pa.float64()


def store(folder: Path, model: Any) -> None:
    (folder / models.EXTRA).mkdir()
    models.save(model, folder / models.MODEL_FILE)
    pq.write_table(models.probe(model, frame().head(20)), folder / models.EXTRA / models.PROBE_FILE)


@pytest.mark.parametrize("name", ["ridge", "boosted classes", "extra trees, ordinal"])
def test_a_stored_model_answers_its_probe(name: str, tmp_path: Path) -> None:
    store(tmp_path, ESTIMATORS[name]())
    assert models.verify_probe(tmp_path) == ""


def test_a_changed_answer_is_told(tmp_path: Path) -> None:
    store(tmp_path, ESTIMATORS["ridge"]())
    path = tmp_path / models.EXTRA / models.PROBE_FILE
    stored = pq.read_table(path)
    answers = stored.column(f"{models.PROBE_PREDICTION}prediction").to_numpy().copy()
    answers[:3] = np.nextafter(answers[:3], np.inf)
    place = stored.schema.get_field_index(f"{models.PROBE_PREDICTION}prediction")
    pq.write_table(stored.set_column(place, f"{models.PROBE_PREDICTION}prediction", pa.array(answers)), path)
    assert models.verify_probe(tmp_path) == "3 of 20 answers differ from those recorded at training"


def test_another_model_in_its_place_is_told(tmp_path: Path) -> None:
    store(tmp_path, ESTIMATORS["ridge"]())
    models.save(ESTIMATORS["forest"](), tmp_path / models.MODEL_FILE)
    assert models.verify_probe(tmp_path).startswith("20 of 20 answers differ")


def clean_process(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.stores.registry.models"],
        input=json.dumps({"folder": str(folder), "trusted": []}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_a_clean_process_answers(tmp_path: Path) -> None:
    store(tmp_path, ESTIMATORS["logistic"]())
    assert clean_process(tmp_path) == '{"difference": ""}'


def test_a_clean_process_tells_why_it_could_not(tmp_path: Path) -> None:
    store(tmp_path, ESTIMATORS["ridge"]())
    half(tmp_path / models.MODEL_FILE)
    assert "can't be loaded as a model" in clean_process(tmp_path)


def test_a_custom_transformer_of_scikit_learn_loads(tmp_path: Path) -> None:
    custom = CustomFeature(
        name="bins",
        transformer="sklearn.preprocessing.KBinsDiscretizer",
        columns=("n",),
        parameters={"n_bins": 3, "encode": "ordinal", "quantile_method": "linear"},
    )
    model = fitted(Ridge(), numbers(), FEATURES.model_copy(update={"custom": (custom,)}))
    store(tmp_path, model)
    assert models.verify_probe(tmp_path) == ""
