"""Names and arguments of the expectations in Great Expectations' gallery."""

from __future__ import annotations

from typing import Any

import great_expectations.expectations  # noqa: F401  # registers them
from great_expectations.expectations.expectation import Expectation as _Base
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)

# Set by Perennial (batch, result format), or of GX Cloud only (windows).
_GENERAL_ARGUMENTS = ("batch_id", "library_metadata", "windows")


def names() -> tuple[str, ...]:
    """Return the names of all expectations, sorted."""
    return tuple(sorted(list_registered_expectation_implementations()))


def arguments(name: str) -> tuple[str, ...]:
    """Return the names of an expectation's arguments, sorted; empty if there is no such expectation."""
    if name not in list_registered_expectation_implementations():
        return ()
    implementation: Any = get_expectation_impl(name)
    general = {*_Base.__fields__, *_GENERAL_ARGUMENTS}
    return tuple(sorted(set(implementation.__fields__) - general))
