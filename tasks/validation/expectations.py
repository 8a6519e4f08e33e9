"""Expectations, checked by Great Expectations. The only module that talks to it."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.contract import Expectation
from tasks.errors import UsageError
from tasks.refs import ExpectationResult, Record


class Check(Record):
    """One expectation's result and the rows it failed.

    Attributes:
        about_rows: Whether it judges each row; if not, it judges the table.
        raised: What Great Expectations raised instead of checking; empty where it checked.
        mostly: Whether it tolerates a share of failing rows; if that is not reached, the file is refused.
        rows: Positions of the failing rows in the frame, ascending.
    """

    result: ExpectationResult
    about_rows: bool
    mostly: bool = False
    raised: str = ""
    rows: tuple[int, ...] = ()

    def within(self, start: int, stop: int) -> Check:
        """The same for the rows from `start` to before `stop` alone, positions counted from `start`."""
        first, last = bisect_left(self.rows, start), bisect_left(self.rows, stop)
        mine = tuple(row - start for row in self.rows[first:last])
        raised = not self.about_rows
        result = self.result.model_copy(update={"unexpected": len(mine), "success": not mine and not raised})
        return self.model_copy(update={"rows": mine, "result": result})


# These judge a row by its neighbours: batches must not be pooled for them.
_BY_NEIGHBOURS = (
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
)


def poolable(expectation: Expectation) -> bool:
    """Whether an expectation judges each row by itself, so that several batches can be asked of at once."""
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    found = _implementation(expectation)
    maps = issubclass(found, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)
    alone = not {"mostly", "row_condition"} & set(expectation.arguments)
    return maps and alone and expectation.type not in _BY_NEIGHBOURS


def needed_columns(expectations: Sequence[Expectation]) -> list[str]:
    """Columns that the expectations name, in their order, each once."""
    names: dict[str, None] = {}
    for expectation in expectations:
        for argument, value in expectation.arguments.items():
            if argument in ("column", "column_A", "column_B") and isinstance(value, str):
                names[value] = None
            elif argument in ("column_list", "column_set") and isinstance(value, list):
                names.update(dict.fromkeys(str(item) for item in value))
    return list(names)


def check(frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[Check]:
    """Check a frame with a 0..n-1 index against expectations; results come in their order.

    Raises:
        UsageError: an expectation that Great Expectations does not know, or arguments it refuses.
    """
    import great_expectations as gx

    built = [_build(expectation, number) for number, expectation in enumerate(expectations)]
    batch = _batch_definition()
    suite = gx.ExpectationSuite(name="contract", expectations=built)
    report = batch.get_batch({"dataframe": frame}).validate(
        suite, result_format={"result_format": "COMPLETE", "partial_unexpected_count": 3}
    )
    by_number = {int(one.expectation_config.meta["number"]): one for one in report.results}
    checks = [_read(by_number[number], expectation) for number, expectation in enumerate(expectations)]
    for found, expectation in zip(checks, expectations, strict=True):
        _refuse_unfit(found, expectation, frame)
    return checks


def _refuse_unfit(found: Check, expectation: Expectation, frame: pd.DataFrame) -> None:
    """An expectation that raised does not fit the columns' types: a mistake in the YAML, unless a column is empty."""
    named = [name for name in needed_columns([expectation]) if name in frame.columns]
    empty = any(not frame[name].notna().any() for name in named)
    if found.raised and not empty:
        raise UsageError(
            f"expectations: {expectation.type} of {', '.join(named) or 'the table'} can't be checked: {found.raised}"
        )


@cache
def _batch_definition() -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # Its own account of every metric it computes is noise beside ours.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("batch").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("batch")


def _build(expectation: Expectation, number: int) -> Any:
    implementation = _implementation(expectation)
    try:
        return implementation(**expectation.arguments, severity=expectation.severity, meta={"number": number})
    except (ValueError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(f"expectations: {expectation.type} refuses its arguments: {'; '.join(lines[1:3])}") from None


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


def _read(found: Any, expectation: Expectation) -> Check:
    result: dict[str, Any] = found.result or {}
    raised = _raised(found.exception_info)
    about_rows = "unexpected_index_list" in result or "unexpected_count" in result
    rows = np.unique(np.asarray(result.get("unexpected_index_list") or [], dtype=np.int64))
    detail = raised or _detail(result, expectation, rows)
    column = expectation.arguments.get("column", "")
    return Check(
        result=ExpectationResult(
            expectation=expectation.type,
            column=str(column),
            severity=expectation.severity,
            success=bool(found.success),
            unexpected=int(result.get("unexpected_count") or 0),
            detail="" if found.success else detail,
        ),
        about_rows=about_rows and not raised,
        mostly="mostly" in expectation.arguments,
        raised=raised,
        rows=tuple(rows.tolist()),
    )


def _raised(info: dict[str, Any]) -> str:
    """The message of an exception inside Great Expectations; flat, or one for each metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return next((str(one["exception_message"]) for one in entries if one.get("raised_exception")), "")


def _detail(result: dict[str, Any], expectation: Expectation, rows: npt.NDArray[np.int64]) -> str:
    wanted = ", ".join(f"{name}={value}" for name, value in expectation.arguments.items() if name != "column")
    if rows.size:
        return f"expected {wanted}" if wanted else ""
    observed = result.get("observed_value")
    return f"observed {observed}, expected {wanted}"
