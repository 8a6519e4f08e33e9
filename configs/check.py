"""Rules that span fields of a pipeline's configuration, each broken one told by its path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from configs.schema import CLASSIFICATION_METRICS, REGRESSION_METRICS, GroupSplit, PipelineConfig, Source, TimeSplit

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """One mistake: where, what was found, what is allowed."""

    path: Path
    found: str
    allowed: str


def problems(config: PipelineConfig) -> Iterator[Problem]:
    """Every rule that the configuration breaks; none means it is sound."""
    yield from _landing("source", config.source)
    if config.labels is not None:
        yield from _landing("labels", config.labels)
    yield from _columns(config)
    yield from _contract(config)
    yield from _features(config)
    yield from _split(config)
    yield from _evaluation(config)
    if config.approval.four_eyes and not config.approval.required:
        yield Problem(("approval", "four_eyes"), "four eyes where no approval is required", "approval.required: true")


def _landing(section: str, source: Source) -> Iterator[Problem]:
    path = (section, "landing")
    protocol, is_url, place = source.landing.partition("://")
    if "/" in source.marker:
        yield Problem((section, "marker"), repr(source.marker), "an ending without a slash, such as .ready")
    if not is_url:
        return
    if "@" in place.partition("/")[0] or "?" in place:  # not shown: it may hold a secret
        yield Problem(path, "a URL with a user, a password or a query", "one without; credentials come from outside")
    elif not place.strip("/"):
        yield Problem(path, f"{source.landing!r}, which names no place", "a URL such as s3://bucket/folder")
    elif protocol in ("file", "local") and not place.startswith("/"):
        yield Problem(path, repr(source.landing), f"an absolute path: {protocol}:///folder")
    else:
        from fsspec import available_protocols  # type: ignore[import-untyped]  # it ships no types

        known = available_protocols()
        if protocol not in known:
            near = difflib.get_close_matches(protocol, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield Problem(path, f"the unknown protocol {protocol!r}", f"one that fsspec knows, such as s3{hint}")


def _known(config: PipelineConfig, path: Path, name: str) -> Iterator[Problem]:
    if name not in config.contract.columns:
        yield Problem(path, repr(name), "a column of contract.columns: " + ", ".join(config.contract.columns))


def _columns(config: PipelineConfig) -> Iterator[Problem]:
    for name, column in config.contract.columns.items():
        limited = column.minimum is not None or column.maximum is not None
        if limited and column.type not in ("integer", "number"):
            where = ("contract", "columns", name, "maximum" if column.minimum is None else "minimum")
            yield Problem(where, f"a limit on a {column.type}", "limits on integers and numbers only; see expectations")
        if column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
            found = f"{column.minimum:g}, above the maximum {column.maximum:g}"
            yield Problem(("contract", "columns", name, "minimum"), found, "at most the maximum")


def _contract(config: PipelineConfig) -> Iterator[Problem]:
    contract = config.contract
    for index, name in enumerate(contract.key):
        yield from _known(config, ("contract", "key", index), name)
    yield from _known(config, ("contract", "target"), contract.target)
    if contract.event_time is not None:
        yield from _known(config, ("contract", "event_time"), contract.event_time)
        column = contract.columns.get(contract.event_time)
        if column is not None and column.type != "timestamp":
            yield Problem(("contract", "event_time"), f"{contract.event_time!r} of type {column.type}", "a timestamp")
    if contract.target in contract.columns:
        yield from _target(config)
    if config.labels is not None and not contract.key:
        yield Problem(("labels",), "labels without a key", "contract.key must name what joins a label to its row")
    try:
        ZoneInfo(contract.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield Problem(("contract", "timezone"), repr(contract.timezone), "an IANA time zone, such as Europe/Berlin")
    for index, expectation in enumerate(config.expectations):
        for argument, name in _named_columns(expectation.arguments):
            path: Path = ("expectations", index, "arguments", argument)
            yield from _known(config, path, name)
            if config.labels is not None and name == contract.target:
                yield Problem(path, f"{name!r}, which lands with the labels", "a column of the observations")


def _named_columns(arguments: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    for argument in ("column", "column_A", "column_B"):
        value = arguments.get(argument)
        if isinstance(value, str):
            yield argument, value
    several = arguments.get("column_list")
    for value in several if isinstance(several, list) else []:
        yield "column_list", str(value)


def _target(config: PipelineConfig) -> Iterator[Problem]:
    kind = config.contract.columns[config.contract.target].type
    path = ("contract", "target")
    if config.task == "regression" and kind not in ("integer", "number"):
        yield Problem(path, f"{config.contract.target!r} of type {kind}", "integer or number, for a regression")
    if config.task == "classification" and kind == "timestamp":
        yield Problem(path, f"{config.contract.target!r} of type timestamp", "string, integer, number or boolean")


def _features(config: PipelineConfig) -> Iterator[Problem]:
    features, contract = config.features, config.contract
    named: list[tuple[Path, str]] = [(("features", "numeric", i), name) for i, name in enumerate(features.numeric)]
    named += [(("features", "categorical", i), name) for i, name in enumerate(features.categorical)]
    named += [
        (("features", "custom", i, "columns", j), name)
        for i, custom in enumerate(features.custom)
        for j, name in enumerate(custom.columns)
    ]
    for path, name in named:
        yield from _known(config, path, name)
        if name == contract.target:
            yield Problem(path, f"{name!r}, the target itself", "a column known before the target is")
        column = contract.columns.get(name)
        if column is not None and "numeric" in path and column.type not in ("integer", "number", "boolean"):
            yield Problem(
                path, f"{name!r} of type {column.type}", "integer, number or boolean; see features.categorical"
            )
    steps = ["numeric", "categorical", "calendar", *(custom.name for custom in features.custom)]
    for index, custom in enumerate(features.custom):
        if steps.count(custom.name) > 1:
            yield Problem(("features", "custom", index, "name"), f"{custom.name!r}, used twice", "a name of its own")
    if features.calendar and contract.event_time is None:
        yield Problem(("features", "calendar"), "calendar parts without an event time", "set contract.event_time")
    if not named and not features.calendar:
        yield Problem(("features",), "no feature", "at least one of numeric, categorical, calendar, custom")


def _split(config: PipelineConfig) -> Iterator[Problem]:
    split, contract = config.split, config.contract
    if isinstance(split, TimeSplit) and contract.event_time is None:
        yield Problem(("split", "kind"), "'time' without an event time", "set contract.event_time, or split otherwise")
    if isinstance(split, GroupSplit):
        yield from _known(config, ("split", "column"), split.column)
        if split.column == contract.target:
            yield Problem(("split", "column"), f"{split.column!r}, the target itself", "a column of the observations")


def _evaluation(config: PipelineConfig) -> Iterator[Problem]:
    metrics = REGRESSION_METRICS if config.task == "regression" else CLASSIFICATION_METRICS
    allowed = f"for a {config.task}: {', '.join(metrics)}"
    if config.evaluation.primary not in metrics:
        yield Problem(("evaluation", "primary"), repr(config.evaluation.primary), allowed)
    for index, bound in enumerate(config.evaluation.bounds):
        path: Path = ("evaluation", "bounds", index)
        if bound.metric not in metrics:
            yield Problem((*path, "metric"), repr(bound.metric), allowed)
        if bound.minimum is None and bound.maximum is None:
            yield Problem(path, "a bound without a limit", "minimum, maximum or both")
    unit = config.evaluation.comparison.unit
    if unit == "day" and config.contract.event_time is None:
        yield Problem(("evaluation", "comparison", "unit"), "'day' without an event time", "set contract.event_time")
    if unit == "group" and not isinstance(config.split, GroupSplit):
        yield Problem(("evaluation", "comparison", "unit"), "'group' without a group split", "row or day")
