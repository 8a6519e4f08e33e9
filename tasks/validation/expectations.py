"""Expectations, asked of Great Expectations. The only module that talks to it."""

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
# These judge a row by other rows of its column.
_BY_OTHERS = (
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers",
)
_NULL_COUNTS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


@dataclass(frozen=True)
class Question:
    """An expectation, ready to be asked.

    Attributes:
        columns: Columns that it needs.
        composes: Whether it judges each row by itself, so that rows may be asked of in pieces.
        pools: Whether, moreover, pieces of several files may be asked of together.
    """

    expectation: Expectation
    configuration: Any
    columns: tuple[str, ...]
    composes: bool
    pools: bool

    @property
    def number(self) -> int:
        """Its place in the suite."""
        return int(self.configuration.meta["number"])

    @property
    def mostly(self) -> float | None:
        """The share of rows that must hold for the file to come in; None where it tolerates none."""
        found = self.expectation.arguments.get("mostly")
        return float(found) if isinstance(found, int | float) else None


@dataclass(frozen=True)
class Answer:
    """What was found in one frame.

    Attributes:
        about_rows: Whether it judges each row; if not, it judges the column or table.
        asked: Rows in question: without those whose value is missing.
        rows: Positions of the failing rows in the frame, ascending.
        sample: Some of the failing values.
        observed: What was measured, of an expectation that is not about rows.
        raised: What Great Expectations raised instead of an answer; empty where it answered.
    """

    success: bool
    about_rows: bool
    asked: int = 0
    rows: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sample: tuple[JsonValue, ...] = ()
    observed: JsonValue = None
    raised: str = ""


def questions(expectations: Sequence[Expectation], types: Mapping[str, ColumnType]) -> list[Question]:
    """Expectations, ready to be asked.

    Args:
        expectations: As the configuration has them.
        types: The columns' types, for texts that tell a moment.

    Raises:
        UsageError: an expectation that Great Expectations does not know, or arguments that it refuses.
    """
    return [_question(expectation, types, number) for number, expectation in enumerate(expectations)]


def ask(frame: pd.DataFrame, asked: Sequence[Question]) -> list[Answer]:
    """Ask a frame with a 0..n-1 index; answers come in the questions' order.

    Of many rows, whether an expectation holds at all is asked first, which takes a third of the time.

    Raises:
        UsageError: an expectation does not fit the types of its columns.
    """
    brief = [one for one in asked if one.pools] if len(frame) >= _MANY_ROWS else []
    hold = {number for number, found in _validate(frame, brief, "BOOLEAN_ONLY").items() if found.success}
    left = [one for one in asked if one.number not in hold]
    found = _validate(frame, left, "COMPLETE")
    answers = [
        Answer(success=True, about_rows=True, asked=_valued(frame, one))
        if one.number in hold
        else _answer(found[one.number], one)
        for one in asked
    ]
    for answer, question in zip(answers, asked, strict=True):
        _refuse_unfit(answer, question, frame)
    return answers


def _validate(frame: pd.DataFrame, asked: Sequence[Question], result_format: str) -> dict[int, Any]:
    """Great Expectations' results by the questions' numbers."""
    if not asked:
        return {}
    # Not through a batch definition: that hashes the whole frame, twice, which takes four times as long as the rest.
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    engine = PandasExecutionEngine()
    engine.load_batch_data("rows", frame)
    validator = Validator(execution_engine=engine)
    validator.metrics_calculator.show_progress_bars = False
    told = {"result_format": result_format, "partial_unexpected_count": _SAMPLE}
    report = validator.graph_validate(
        configurations=[one.configuration for one in asked],
        runtime_configuration={"result_format": told, "catch_exceptions": True},
    )
    engine.load_batch_data("rows", frame.head(0))  # engine and data refer to each other: the rows would stay for long
    return {int(one.expectation_config.meta["number"]): one for one in report}


def _valued(frame: pd.DataFrame, question: Question) -> int:
    """Rows that a question judges: those with a value."""
    column = str(question.expectation.arguments.get("column", ""))
    judges_missing = question.expectation.type in _NULL_COUNTS or column not in frame.columns
    return len(frame) if judges_missing else int(frame[column].notna().sum())


def needed_columns(asked: Sequence[Question]) -> list[str]:
    """Columns that questions need, each once."""
    return list(dict.fromkeys(name for one in asked for name in one.columns))


