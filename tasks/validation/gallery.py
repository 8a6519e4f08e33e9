"""What Great Expectations has: the names of its expectations, and the arguments that each takes."""

from __future__ import annotations

from typing import Any

import great_expectations.expectations  # noqa: F401  # registers them
from great_expectations.expectations.expectation import Expectation as _Base
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)

# A batch is always the file, how much is told of it is ours to say, and windows are of its cloud.
_NOT_OURS = ("batch_id", "library_metadata", "windows")


def names() -> tuple[str, ...]:
    """Names of all expectations, sorted."""
    return tuple(sorted(list_registered_expectation_implementations()))


def arguments(name: str) -> tuple[str, ...]:
    """Names of the arguments that an expectation takes, sorted; empty where there is no such expectation."""
    if name not in list_registered_expectation_implementations():
        return ()
    implementation: Any = get_expectation_impl(name)
    general = {*_Base.__fields__, *_NOT_OURS}
    return tuple(sorted(set(implementation.__fields__) - general))
