"""Result of one expectation in one file, accumulated over pieces."""

from __future__ import annotations

from pydantic import JsonValue

from tasks.records.data import ExpectationResult
from tasks.validation.expectations import ExpectationOutcome, PreparedExpectation

_SAMPLE = 5


class ExpectationStats:
    """Accumulates the outcomes of one expectation in one file.

    Attributes:
        about_rows: Whether it checks each row; otherwise the column or the table.
        unexpected: Rows that failed it.
    """

    def __init__(self, prepared: PreparedExpectation) -> None:
        self.prepared = prepared
        self.about_rows = prepared.row_wise
        self.unexpected = 0
        self._checked = 0
        self._failed = False
        self._error_message = ""
        self._observed: JsonValue = None
        self._sample: list[JsonValue] = []

    def add(self, outcome: ExpectationOutcome, unexpected: int, checked: int) -> None:
        """Add an outcome.

        Args:
            outcome: The outcome.
            unexpected: Failing rows of this file.
            checked: Number of rows checked in this file.
        """
        if outcome.error_message and self.prepared.row_wise:
            return  # a piece without values can't fail
        self.about_rows = outcome.about_rows
        self.unexpected += unexpected
        self._checked += checked
        self._error_message = self._error_message or outcome.error_message
        self._failed = self._failed or (not outcome.success and not outcome.about_rows)
        self._observed = outcome.observed if self._observed is None else self._observed
        if unexpected:
            self._sample = [*self._sample, *outcome.sample][:_SAMPLE]

    @property
    def passed(self) -> bool:
        """Whether the file passes, by the expectation's `mostly` if set."""
        if not self.about_rows:
            return not self._failed
        if self.prepared.mostly is None or self._checked == 0:
            return self.unexpected == 0
        return (self._checked - self.unexpected) / self._checked >= self.prepared.mostly

    @property
    def rejects_file(self) -> bool:
        """Whether the whole file is rejected: a failed table expectation, or `mostly` is not reached."""
        critical = self.prepared.expectation.severity == "critical"
        return critical and not self.passed and (not self.about_rows or self.prepared.mostly is not None)

    @property
    def name(self) -> str:
        """The expectation and its column."""
        expectation = self.prepared.expectation
        column = expectation.arguments.get("column")
        return f"{expectation.type}({column})" if column else expectation.type

    @property
    def expected(self) -> str:
        """What was expected, as short text."""
        arguments = self.prepared.expectation.arguments
        limits = ", ".join(f"{name}={value}" for name, value in arguments.items() if name != "column")
        return f"expected {limits}"[:500] if limits else ""

    @property
    def result(self) -> ExpectationResult:
        """The result as a record."""
        expectation = self.prepared.expectation
        return ExpectationResult(
            expectation=expectation.type,
            column=str(expectation.arguments.get("column", "")),
            arguments={name: value for name, value in expectation.arguments.items() if name != "column"},
            severity=expectation.severity,
            success=self.passed,
            checked=self._checked,
            unexpected=self.unexpected,
            observed=self._observed,
            sample=tuple(self._sample),
            detail="" if self.passed else self._detail(),
        )

    def _detail(self) -> str:
        if self._error_message:
            return self._error_message
        if not self.about_rows:
            return f"observed {self._observed}, {self.expected}"
        if self.prepared.mostly is None:
            return self.expected
        share = self.unexpected / self._checked
        return f"{self.unexpected} of {self._checked} fail ({share:.1%}), {self.expected}"
