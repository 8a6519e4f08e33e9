"""From records to what Great Expectations' Data Docs are drawn of: its own results, suites and keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import great_expectations as gx
import great_expectations.expectations  # registers them
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.exceptions import ExpectationNotFoundError
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from tasks.records.data import ExpectationResult
from tasks.validation.docs.validated import BatchWithResults


def key(one: BatchWithResults) -> ValidationResultIdentifier:
    """What a file's page is known by."""
    return ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(one.batch.feed),
        run_id=_run(one),
        batch_identifier=one.batch.batch[:16],
    )


def _run(one: BatchWithResults) -> RunIdentifier:
    return RunIdentifier(run_name=f"batch-{one.batch.seq}", run_time=one.batch.ingested_at)


def validation(one: BatchWithResults) -> ExpectationSuiteValidationResult:
    """What was found in a file."""
    count, good = len(one.results), len(one.results) - len(one.failed)
    return ExpectationSuiteValidationResult(
        success=one.holds,
        suite_name=one.batch.feed,
        results=[_result(result, one.batch.rows) for result in one.results],
        statistics={
            "evaluated_expectations": count,
            "successful_expectations": good,
            "unsuccessful_expectations": count - good,
            "success_percent": 100 * good / count if count else None,
        },
        meta={"run_id": _run(one), "batch_spec": _spec(one), "great_expectations_version": gx.__version__},
    )


def _spec(one: BatchWithResults) -> dict[str, Any]:
    """What a person wants to know of the file."""
    batch = one.batch
    warnings = sum(result.severity == "warning" for result in one.failed)
    failed = {"critical": len(one.failed) - warnings, "warning" if warnings == 1 else "warnings": warnings}
    return {
        "data_asset_name": batch.path,
        "Verdict": one.verdict,
        "Validated": f"{batch.ingested_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "Number": batch.seq,
        "Failed": ", ".join(f"{number} {severity}" for severity, number in failed.items() if number),
        "Notes": "; ".join(batch.notes),
        "Content (SHA-256)": batch.batch,
    }


def _result(one: ExpectationResult, rows: int) -> ExpectationValidationResult:
    return ExpectationValidationResult(
        success=one.success,
        expectation_config=_configuration(one),
        result=_result_details(one, rows),
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )


def _configuration(one: ExpectationResult) -> ExpectationConfiguration:
    column = {"column": one.column} if one.column else {}
    return ExpectationConfiguration(
        type=one.expectation,
        kwargs={**column, **one.arguments},
        severity=one.severity,
        meta={"severity": one.severity},
        notes="A warning: reported, nothing is held back." if one.severity == "warning" else None,
    )


def _result_details(one: ExpectationResult, rows: int) -> dict[str, Any]:
    """Great Expectations' own words for what was found."""
    if one.observed is not None:
        details = {"details": one.observed} if isinstance(one.observed, dict) else {}
        return {"observed_value": one.observed, **details}
    if not (one.checked or one.unexpected):
        return {}
    share = 100 * one.unexpected / one.checked if one.checked else 0.0
    return {
        "element_count": one.checked,  # what the percentage beside it is of
        "missing_count": rows - one.checked,
        "missing_percent": 100 * (rows - one.checked) / rows if rows else 0.0,
        "unexpected_count": one.unexpected,
        "unexpected_percent": share,
        "unexpected_percent_nonmissing": share,
        "unexpected_percent_total": 100 * one.unexpected / rows if rows else 0.0,
        "partial_unexpected_list": [_text(value) for value in one.sample],
    }


def _text(value: Any) -> str:
    """A failing value as a person reads it: an empty text shows."""
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_text(part)}" for name, part in value.items())
    return "missing" if value is None else repr(value) if value == "" else str(value)


def suites(batches: Sequence[BatchWithResults]) -> tuple[list[Any], list[str]]:
    """Each feed's expectations, as the newest file that could be read was asked; those that can't be shown."""
    ordered = sorted(batches, key=lambda one: (bool(one.results), one.batch.seq))
    made, problems = [], []
    for feed, results in {one.batch.feed: one.results for one in ordered}.items():
        shown = []
        for one in results:
            if is_renderable(_configuration(one)):
                shown.append(_configuration(one).to_domain_obj())
            else:
                problems.append(f"{one.expectation} {one.arguments}, which this version does not take")
        made.append(gx.ExpectationSuite(name=feed, expectations=shown))
    return made, problems


def is_renderable(configuration: ExpectationConfiguration) -> bool:
    """Whether this version of Great Expectations takes it; it may have been asked of another one."""
    try:
        configuration.to_domain_obj()
    except (ValueError, ExpectationNotFoundError):
        return False
    return True
