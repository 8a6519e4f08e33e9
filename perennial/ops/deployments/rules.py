"""What is wrong with the content of a prefect.yaml, each mistake with its place.

Prefect passes over keys that it does not know, and a trigger without `match` fires for everything. So the file is held
against the fields of Prefect's own models, its parameters against the flows, and its pipelines against configs/.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from prefect import Flow
from prefect.cli.deploy._models import (  # Prefect offers its file's models nowhere else
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.cli.deploy._schedules import _schedule_config_to_deployment_schedule
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from pydantic import TypeAdapter, ValidationError

from perennial.ops.deployments.fields import Found, message, near, no_pipeline, unknown_keys, wrong_values
from perennial.ops.deployments.lines import Where
from perennial.ops.deployments.triggers import trigger as trigger_mistakes

_REQUIRED = ("name", "entrypoint", "work_pool")


def mistakes(data: Mapping[str, Any]) -> Found:
    """What is wrong with a deployment file: where, and what."""
    yield from unknown_keys(data, PrefectYamlModel, (), "definitions")
    deployments = data.get("deployments")
    if not isinstance(deployments, list) or not deployments:
        yield ("deployments",), f"found {deployments!r}; expected a list of deployments"
        return
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(deployments):
        where: Where = ("deployments", index)
        if not isinstance(one, dict):
            yield where, f"found {one!r}; expected a mapping"
            continue
        yield from _deployment(one, where)
        key = (str(one.get("entrypoint")), str(one.get("name")))
        if key in seen:
            yield (*where, "name"), f"{key[1]!r} of {key[0]} stands twice"
        seen.add(key)


def _deployment(one: Mapping[str, Any], where: Where) -> Found:
    yield from unknown_keys(one, DeploymentConfig, where)
    # Schedules have their own check: by this model, a mistake is reported once for each kind of schedule there is.
    yield from wrong_values(DeploymentConfig, {key: one[key] for key in one if key != "schedules"}, where)
    for key, model in (("work_pool", WorkPoolConfig), ("concurrency_limit", ConcurrencyLimitSpec)):
        if isinstance(one.get(key), dict):
            yield from unknown_keys(one[key], model, (*where, key))
    yield from _strategy(one.get("concurrency_limit"), (*where, "concurrency_limit", "collision_strategy"))
    yield from _schedules(one.get("schedules"), (*where, "schedules"))
    for required in _REQUIRED:
        if not one.get(required):
            yield where, f"has no {required}"
    pool = one.get("work_pool")
    if isinstance(pool, dict) and pool and not pool.get("name"):
        yield (*where, "work_pool"), "has no name"
    if one.get("entrypoint"):
        yield from _flow_of(one, where)


def _strategy(limit: object, where: Where) -> Found:
    strategy = limit.get("collision_strategy") if isinstance(limit, dict) else None
    allowed = [one.value for one in ConcurrencyLimitStrategy]
    if strategy is not None and strategy not in allowed:
        yield where, f"found {strategy!r}; allowed: {', '.join(allowed)}{near(strategy, allowed)}"


def _schedules(found: object, where: Where) -> Found:
    if found is not None and not isinstance(found, list):
        yield where, f"found {found!r}; expected a list of schedules"
        return
    for index, schedule in enumerate(found or []):
        here: Where = (*where, index)
        wrong = list(_schedule(schedule, here))
        yield from wrong
        if wrong:
            continue
        try:
            deployment_schedule(schedule)  # as `prefect deploy` does, after it has deployed what stands before
        except ValidationError as error:
            yield here, message(error)
        except ValueError as error:
            yield here, f"found {schedule!r}; {error}"


def deployment_schedule(found: dict[str, Any]) -> dict[str, Any]:
    """What Prefect makes of a schedule of its file.

    Raises:
        ValueError: it is none.
    """
    return _schedule_config_to_deployment_schedule(found)


def _schedule(schedule: object, where: Where) -> Found:
    if isinstance(schedule, dict):
        yield from unknown_keys(schedule, RawScheduleConfig, where)
        known = {key: value for key, value in schedule.items() if key in RawScheduleConfig.model_fields}
        yield from wrong_values(RawScheduleConfig, known, where)
    else:
        yield where, f"found {schedule!r}; expected a mapping with cron, interval or rrule"


def _flow_of(one: Mapping[str, Any], where: Where) -> Found:
    """What is wrong with a deployment's flow, and with what is handed to it."""
    flow, problem = _flow(str(one["entrypoint"]))
    if problem:
        yield (*where, "entrypoint"), problem
        return
    yield from _parameters(flow, one.get("parameters") or {}, (*where, "parameters"))
    found = one.get("triggers")
    if found is not None and not isinstance(found, list):
        return  # reported with the values
    for index, trigger in enumerate(found or []):
        here: Where = (*where, "triggers", index)
        yield from trigger_mistakes(trigger, here)
        given = (trigger.get("parameters") if isinstance(trigger, dict) else None) or {}
        yield from _parameters(flow, given, (*here, "parameters"))
        yield from _missing(flow, one, given, here, "trigger")
    if one.get("schedules"):
        yield from _missing(flow, one, {}, where, "schedule")


def _missing(flow: Flow[..., Any], one: Mapping[str, Any], given: object, where: Where, what: str) -> Found:
    """A parameter that nobody fills in where no person starts the run."""
    both = [one.get("parameters") or {}, given]
    known = {name for each in both if isinstance(each, dict) for name in each}
    for name, parameter in inspect.signature(flow.fn).parameters.items():
        if parameter.default is parameter.empty and name not in known:
            yield where, f"flow {flow.name!r} needs {name}; every run that the {what} starts would fail without"


def _flow(entrypoint: str) -> tuple[Any, str]:
    """The flow that an entrypoint names, or what is wrong with it."""
    path, colon, function = entrypoint.removeprefix("./").rpartition(".py:")
    module, _, name = f"{path.replace('/', '.')}.{function}".rpartition(".") if colon else entrypoint.rpartition(".")
    try:
        found = getattr(import_module(module), name, None) if module else None
    except Exception as error:  # a module may raise anything while it is imported
        return None, f"{entrypoint!r} can't be imported: {error or type(error).__name__}"
    return (found, "") if isinstance(found, Flow) else (None, f"{entrypoint!r} names no flow")


def _parameters(flow: Flow[..., Any], parameters: object, where: Where) -> Found:
    if not isinstance(parameters, dict):
        yield where, f"found {parameters!r}; expected a mapping"
        return
    known = inspect.signature(flow.fn, eval_str=True).parameters
    for name, value in parameters.items():
        here: Where = (*where, str(name))
        if name not in known:
            yield here, f"flow {flow.name!r} has no such parameter; it has {', '.join(known)}{near(name, known)}"
        elif not _later(value):
            problem = no_pipeline(value) if name == "pipeline" else _wrong(known[name].annotation, value)
            if problem:
                yield here, problem


def _later(value: object) -> bool:
    """Whether a value is a template, which is filled in when the run starts."""
    return (isinstance(value, str) and "{{" in value) or (isinstance(value, dict) and "__prefect_kind" in value)


def _wrong(kind: Any, value: object) -> str:
    try:
        # Strictly and as JSON, as the server compares parameters with the flow's schema.
        TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        return message(error)
    return ""
