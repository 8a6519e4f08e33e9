"""Great Expectations that follow from the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from configs.contract import Column, Expectation
from configs.schema import PipelineConfig
from tasks.records.data import Feed


def suite(config: PipelineConfig, feed: Feed, expected: Sequence[Expectation]) -> tuple[Expectation, ...]:
    """Return all expectations of a feed: those implied by the contract, then the configured ones (observations)."""
    columns = config.columns_of(feed)
    never_missing = {*config.contract.key, config.contract.event_time or ""}
    implied = [one for name, column in columns.items() for one in _implied(name, column, name in never_missing)]
    return (*implied, *(expected if feed == "observations" else ()))


def _implied(name: str, column: Column, never_missing: bool) -> Iterator[Expectation]:
    if never_missing or not column.nullable:
        yield Expectation(type="expect_column_values_to_not_be_null", arguments={"column": name})
    if column.allowed is not None:
        allowed: dict[str, JsonValue] = {"column": name, "value_set": list(column.allowed)}
        yield Expectation(type="expect_column_values_to_be_in_set", arguments=allowed)
    limits: dict[str, JsonValue] = {"min_value": column.minimum, "max_value": column.maximum}
    bounds = {key: value for key, value in limits.items() if value is not None}
    if bounds:
        yield Expectation(type="expect_column_values_to_be_between", arguments={"column": name, **bounds})
