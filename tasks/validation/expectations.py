"""Evaluation of expectations by Great Expectations."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import JsonValue

from configs.base import ColumnType
from configs.check import moment
from configs.contract import Expectation
from tasks.errors import UsageError

Ids = npt.NDArray[np.int64]
_SAMPLE = 5
_MANY_ROWS = 50_000
# Map expectations that depend on other rows of the column.
_CROSS_ROW = (
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers",
)
_NULL_COUNTS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


@dataclass(frozen=True)
class PreparedExpectation:
    """An expectation, ready to be evaluated.

    Attributes:
        columns: Columns that it needs.
        row_wise: Whether it checks each row by itself, so that a file can be evaluated in pieces.
        poolable: Whether pieces of several files can be evaluated together.
    """

    expectation: Expectation
    configuration: Any
    columns: tuple[str, ...]
    row_wise: bool
    poolable: bool

    @property
    def number(self) -> int:
        """Its index in the suite."""
        return int(self.configuration.meta["number"])

    @property
    def mostly(self) -> float | None:
        """The share of rows that must pass for the file to be accepted; None: all."""
        mostly_argument = self.expectation.arguments.get("mostly")
        return float(mostly_argument) if isinstance(mostly_argument, int | float) else None


@dataclass(frozen=True)
class ExpectationOutcome:
    """The outcome of an expectation on one frame.

    Attributes:
        about_rows: Whether it checks each row; otherwise the column or table.
        checked: Number of rows checked: without those whose value is missing.
        rows: Positions of the failing rows in the frame, ascending.
        sample: Some of the failing values.
        observed: The measured value of an expectation that is not about rows.
        error_message: Message of the exception in Great Expectations; empty if there was none.
    """

    success: bool
    about_rows: bool
    checked: int = 0
    rows: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sample: tuple[JsonValue, ...] = ()
    observed: JsonValue = None
    error_message: str = ""


def prepare_expectations(
    expectations: Sequence[Expectation], types: Mapping[str, ColumnType]
) -> list[PreparedExpectation]:
    """Prepare expectations for evaluation.

    Args:
        expectations: The configured expectations.
        types: The columns' types, to parse timestamps in arguments.

    Raises:
        UsageError: Great Expectations does not know an expectation, or rejects its arguments.
    """
    return [_prepare(expectation, types, number) for number, expectation in enumerate(expectations)]


def evaluate(frame: pd.DataFrame, expectations: Sequence[PreparedExpectation]) -> list[ExpectationOutcome]:
    """Evaluate expectations on a frame with a 0..n-1 index; return the outcomes in their order.

    With many rows, only success is evaluated first, which takes a third of the time.

    Raises:
        UsageError: an expectation does not fit the types of its columns.
    """
    poolable = [expectation for expectation in expectations if expectation.poolable] if len(frame) >= _MANY_ROWS else []
    passed = {number for number, results in _validate(frame, poolable, "BOOLEAN_ONLY").items() if results.success}
    remaining = [expectation for expectation in expectations if expectation.number not in passed]
    results = _validate(frame, remaining, "COMPLETE")
    outcomes = [
        ExpectationOutcome(success=True, about_rows=True, checked=_checked_rows(frame, expectation))
        if expectation.number in passed
        else _outcome(results[expectation.number], expectation)
        for expectation in expectations
    ]
    for outcome, expectation in zip(outcomes, expectations, strict=True):
        _check_types_fit(outcome, expectation, frame)
    return outcomes


def _validate(frame: pd.DataFrame, expectations: Sequence[PreparedExpectation], result_format: str) -> dict[int, Any]:
    """Return Great Expectations' results by the expectations' indices."""
    if not expectations:
        return {}
    # Not through a batch definition: that hashes the whole frame, twice, which takes four times as long as the rest.
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    engine = PandasExecutionEngine()
    engine.load_batch_data("rows", frame)
    validator = Validator(execution_engine=engine)
    validator.metrics_calculator.show_progress_bars = False
    format_options = {"result_format": result_format, "partial_unexpected_count": _SAMPLE}
    report = validator.graph_validate(
        configurations=[expectation.configuration for expectation in expectations],
        runtime_configuration={"result_format": format_options, "catch_exceptions": True},
    )
    engine.load_batch_data("rows", frame.head(0))  # engine and data refer to each other: the rows would stay for long
    return {int(expectation.expectation_config.meta["number"]): expectation for expectation in report}


def _checked_rows(frame: pd.DataFrame, expectation: PreparedExpectation) -> int:
    """Return the number of rows that an expectation checks: those with a value."""
    column = str(expectation.expectation.arguments.get("column", ""))
    judges_missing = expectation.expectation.type in _NULL_COUNTS or column not in frame.columns
    return len(frame) if judges_missing else int(frame[column].notna().sum())


def needed_columns(expectations: Sequence[PreparedExpectation]) -> list[str]:
    """Return the columns that expectations need, each once."""
    return list(dict.fromkeys(name for expectation in expectations for name in expectation.columns))


def _prepare(expectation: Expectation, types: Mapping[str, ColumnType], number: int) -> PreparedExpectation:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    implementation = _implementation(expectation)
    is_map = issubclass(implementation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)
    row_wise = is_map and expectation.type not in _CROSS_ROW
    try:
        gx_configuration = implementation(
            **_arguments(expectation, types), severity=expectation.severity, meta={"number": number}
        ).configuration
    except (ValueError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(
            f"expectations[{number}]: {expectation.type} rejects its arguments: {'; '.join(lines[1:3]) or error}"
        ) from None
    unpoolable = {"mostly", "row_condition"} & set(expectation.arguments)
    return PreparedExpectation(
        expectation, gx_configuration, _columns(expectation, types), row_wise, row_wise and not unpoolable
    )


def _implementation(expectation: Expectation) -> Any:
    import great_expectations.expectations  # noqa: F401  # registers them
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        return get_expectation_impl(expectation.type)
    except ExpectationNotFoundError:
        raise UsageError(
            f"expectations: Great Expectations has no {expectation.type!r}. Look the name up in its gallery."
        ) from None


def _arguments(expectation: Expectation, types: Mapping[str, ColumnType]) -> dict[str, Any]:
    """Return the arguments, with texts parsed as timestamps for timestamp columns."""
    arguments: dict[str, Any] = dict(expectation.arguments)
    if types.get(str(arguments.get("column"))) != "timestamp":
        return arguments
    for name in ("min_value", "max_value"):
        if isinstance(arguments.get(name), str):
            arguments[name] = moment(arguments[name])
    if isinstance(arguments.get("value_set"), list):
        arguments["value_set"] = [
            moment(value) if isinstance(value, str) else value for value in arguments["value_set"]
        ]
    return arguments


def _columns(expectation: Expectation, types: Mapping[str, ColumnType]) -> tuple[str, ...]:
    arguments = expectation.arguments
    named = [arguments[name] for name in ("column", "column_A", "column_B") if name in arguments]
    several = arguments.get("column_list")
    named += several if isinstance(several, list) else []
    condition = str(arguments.get("row_condition") or "")
    named += [name for name in types if re.search(rf"\b{re.escape(name)}\b", condition)]
    return tuple(dict.fromkeys(str(name) for name in named))


def _check_types_fit(outcome: ExpectationOutcome, expectation: PreparedExpectation, frame: pd.DataFrame) -> None:
    """Raise UsageError if an expectation failed with an exception, unless one of its columns is empty."""
    named = [name for name in expectation.columns if name in frame.columns]
    if outcome.error_message and all(frame[name].notna().any() for name in named):
        raise UsageError(
            f"expectations: {expectation.expectation.type} of {', '.join(named) or 'the table'} can't be checked: "
            f"{outcome.error_message}"
        )


def _outcome(gx_result: Any, expectation: PreparedExpectation) -> ExpectationOutcome:
    result: dict[str, Any] = gx_result.result or {}
    error_message = _error_message(gx_result.exception_info)
    if error_message:
        return ExpectationOutcome(success=False, about_rows=expectation.row_wise, error_message=error_message)
    if "element_count" not in result:
        return ExpectationOutcome(bool(gx_result.success), about_rows=False, observed=_observed(result))
    missing = 0 if expectation.expectation.type in _NULL_COUNTS else int(result.get("missing_count") or 0)
    return ExpectationOutcome(
        success=bool(gx_result.success),
        about_rows=True,
        checked=int(result["element_count"]) - missing,
        rows=np.unique(np.asarray(result.get("unexpected_index_list") or [], dtype=np.int64)),
        sample=tuple(json_value(value) for value in result.get("partial_unexpected_list") or []),
    )


def _observed(result: Mapping[str, Any]) -> JsonValue:
    """Return the measured value; for a distribution, the observed partition."""
    observed = json_value(result.get("observed_value"))
    details = result.get("details") or {}
    if observed is None and "observed_partition" in details:
        return json_value(details["observed_partition"])
    return observed


def _error_message(info: Mapping[str, Any]) -> str:
    """Return the message of an exception in Great Expectations; empty if there was none."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return next((str(one["exception_message"]) for one in entries if one.get("raised_exception")), "")


