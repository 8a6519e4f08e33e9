"""What one expectation found in one file, added up over the pieces that it was asked of."""

from __future__ import annotations

from pydantic import JsonValue

from tasks.records.data import ExpectationResult
from tasks.validation.expectations import Answer, Question

_SAMPLE = 5


class Tally:
    """One expectation's findings in one file.

    Attributes:
        about_rows: Whether it judges each row; if not, the column or the table.
        unexpected: Rows that failed it.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.about_rows = question.composes
        self.unexpected = 0
        self._asked = 0
        self._fails = False
        self._raised = ""
        self._observed: JsonValue = None
        self._sample: list[JsonValue] = []

    def add(self, answer: Answer, unexpected: int, asked: int) -> None:
        """Take in an answer.

        Args:
            answer: What was found.
            unexpected: Failing rows of this file.
            asked: Rows of this file in question.
        """
        if answer.raised and self.question.composes:
            return  # a piece without any value: there is nothing in it to fail
        self.about_rows = answer.about_rows
        self.unexpected += unexpected
        self._asked += asked
        self._raised = self._raised or answer.raised
        self._fails = self._fails or (not answer.success and not answer.about_rows)
        self._observed = answer.observed if self._observed is None else self._observed
        if unexpected:
            self._sample = [*self._sample, *answer.sample][:_SAMPLE]

    @property
    def holds(self) -> bool:
        """Whether the expectation holds for the file, by its own `mostly` where it has one."""
        if not self.about_rows:
            return not self._fails
        if self.question.mostly is None or self._asked == 0:
            return self.unexpected == 0
        return (self._asked - self.unexpected) / self._asked >= self.question.mostly

    @property
    def refuses_file(self) -> bool:
        """Whether the whole file fails with it: it is about the table, or its `mostly` is not reached."""
        critical = self.question.expectation.severity == "critical"
        return critical and not self.holds and (not self.about_rows or self.question.mostly is not None)

    @property
    def name(self) -> str:
        """The expectation and its column."""
        expectation = self.question.expectation
        column = expectation.arguments.get("column")
        return f"{expectation.type}({column})" if column else expectation.type

    @property
    def expected(self) -> str:
        """What was expected, in a few words."""
        given = self.question.expectation.arguments
        told = ", ".join(f"{name}={value}" for name, value in given.items() if name != "column")
        return f"expected {told}"[:500] if told else ""

    @property
    def result(self) -> ExpectationResult:
        """The findings as a record."""
        expectation = self.question.expectation
        return ExpectationResult(
            expectation=expectation.type,
            column=str(expectation.arguments.get("column", "")),
            arguments={name: value for name, value in expectation.arguments.items() if name != "column"},
            severity=expectation.severity,
            success=self.holds,
            checked=self._asked,
            unexpected=self.unexpected,
            observed=self._observed,
            sample=tuple(self._sample),
            detail="" if self.holds else self._detail(),
        )

    def _detail(self) -> str:
        if self._raised:
            return self._raised
        if not self.about_rows:
            return f"observed {self._observed}, {self.expected}"
        if self.question.mostly is None:
            return self.expected
        share = self.unexpected / self._asked
        return f"{self.unexpected} of {self._asked} fail ({share:.1%}), {self.expected}"