def _question(expectation: Expectation, types: Mapping[str, ColumnType], number: int) -> Question:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    implementation = _implementation(expectation)
    maps = issubclass(implementation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)
    composes = maps and expectation.type not in _BY_OTHERS
    try:
        built = implementation(
            **_arguments(expectation, types), severity=expectation.severity, meta={"number": number}
        ).configuration
    except (ValueError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(
            f"expectations[{number}]: {expectation.type} refuses its arguments: {'; '.join(lines[1:3]) or error}"
        ) from None
    alone = {"mostly", "row_condition"} & set(expectation.arguments)
    return Question(expectation, built, _columns(expectation, types), composes, composes and not alone)


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
    """The arguments, texts that tell a moment of a timestamp column as moments."""
    given: dict[str, Any] = dict(expectation.arguments)
    if types.get(str(given.get("column"))) != "timestamp":
        return given
    for name in ("min_value", "max_value"):
        if isinstance(given.get(name), str):
            given[name] = moment(given[name])
    if isinstance(given.get("value_set"), list):
        given["value_set"] = [moment(one) if isinstance(one, str) else one for one in given["value_set"]]
    return given


def _columns(expectation: Expectation, types: Mapping[str, ColumnType]) -> tuple[str, ...]:
    arguments = expectation.arguments
    named = [arguments[name] for name in ("column", "column_A", "column_B") if name in arguments]
    several = arguments.get("column_list")
    named += several if isinstance(several, list) else []
    condition = str(arguments.get("row_condition") or "")
    named += [name for name in types if re.search(rf"\b{re.escape(name)}\b", condition)]
    return tuple(dict.fromkeys(str(name) for name in named))


def _refuse_unfit(answer: Answer, question: Question, frame: pd.DataFrame) -> None:
    """An expectation that raised does not fit the columns' types: a mistake in the YAML, unless a column is empty."""
    named = [name for name in question.columns if name in frame.columns]
    if answer.raised and all(frame[name].notna().any() for name in named):
        raise UsageError(
            f"expectations: {question.expectation.type} of {', '.join(named) or 'the table'} can't be checked: "
            f"{answer.raised}"
        )


def _answer(found: Any, question: Question) -> Answer:
    result: dict[str, Any] = found.result or {}
    raised = _raised(found.exception_info)
    if raised:
        return Answer(success=False, about_rows=question.composes, raised=raised)
    if "element_count" not in result:
        return Answer(bool(found.success), about_rows=False, observed=_observed(result))
    missing = 0 if question.expectation.type in _NULL_COUNTS else int(result.get("missing_count") or 0)
    return Answer(
        success=bool(found.success),
        about_rows=True,
        asked=int(result["element_count"]) - missing,
        rows=np.unique(np.asarray(result.get("unexpected_index_list") or [], dtype=np.int64)),
        sample=tuple(plain(one) for one in result.get("partial_unexpected_list") or []),
    )


def _observed(result: Mapping[str, Any]) -> JsonValue:
    """What was measured; for a distribution, with what it was measured against."""
    observed = plain(result.get("observed_value"))
    details = result.get("details") or {}
    if observed is None and "observed_partition" in details:
        return plain(details["observed_partition"])
    return observed


def _raised(info: Mapping[str, Any]) -> str:
    """The message of an exception inside Great Expectations; flat, or one for each metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return next((str(one["exception_message"]) for one in entries if one.get("raised_exception")), "")


def plain(value: Any) -> JsonValue:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) else str(value)


def misfits(expectations: Sequence[Expectation], types: Mapping[str, ColumnType]) -> Iterator[tuple[int, str]]:
    """Expectations that can't be asked of columns of some types, by number, with the reason.

    Each is asked of three made-up rows: what Great Expectations does not know, refuses or can't do with such columns
    shows before any file lands.
    """
    frame = _made_up(types)
    for number, expectation in enumerate(expectations):
        try:
            question = _question(expectation, types, number)
            if expectation.reference is None:
                ask(frame, [question])
        except UsageError as error:
            yield number, str(error).partition(": ")[2]


def _made_up(types: Mapping[str, ColumnType]) -> pd.DataFrame:
    values: dict[ColumnType, list[Any]] = {
        "string": ["a", "b", "c"],
        "integer": [1, 2, 4],
        "number": [0.5, 1.5, 4.0],
        "boolean": [True, False, True],
        "timestamp": [pd.Timestamp(f"2026-01-0{day}", tz="UTC") for day in (1, 2, 4)],
    }
    return pd.DataFrame({name: values[kind] for name, kind in types.items()})