def json_value(value: Any) -> JsonValue:
    """Return a value as plain JSON types."""
    if isinstance(value, Mapping):
        return {str(name): json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [json_value(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) else str(value)


def invalid_expectations(
    expectations: Sequence[Expectation], types: Mapping[str, ColumnType]
) -> Iterator[tuple[int, str]]:
    """Yield index and reason of each expectation that can't be evaluated on columns of these types.

    Each is evaluated on three sample rows, so that mistakes are reported before any file lands.
    """
    frame = _sample_frame(types)
    for number, expectation in enumerate(expectations):
        try:
            prepared = _prepare(expectation, types, number)
            if expectation.reference is None:
                evaluate(frame, [prepared])
        except UsageError as error:
            yield number, str(error).partition(": ")[2]


def _sample_frame(types: Mapping[str, ColumnType]) -> pd.DataFrame:
    values: dict[ColumnType, list[Any]] = {
        "string": ["a", "b", "c"],
        "integer": [1, 2, 4],
        "number": [0.5, 1.5, 4.0],
        "boolean": [True, False, True],
        "timestamp": [pd.Timestamp(f"2026-01-0{day}", tz="UTC") for day in (1, 2, 4)],
    }
    return pd.DataFrame({name: values[kind] for name, kind in types.items()})
