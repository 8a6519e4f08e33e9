"""Feature definitions as one scikit-learn transformer: the same code for training, batch scoring and the service."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import JsonValue
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from configs.schema import CalendarPart, Features
from tasks.errors import UsageError

_UNSEEN, _MISSING = -2, -1
# Experimental estimators and the modules that enable them.
_EXPERIMENTAL = {
    "HalvingGridSearchCV": "enable_halving_search_cv",
    "HalvingRandomSearchCV": "enable_halving_search_cv",
    "IterativeImputer": "enable_iterative_imputer",
}
_HOUR, _DAY = 3_600_000_000, 86_400_000_000


class Calendar(TransformerMixin, BaseEstimator):
    """Parts of an event time (UTC) as numbers.

    Args:
        parts: Names of the parts, in the order of the output columns.
    """

    def __init__(self, parts: Sequence[CalendarPart] = ("hour",)) -> None:
        self.parts = parts

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002  # scikit-learn's signature
        """Store the number of columns; nothing is learned."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Transform times, shape (n_samples, 1), to parts, shape (n_samples, n_parts)."""
        times = pd.to_datetime(X.iloc[:, 0]).to_numpy().astype("datetime64[us]")
        return np.column_stack([_calendar_part(times, part) for part in self.parts])

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002
        """Return the names of the parts."""
        return np.asarray(self.parts, dtype=object)


class AsNumber(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Integers, booleans and numbers to float64; missing values to NaN."""

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002
        """Store the names of the columns; nothing is learned."""
        self.n_features_in_ = X.shape[1]
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Transform values, shape (n_samples, n_features), to float64 of the same shape."""
        return X.to_numpy(dtype=np.float64, na_value=np.nan)


def _calendar_part(times: npt.NDArray[np.datetime64], part: CalendarPart) -> npt.NDArray[np.float64]:
    micros = times.astype(np.int64)
    days = np.floor_divide(micros, _DAY)
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    hour = np.floor_divide(micros, _HOUR) % 24
    values: Mapping[CalendarPart, Any] = {
        "hour": lambda: hour,
        "weekday": lambda: weekday,
        "is_weekend": lambda: weekday >= 5,
        "hour_of_week": lambda: weekday * 24 + hour,
        "elapsed_days": lambda: days,
        "month": lambda: times.astype("datetime64[M]").astype(np.int64) % 12 + 1,
        "day": lambda: (times.astype("datetime64[D]") - times.astype("datetime64[M]")).astype(np.int64) + 1,
        "day_of_year": lambda: (times.astype("datetime64[D]") - times.astype("datetime64[Y]")).astype(np.int64) + 1,
    }
    return np.where(np.isnat(times), np.nan, np.asarray(values[part](), dtype=np.float64))


def build_transformer(features: Features, event_time: str | None) -> ColumnTransformer:
    """Return the unfitted transformer from feature rows to numbers.

    Raises:
        UsageError: a custom transformer can't be imported or instantiated.
    """
    steps: list[tuple[str, Any, list[str]]] = []
    if features.numeric:
        parts = [AsNumber(), SimpleImputer(strategy="median"), *([StandardScaler()] if features.scale else [])]
        steps.append(("numeric", make_pipeline(*parts), list(features.numeric)))
    if features.categorical:
        steps.append(("categorical", _encoder(features), list(features.categorical)))
    if features.calendar and event_time:
        steps.append(("calendar", Calendar(tuple(features.calendar)), [event_time]))
    for index, custom in enumerate(features.custom):
        transformer = create_estimator(custom.transformer, custom.parameters, f"features.custom[{index}].transformer")
        steps.append((custom.name, transformer, list(custom.columns)))
    return ColumnTransformer(steps, n_jobs=1)


def create_estimator(import_path: str, parameters: Mapping[str, JsonValue], field: str) -> Any:
    """Instantiate an estimator class by import path, and estimators among its arguments.

    Args:
        import_path: For example sklearn.linear_model.Ridge.
        parameters: Arguments of the class. `{estimator: import path, parameters: {...}}` stands for an instance.
        field: The configuration field, for messages.

    Raises:
        UsageError: it can't be imported, is not an estimator, or rejects the arguments.
    """
    estimator_class = _import(import_path, field)
    if not (
        isinstance(estimator_class, type) and hasattr(estimator_class, "fit") and hasattr(estimator_class, "get_params")
    ):
        raise UsageError(f"{field}: {import_path!r} is not a scikit-learn-compatible class (fit, get_params).")
    parameters_field = field.rpartition(".")[0] + ".parameters"
    arguments = {name: _argument(value, f"{parameters_field}.{name}") for name, value in parameters.items()}
    try:
        return estimator_class(**arguments)
    except TypeError as error:
        raise UsageError(f"{field}: {import_path} rejects its parameters: {error}.") from None


def _import(import_path: str, field: str) -> Any:
    module, _, name = import_path.rpartition(".")
    try:
        if name in _EXPERIMENTAL:
            importlib.import_module(f"sklearn.experimental.{_EXPERIMENTAL[name]}")
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{field}: {import_path!r} can't be imported: {error}.") from None


def _argument(value: JsonValue, field: str) -> Any:
    """Return an argument, with estimators in it instantiated."""
    if isinstance(value, list):
        return [_argument(item, f"{field}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    import_path = value.get("estimator")
    if not isinstance(import_path, str):
        return {name: _argument(item, f"{field}.{name}") for name, item in value.items()}
    parameters, unknown = value.get("parameters", {}), sorted(value.keys() - {"estimator", "parameters"})
    if unknown or not isinstance(parameters, dict):
        problem = f"{', '.join(unknown)} beside it" if unknown else f"parameters: {parameters!r}"
        raise UsageError(
            f"{field}: found {problem}; expected an estimator as "
            f"{{estimator: import path, parameters: {{name: value}}}}."
        )
    return create_estimator(import_path, parameters, f"{field}.estimator")


def _encoder(features: Features) -> Any:
    if features.encoding == "ordinal":
        return OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=_UNSEEN, encoded_missing_value=_MISSING, dtype=np.float64
        )
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)
