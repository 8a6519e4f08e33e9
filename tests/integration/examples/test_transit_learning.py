"""The simulated city gives a model something to learn, and the detour makes it learn anew."""

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from examples.transit.city import DETOURED_ROUTES, ROUTES
from examples.transit.simulate import Scenario, arrivals, delays

MONDAY = date(2026, 1, 5)
BASE = Scenario(seed=7, trips_per_day=600)
FEATURES = [
    "hour",
    "weekday",
    "route",
    "position",
    "weather",
    "temperature_c",
    "load",
    "headway_min",
    "adherence_min",
]
CATEGORIES = {
    "route": pd.CategoricalDtype([route.name for route in ROUTES]),
    "weather": pd.CategoricalDtype(["clear", "rain", "snow"]),
}


def labelled(scenario: Scenario, first_day: date, n_days: int) -> pd.DataFrame:
    """Return arrivals joined with delays, and the features read from schedule and stop."""
    span = [first_day + timedelta(days=offset) for offset in range(n_days)]
    table = pd.concat([arrivals(scenario, day).merge(delays(scenario, day)) for day in span], ignore_index=True)
    scheduled = pd.to_datetime(table["scheduled_at"])
    return table.assign(
        hour=scheduled.dt.hour,
        weekday=scheduled.dt.dayofweek,
        position=table["stop"].str.slice(-1).astype(int),
    ).astype(CATEGORIES)


def trained(table: pd.DataFrame) -> HistGradientBoostingRegressor:
    model = HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=0)
    return model.fit(table[FEATURES], table["delay_min"])


def error_min(model: HistGradientBoostingRegressor, table: pd.DataFrame) -> float:
    return float(mean_absolute_error(table["delay_min"], model.predict(table[FEATURES])))


@pytest.fixture(scope="module")
def january() -> pd.DataFrame:
    return labelled(BASE, MONDAY, 28)


@pytest.fixture(scope="module")
def model(january: pd.DataFrame) -> HistGradientBoostingRegressor:
    return trained(january)


def test_boosting_beats_the_mean_and_a_linear_model_on_held_out_days(
    january: pd.DataFrame, model: HistGradientBoostingRegressor
) -> None:
    held_out = labelled(BASE, MONDAY + timedelta(days=28), 7)
    linear = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["route", "weather"]), remainder=SimpleImputer()
        ),
        LinearRegression(),
    ).fit(january[FEATURES], january["delay_min"])
    mean_error = float((held_out["delay_min"] - january["delay_min"].mean()).abs().mean())
    linear_error = float(mean_absolute_error(held_out["delay_min"], linear.predict(held_out[FEATURES])))
    boosted = error_min(model, held_out)
    assert boosted < 0.5 * mean_error
    assert boosted < 0.85 * linear_error


def test_after_the_detour_the_old_model_is_much_worse_than_a_retrained_one(
    model: HistGradientBoostingRegressor,
) -> None:
    detour_day = MONDAY + timedelta(days=28)
    detour = replace(BASE, detour_from=detour_day)
    retrained = trained(labelled(detour, detour_day, 14))
    later = labelled(detour, detour_day + timedelta(days=14), 7)
    affected = later["route"].isin(DETOURED_ROUTES)
    assert error_min(model, later[affected]) > 2.0 * error_min(retrained, later[affected])
    assert error_min(model, later) > 1.5 * error_min(retrained, later)
    assert error_min(model, later[~affected]) < 1.2
