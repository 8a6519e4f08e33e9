"""One column of the contract, as callers must send it: values checked and typed, one column at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from configs.contract import Column
from configs.serving import Serving
from perennial.serving.problem import FieldError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "timestamp": "a time as ISO 8601 text",
}
_LEAST, _MOST = -(2**63), 2**63 - 1
_LONGEST_TIME = 64


class NotOfTypeError(Exception):
    """A value is not of the column's type."""


class Field:
    """A column of the contract.

    Args:
        name: The column's.
        column: The contract's.
        rules: What becomes of values that the contract does not allow.
        timezone: Of times that carry none.
    """

    def __init__(self, name: str, column: Column, rules: Serving, timezone: str) -> None:
        self.name, self.column, self.rules = name, column, rules
        self.names = (name, *column.aliases)
        zone = ZoneInfo(timezone)
        typed: dict[str, Callable[[Any], Any]] = {
            "string": _text,
            "integer": _integer,
            "number": _number,
            "boolean": _boolean,
            "timestamp": partial(_timestamp, zone=zone),
        }
        self._typed = typed[column.type]
        self._missing = frozenset(_comparable(one) for one in column.missing)
        self._allowed = None if column.allowed is None else frozenset(self._typed(one) for one in column.allowed)
        self._unknown = rules.unknown_category
        limits = (column.minimum, column.maximum) if rules.out_of_range == "reject" else (None, None)
        self._low, self._high = (None if one is None else self._typed(one) for one in limits)
        self.expected = self._expected()

    def absent(self, rows: int) -> tuple[list[Any], list[FieldError]]:
        """The column where the caller sent none."""
        if self.column.required or not self.column.nullable:
            return [], [FieldError(self.name, -1, f"the column is missing; expected {self.expected}")]
        return [None] * rows, []

    def read(self, values: Sequence[Any]) -> tuple[list[Any], list[FieldError]]:
        """Values as JSON has them, typed: timestamps as microseconds since 1970 UTC; and what is wrong with which."""
        typed: list[Any] = []
        wrong: list[FieldError] = []
        take = self._check
        for row, value in enumerate(values):
            try:
                typed.append(take(value))
            except NotOfTypeError as problem:
                typed.append(None)
                wrong.append(FieldError(self.name, row, str(problem) or f"expected {self.expected}"))
        return typed, wrong

    def read_texts(self, values: Sequence[str]) -> tuple[list[Any], list[FieldError]]:
        """The same of a csv's cells, which are all texts; an empty one is missing."""
        return self.read([self._from_text(value) for value in values])

    def _check(self, value: Any) -> Any:
        found = None if self._means_missing(value) else self._permitted(self._typed(value))
        if found is None and not self.column.nullable:
            raise NotOfTypeError(f"missing, which the contract does not allow; expected {self.expected}")
        return found

    def _means_missing(self, value: Any) -> bool:
        if value is None or (value.__class__ is float and value != value):
            return True
        return bool(self._missing) and _comparable(value) in self._missing

    def _permitted(self, found: Any) -> Any:
        if self._allowed is not None and found not in self._allowed:
            return self._unknown_value(found)
        if self._low is not None and found < self._low:
            raise NotOfTypeError(f"less than the contract's minimum; expected {self.expected}")
        if self._high is not None and found > self._high:
            raise NotOfTypeError(f"more than the contract's maximum; expected {self.expected}")
        return found

    def _unknown_value(self, found: Any) -> Any:
        if self._unknown == "accept":
            return found
        if self._unknown == "missing" and self.column.nullable:
            return None
        raise NotOfTypeError(f"none of the values that the contract allows; expected {self.expected}")

    def _from_text(self, value: str) -> Any:
        text = value.strip()
        if not text:
            return None
        kind = self.column.type
        try:
            if kind == "integer":
                return int(text)
            if kind == "number":
                return float(text)
        except ValueError:
            return value
        if kind == "boolean":
            return {"true": True, "false": False}.get(text.lower(), value)
        return value if kind == "string" else text

    def _expected(self) -> str:
        column = self.column
        text = _WORDS[column.type]
        if column.allowed is not None and self._unknown == "reject":
            text = f"one of {', '.join(str(one) for one in column.allowed)}"
        elif self._low is not None or self._high is not None:
            low = "" if column.minimum is None else f" from {_plain(column.minimum)}"
            high = "" if column.maximum is None else f" to {_plain(column.maximum)}"
            text = f"{text}{low}{high}"
        return f"{text}, or null" if column.nullable else text


def _plain(limit: float | str) -> str:
    return limit if isinstance(limit, str) else f"{limit:.15g}"


def _text(value: Any) -> str:
    if value.__class__ is not str:
        raise NotOfTypeError
    try:
        value.encode()  # half of a surrogate pair is no text
    except UnicodeEncodeError:
        raise NotOfTypeError from None
    return str(value)


def _number(value: Any) -> float:
    if value.__class__ is float:
        found = float(value)
    elif value.__class__ is int:
        try:
            found = float(value)
        except OverflowError:
            raise NotOfTypeError from None
    else:
        raise NotOfTypeError
    if not math.isfinite(found):
        raise NotOfTypeError
    return found


def _integer(value: Any) -> int:
    if value.__class__ is float and math.isfinite(value) and value == int(value):
        value = int(value)
    if value.__class__ is not int or not _LEAST <= value <= _MOST:
        raise NotOfTypeError
    return int(value)


def _boolean(value: Any) -> bool:
    if value.__class__ is not bool:
        raise NotOfTypeError
    return bool(value)


def _timestamp(value: Any, zone: ZoneInfo) -> int:
    """Microseconds since 1970 in UTC; finer digits are cut off."""
    if value.__class__ is not str or len(value) > _LONGEST_TIME:
        raise NotOfTypeError
    try:
        found = datetime.fromisoformat(value)
        placed = found if found.tzinfo is not None else found.replace(tzinfo=zone)
        return (placed.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise NotOfTypeError from None


def _comparable(value: Any) -> Any:
    """What makes two values that mean missing the same: 9999 and 9999.0 are, 1 and true are not."""
    if isinstance(value, str):
        return value.strip()
    return (value.__class__ is bool, value) if isinstance(value, int | float) else None
