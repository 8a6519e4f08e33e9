"""Rules that span fields of a pipeline's configuration, each broken one given by its path."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from configs import expected
from configs.contract import Column
from configs.problem import Path, Problem, unknown_column
from configs.schema import CLASSIFICATION_METRICS, REGRESSION_METRICS, GroupSplit, PipelineConfig, TimeSplit
from configs.source import Source

# What stands beside the contract's columns in tables of predictions. Delta's names differ by more than case.
_OURS, _PROBABILITY = ("prediction", "model_version", "scored_at"), "probability_"


def problems(config: PipelineConfig) -> Iterator[Problem]:
    """Every rule that the configuration breaks; none means it is sound."""
    yield from _landing("source", config.source)
    if config.labels is not None:
        yield from _landing("labels", config.labels)
    yield from _columns(config)
    yield from _policies(config)
    yield from _contract(config)
    yield from expected.problems(config)
    yield from _features(config)
    yield from _split(config)
    yield from _evaluation(config)
    yield from _named_columns(config)
    yield from _serving(config)
    if config.approval.four_eyes and not config.approval.required:
        yield Problem(("approval", "four_eyes"), "four eyes where no approval is required", "approval.required: true")


def _serving(config: PipelineConfig) -> Iterator[Problem]:
    for index, name in enumerate(config.serving.log.leave_out):
        path = ("serving", "log", "leave_out", index)
        yield from unknown_column(config, path, name)
        if name in config.contract.key:
            yield Problem(path, f"{name!r}, a column of the key", "another: by the key, labels find their predictions")
    shares = [step.share for step in config.rollout.steps if step.kind == "canary"]
    if shares != sorted(set(shares)):
        yield Problem(("rollout", "steps"), f"canary shares {shares}", "shares that grow from step to step")
    kinds = [step.kind for step in config.rollout.steps]
    if "shadow" in kinds[1:]:
        yield Problem(("rollout", "steps"), f"the steps {', '.join(kinds)}", "one shadow step at most, as the first")


def _landing(section: str, source: Source) -> Iterator[Problem]:
    path = (section, "landing")
    protocol, is_url, place = source.landing.partition("://")
    if source.sql is not None and is_url and protocol not in ("file", "local"):
        yield Problem(path, f"{source.landing!r} with {section}.sql", "a folder: what is fetched lands there")
    if source.sql is not None:
        yield from _fetched(section, source)
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


def _fetched(section: str, source: Source) -> Iterator[Problem]:
    """What is fetched from a database lands as plain jsonl in ASCII, which the source must take."""
    wanted = {"format": ("jsonl", None), "compression": ("none", None), "encoding": ("utf-8", "utf8", "ascii", None)}
    for field, allowed in wanted.items():
        found = getattr(source, field)
        if found not in allowed:
            yield Problem((section, field), f"{found!r} with {section}.sql", f"{allowed[0]}, or none given")
    if not fnmatch.fnmatch("sql-1-2.jsonl", source.pattern):
        yield Problem((section, "pattern"), f"{source.pattern!r} with {section}.sql", "one that sql-1-2.jsonl matches")


def _columns(config: PipelineConfig) -> Iterator[Problem]:
    names: dict[str, str] = {}
    lower: dict[str, str] = {}
    for name, column in config.contract.columns.items():
        path = ("contract", "columns", name)
        if name.lower() in _OURS or name.lower().startswith(_PROBABILITY):
            allowed = f"another name; {', '.join(_OURS)} and {_PROBABILITY}… stand beside it in tables of predictions"
            yield Problem(path, f"{name!r}, a column of predictions", allowed)
        if lower.setdefault(name.lower(), name) != name:
            yield Problem(path, f"{name!r} beside {lower[name.lower()]!r}", "names that differ by more than their case")
        yield from _limits(path, column)
        for index, alias in enumerate(column.aliases):
            other = name if alias in config.contract.columns else names.setdefault(alias, name)
            if alias in config.contract.columns or other != name:
                message = "a column of its own" if alias in config.contract.columns else f"an alias of {other} too"
                yield Problem((*path, "aliases", index), f"{alias!r}, {message}", "a name that stands for one column")


def _limits(path: Path, column: Column) -> Iterator[Problem]:
    bounds = {"minimum": column.minimum, "maximum": column.maximum}
    given = {field: bound for field, bound in bounds.items() if bound is not None}
    if given and column.type not in ("integer", "number", "timestamp"):
        found = f"a limit on a {column.type}"
        yield Problem((*path, next(iter(given))), found, "limits on integers, numbers, timestamps; see expectations")
        return
    parsed: list[float] = []
    for field, bound in given.items():
        if isinstance(bound, str) != (column.type == "timestamp"):
            allowed = 'ISO 8601 text, such as "2026-01-31"' if column.type == "timestamp" else "a number"
            yield Problem((*path, field), f"{bound!r} for {_a(column.type)}", allowed)
            continue
        try:
            parsed.append(moment(bound).timestamp() if isinstance(bound, str) else float(bound))
        except ValueError:
            yield Problem((*path, field), repr(bound), 'ISO 8601 text, such as "2026-01-31" or "2026-01-31T12:00"')
    if len(parsed) == 2 and parsed[0] > parsed[1]:
        found = f"{_shown(column.minimum)}, above the maximum {_shown(column.maximum)}"
        yield Problem((*path, "minimum"), found, "at most the maximum")


def moment(text: str) -> datetime:
    """A moment given in ISO 8601, in UTC where it names no zone.

    Raises:
        ValueError: it is none.
    """
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _shown(bound: float | str | None) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _policies(config: PipelineConfig) -> Iterator[Problem]:
    contract, policies = config.contract, config.contract.policies
    path = ("contract", "policies")
    if policies.duplicate_key != "reject" and not contract.key:
        yield Problem((*path, "duplicate_key"), f"{policies.duplicate_key!r} without a key", "set contract.key")
    timed: dict[str, str] = {"out_of_order": policies.out_of_order, "late": policies.late, "future": policies.future}
    used = {name: policy for name, policy in timed.items() if policy != "accept"}
    if policies.duplicate_key == "keep_last":
        used["duplicate_key"] = policies.duplicate_key
    if contract.event_time is None:
        for name, policy in used.items():
            yield Problem((*path, name), f"{policy!r} without an event time", "set contract.event_time")
    if (policies.late != "accept") != (policies.late_after_hours is not None):
        found = "late rows are not accepted" if policies.late != "accept" else "hours where late rows are accepted"
        yield Problem((*path, "late_after_hours"), found, "late: quarantine or reject, together with late_after_hours")


def _contract(config: PipelineConfig) -> Iterator[Problem]:
    contract = config.contract
    for index, name in enumerate(contract.key):
        yield from unknown_column(config, ("contract", "key", index), name)
    yield from unknown_column(config, ("contract", "target"), contract.target)
    if contract.event_time is not None:
        yield from unknown_column(config, ("contract", "event_time"), contract.event_time)
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
        yield from unknown_column(config, path, name)
        if name == contract.target:
            yield Problem(path, f"{name!r}, the target itself", "a column known before the target is")
        column = contract.columns.get(name)
        if column is not None and column.protected:
            yield Problem(path, f"{name!r}, a protected column", "columns that a model may use")
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
        yield from unknown_column(config, ("split", "column"), split.column)
        if split.column == contract.target:
            yield Problem(("split", "column"), f"{split.column!r}, the target itself", "a column of the observations")


def _named_columns(config: PipelineConfig) -> Iterator[Problem]:
    """A name that is no column would ban, or leave out, nothing."""
    for index, name in enumerate(config.compliance.banned_features):
        yield from unknown_column(config, ("compliance", "banned_features", index), name)
    for index, name in enumerate(config.monitoring.ignore):
        yield from unknown_column(config, ("monitoring", "ignore", index), name)


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
