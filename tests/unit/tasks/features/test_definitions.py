"""Features by one transformer: calendar parts as pandas has them, encodings that take what never was there."""

from datetime import datetime
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from configs.schema import CalendarPart, CustomFeature, Features
from tasks.errors import UsageError
from tasks.features.definitions import AsNumber, Calendar, build_transformer, create_estimator

PARTS: tuple[CalendarPart, ...] = get_args(CalendarPart)
moments = st.lists(
    st.one_of(st.none(), st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1))),  # noqa: DTZ001  # UTC is implied
    min_size=1,
    max_size=20,
)


def by_pandas(times: pd.Series, part: CalendarPart) -> Any:
    dt: Any = times.dt
    days = (times.dt.normalize() - pd.Timestamp("1970-01-01")).dt.days
    return {
        "hour": dt.hour,
        "weekday": dt.weekday,
        "day": dt.day,
        "month": dt.month,
        "day_of_year": dt.dayofyear,
        "is_weekend": dt.weekday.where(dt.weekday.isna(), dt.weekday >= 5),
        "hour_of_week": dt.weekday * 24 + dt.hour,
        "elapsed_days": days,
    }[part]


@given(moments, st.sampled_from(["s", "ms", "us"]))
def test_calendar_parts_are_those_of_pandas(values: list[datetime | None], unit: str) -> None:
    times = pd.Series(values, dtype=f"datetime64[{unit}]")
    found = Calendar(PARTS).fit_transform(times.to_frame("at"))
    assert found.shape == (len(values), len(PARTS))
    assert found.dtype == np.float64
    for place, part in enumerate(PARTS):
        expected = by_pandas(times, part).astype("float64").to_numpy(na_value=np.nan)
        np.testing.assert_array_equal(found[:, place], expected, err_msg=part)


def test_calendar_parts_of_one_moment_are_known() -> None:
    found = Calendar(PARTS).fit_transform(pd.DataFrame({"at": [pd.Timestamp("2024-12-29 23:59:59")]}))
    named = dict(zip(PARTS, found[0], strict=True))
    assert named == {
        "hour": 23,
        "weekday": 6,
        "day": 29,
        "month": 12,
        "day_of_year": 364,
        "is_weekend": 1,
        "hour_of_week": 6 * 24 + 23,
        "elapsed_days": 20_086,
    }


def test_a_missing_time_has_no_parts() -> None:
    found = Calendar(PARTS).fit_transform(pd.DataFrame({"at": pd.to_datetime(["NaT", "2024-01-01"])}))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_calendar_names_its_columns() -> None:
    assert Calendar(("hour", "month")).fit(pd.DataFrame({"at": []})).get_feature_names_out().tolist() == [
        "hour",
        "month",
    ]


def test_calendar_leaves_its_input_alone() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2024-01-01", "NaT"])})
    before = frame.copy(deep=True)
    Calendar(PARTS).fit_transform(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_numbers_are_floats_and_missing_ones_nan() -> None:
    frame = pd.DataFrame({"i": [1, 2], "b": [True, False], "f": [0.5, np.nan], "o": pd.array([3, None], dtype="Int64")})
    found = AsNumber().fit(frame).transform(frame)
    np.testing.assert_array_equal(found, [[1, 1, 0.5, 3], [2, 0, np.nan, np.nan]])
    assert AsNumber().fit(frame).get_feature_names_out().tolist() == ["i", "b", "f", "o"]


TRAIN = pd.DataFrame(
    {
        "x": [1.0, 2.0, np.nan, 9.0],
        "n": [1, 2, 3, 4],
        "place": pd.Series(["north", "south", None, "north"], dtype="str"),
        "at": pd.to_datetime(["2024-01-01 05:00", "2024-01-02 06:00", "NaT", "2024-01-06 07:00"]),
    }
)
ODD = TRAIN.assign(place=pd.Series(["west", None, "south", "north"], dtype="str"), x=np.nan)


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize("scale", [False, True])
def test_every_encoding_takes_what_never_was_there(encoding: Any, scale: bool) -> None:
    features = Features(
        numeric=("x", "n"), categorical=("place",), encoding=encoding, scale=scale, calendar=("hour", "is_weekend")
    )
    built = build_transformer(features, "at").fit(TRAIN)
    width = 2 + (3 if encoding == "onehot" else 1) + 2
    for frame in (TRAIN, ODD):
        found = built.transform(frame)
        assert found.shape == (4, width)
        assert np.isfinite(found[:, : width - 2].astype(float)).all()
    assert len(built.get_feature_names_out()) == width


def test_missing_numbers_are_the_training_median() -> None:
    built = build_transformer(Features(numeric=("x",)), None).fit(TRAIN)
    assert built.transform(TRAIN)[:, 0].tolist() == [1, 2, 2, 9]
    assert built.transform(ODD)[:, 0].tolist() == [2, 2, 2, 2]


def test_scaled_numbers_have_mean_zero_and_deviation_one() -> None:
    found = build_transformer(Features(numeric=("x", "n"), scale=True), None).fit_transform(TRAIN)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), 1)


