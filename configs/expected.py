"""Rules for a configuration's expectations, as far as they can be decided without Great Expectations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from configs.problem import Path, Problem, unknown_column
from configs.schema import PipelineConfig

KL_DIVERGENCE = "expect_column_kl_divergence_to_be_less_than"


def problems(config: PipelineConfig) -> Iterator[Problem]:
    """Every rule that the expectations break."""
    for index, expectation in enumerate(config.expectations):
        if expectation.reference and expectation.type != KL_DIVERGENCE:
            found = f"{expectation.type!r} with a reference"
            yield Problem(("expectations", index, "reference"), found, f"{KL_DIVERGENCE} with one, others without")
        elif expectation.reference:
            yield from _reference(config, ("expectations", index, "arguments"), expectation.arguments)
        for argument, name in _named_columns(expectation.arguments):
            path: Path = ("expectations", index, "arguments", argument)
            yield from unknown_column(config, path, name)
            if config.labels is not None and name == config.contract.target:
                yield Problem(path, f"{name!r}, which lands with the labels", "a column of the observations")


def _reference(config: PipelineConfig, path: Path, arguments: Mapping[str, JsonValue]) -> Iterator[Problem]:
    name, column = arguments.get("column"), config.contract.columns.get(str(arguments.get("column")))
    trained_on = (*config.feature_columns, config.contract.target)
    if column is not None and name not in trained_on:
        yield Problem(
            (*path, "column"), f"{name!r} with a reference", f"a feature or the target: {', '.join(trained_on)}"
        )
    elif column is not None and column.type == "timestamp":
        yield Problem((*path, "column"), f"{name!r} of type timestamp", "another column: times always move")
    if "partition_object" in arguments:
        found = "a partition beside reference: champion"
        yield Problem((*path, "partition_object"), found, "one of both; the champion's is made of its training data")
    if arguments.get("threshold") is None:
        yield Problem(path, "no threshold", "threshold, for example 0.1; without one it holds for any data")


def _named_columns(arguments: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    for argument in ("column", "column_A", "column_B"):
        value = arguments.get(argument)
        if isinstance(value, str):
            yield argument, value
    several = arguments.get("column_list")
    for value in several if isinstance(several, list) else []:
        yield "column_list", str(value)