def test_unseen_and_missing_categories_are_two_of_their_own() -> None:
    built = build_transformer(Features(categorical=("place",), encoding="ordinal"), None).fit(TRAIN)
    north, south, missing, _ = built.transform(TRAIN)[:, 0].tolist()
    west, missing_again, south_again, _ = built.transform(ODD)[:, 0].tolist()
    assert (south, missing) == (south_again, missing_again)
    assert len({north, south, missing, west}) == 4


def test_the_order_of_input_columns_does_not_matter() -> None:
    built = build_transformer(Features(numeric=("x", "n"), calendar=("hour",)), "at").fit(TRAIN)
    np.testing.assert_array_equal(built.transform(TRAIN[["at", "n", "place", "x"]]), built.transform(TRAIN))


def custom(**changes: Any) -> Features:
    base = {"name": "bins", "transformer": "sklearn.preprocessing.MinMaxScaler", "columns": ("n",)}
    return Features(custom=(CustomFeature.model_validate({**base, **changes}),))


def test_a_custom_transformer_is_made_with_its_parameters() -> None:
    built = build_transformer(custom(parameters={"feature_range": [0, 2], "clip": True}), None)
    assert built.transformers[0][1].clip is True
    built = build_transformer(custom(), None)
    assert built.fit_transform(TRAIN)[:, 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_what_is_built_can_be_cloned() -> None:
    features = custom().model_copy(update={"numeric": ("x",), "calendar": ("hour",), "categorical": ("place",)})
    built = build_transformer(features, "at")
    np.testing.assert_array_equal(clone(built).fit_transform(TRAIN), built.fit_transform(TRAIN))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"transformer": "no_such_module.Thing"}, "'no_such_module.Thing' can't be imported"),
        ({"transformer": "sklearn.preprocessing.NoSuch"}, "'sklearn.preprocessing.NoSuch' can't be imported"),
        ({"transformer": "sklearn.preprocessing.scale"}, "not a scikit-learn-compatible class"),
        ({"transformer": "os.path.join"}, "not a scikit-learn-compatible class"),
        ({"parameters": {"no_such": 1}}, "rejects its parameters"),
    ],
)
def test_a_custom_transformer_that_can_t_be_made_is_a_usage_error(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_transformer(custom(**changes), None)
    assert str(caught.value).startswith("features.custom[0].transformer: ")
    assert told in str(caught.value)


def test_the_field_that_is_wrong_is_named() -> None:
    with pytest.raises(UsageError, match=r"^training.estimator: 'a.b' can't be imported"):
        create_estimator("a.b", {}, "training.estimator")


def test_no_event_time_has_no_calendar() -> None:
    assert [
        name for name, *_ in build_transformer(Features(numeric=("x",), calendar=("hour",)), None).transformers
    ] == ["numeric"]


def test_an_argument_that_names_an_estimator_is_made() -> None:
    ridge: dict[str, Any] = {"estimator": "sklearn.linear_model.Ridge", "parameters": {"alpha": 3.0}}
    search = create_estimator(
        "sklearn.model_selection.GridSearchCV", {"estimator": ridge, "param_grid": {"alpha": [1]}}, "at.x"
    )
    assert (search.estimator.alpha, search.param_grid) == (3.0, {"alpha": [1]})
    stack = create_estimator(
        "sklearn.ensemble.StackingRegressor", {"estimators": [["a", ridge]], "final_estimator": ridge}, "at.x"
    )
    assert [(name, one.alpha) for name, one in stack.estimators] == [("a", 3.0)]
    assert stack.final_estimator is not stack.estimators[0][1]


@pytest.mark.parametrize("name", ["HalvingGridSearchCV", "HalvingRandomSearchCV"])
def test_what_is_experimental_is_imported_where_it_is_named(name: str) -> None:
    grid = "param_grid" if "Grid" in name else "param_distributions"
    within: dict[str, Any] = {"estimator": {"estimator": "sklearn.linear_model.Ridge"}, grid: {"alpha": [1, 2]}}
    assert type(create_estimator(f"sklearn.model_selection.{name}", within, "training.estimator")).__name__ == name


@pytest.mark.parametrize(
    ("within", "told"),
    [
        (
            {"estimator": "sklearn.linear_model.Rigde"},
            r"training.parameters.estimator.estimator: 'sklearn.linear_model.Rigde' can't be imported",
        ),
        (
            {"estimator": "sklearn.linear_model.Ridge", "alpha": 1},
            r"training.parameters.estimator: found alpha beside it; expected an estimator as \{estimator: import path",
        ),
        (
            {"estimator": "sklearn.linear_model.Ridge", "parameters": [1]},
            r"training.parameters.estimator: found parameters: \[1\]; expected an estimator as",
        ),
        (
            {"estimator": "sklearn.linear_model.Ridge", "parameters": {"beta": 1}},
            r"training.parameters.estimator.estimator: sklearn.linear_model.Ridge rejects its parameters",
        ),
    ],
)
def test_a_wrong_estimator_within_is_told_with_its_place(within: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        create_estimator(
            "sklearn.model_selection.GridSearchCV", {"estimator": within, "param_grid": {}}, "training.estimator"
        )
