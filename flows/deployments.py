"""prefect.yaml: every mistake told with its line before anything is deployed, and the lines of a further pipeline.

Prefect passes over keys that it does not know, and a trigger without `match` fires for everything. So the file is held
against the fields of Prefect's own models, its parameters against the flows, and its pipelines against configs/.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import yaml
from prefect import Flow
from prefect.cli.deploy._models import (  # Prefect offers its file's models nowhere else
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.events.schemas.deployment_triggers import (
    DeploymentCompoundTrigger,
    DeploymentEventTrigger,
    DeploymentSequenceTrigger,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from configs.load import names
from tasks.errors import UsageError
from tasks.stores.environment import ROOT
from tasks.stores.outbox import EventName

FILE = ROOT / "prefect.yaml"
_EVENTS = get_args(EventName)
_RESOURCE = "perennial.pipeline."
_TRIGGERS: dict[str, type[BaseModel]] = {
    "event": DeploymentEventTrigger,
    "compound": DeploymentCompoundTrigger,
    "sequence": DeploymentSequenceTrigger,
}
# What `add` writes for a pipeline.
_LINES = """\
  # NAME
  - <<: *ingest
    name: NAME
    parameters: &NAME {pipeline: NAME}
    triggers: [{<<: *landed, match: &of_NAME {prefect.resource.id: perennial.pipeline.NAME, perennial.followed: "no"}}]
  - {<<: *lifecycle, name: NAME, parameters: *NAME, triggers: [{<<: *changed, match: *of_NAME}]}
  - {<<: *deploy, name: NAME, parameters: *NAME, triggers: [{<<: *judged, match: *of_NAME}]}
  - {<<: *train, name: NAME, parameters: *NAME}
  - {<<: *monitor, name: NAME, parameters: *NAME}
  - {<<: *score, name: NAME, parameters: *NAME}
  - {<<: *backfill, name: NAME, parameters: *NAME}
  - {<<: *approve, name: NAME, parameters: *NAME}
"""
_Path = tuple[str | int, ...]
_Found = Iterator[tuple[_Path, str]]


class MistakeError(UsageError):
    """A deployment file that must not be deployed."""


def refuse_mistakes() -> dict[str, str]:
    """The build step of every deployment in prefect.yaml: nothing is deployed from a file with a mistake.

    Raises:
        MistakeError: names each, with its line.
    """
    return dict(_refuse(FILE, FILE.stat().st_mtime_ns))


@cache
def _refuse(path: Path, _changed: int) -> tuple[tuple[str, str], ...]:
    found = mistakes(path)
    if found:
        raise MistakeError("\n".join(found))
    return (("checked", path.name),)


def mistakes(path: Path = FILE) -> list[str]:
    """What is wrong with a deployment file, each with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
        node, data = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        return [f"{path}: can't be read: {error.strerror}"]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return [f"{path}:{line}: not YAML: {error.problem}"]
    if not isinstance(data, dict) or node is None:
        return [f"{path}:1: found no mapping; expected `deployments:` and more"]
    return [f"{path}:{_line(node, where)}: {_dotted(where)}: {told}" for where, told in _file(data)]


def _file(data: Mapping[str, Any]) -> _Found:
    yield from _keys(data, PrefectYamlModel, (), "definitions")
    deployments = data.get("deployments")
    if not isinstance(deployments, list) or not deployments:
        yield ("deployments",), "found none; expected a list"
        return
    seen: dict[tuple[str, str], int] = {}
    for index, one in enumerate(deployments):
        where: _Path = ("deployments", index)
        if not isinstance(one, dict):
            yield where, f"found {one!r}; expected a mapping"
            continue
        yield from _deployment(one, where)
        key = (str(one.get("entrypoint")), str(one.get("name")))
        if key in seen:
            yield (*where, "name"), f"{key[1]!r} of {key[0]} stands twice"
        seen[key] = index


def _deployment(one: Mapping[str, Any], where: _Path) -> _Found:
    yield from _keys(one, DeploymentConfig, where)
    yield from _values(DeploymentConfig, one, where)
    for key, model in (("work_pool", WorkPoolConfig), ("concurrency_limit", ConcurrencyLimitSpec)):
        if isinstance(one.get(key), dict):
            yield from _keys(one[key], model, (*where, key))
    limit = one.get("concurrency_limit")
    strategy = limit.get("collision_strategy") if isinstance(limit, dict) else None
    if strategy is not None and strategy not in list(ConcurrencyLimitStrategy):
        allowed = ", ".join(ConcurrencyLimitStrategy)
        yield (*where, "concurrency_limit", "collision_strategy"), f"found {strategy!r}; allowed: {allowed}"
    for index, schedule in enumerate(one.get("schedules") or []):
        yield from _values(RawScheduleConfig, schedule, (*where, "schedules", index))
    for required in ("name", "entrypoint", "work_pool"):
        if not one.get(required):
            yield where, f"has no {required}"
    flow, problem = _flow(str(one.get("entrypoint")))
    if problem:
        yield (*where, "entrypoint"), problem
        return
    yield from _parameters(flow, one.get("parameters") or {}, (*where, "parameters"))
    for index, trigger in enumerate(one.get("triggers") or []):
        yield from _trigger(flow, one, trigger, (*where, "triggers", index))


def _trigger(flow: Flow[..., Any], one: Mapping[str, Any], trigger: object, where: _Path) -> _Found:
    if not isinstance(trigger, dict):
        yield where, f"found {trigger!r}; expected a mapping"
        return
    kind = trigger.get("type", "event")
    model = _TRIGGERS.get(kind)
    if model is None:
        yield (*where, "type"), f"found {kind!r}; a server of one's own knows {', '.join(_TRIGGERS)}"
        return
    yield from _keys(trigger, model, where)
    yield from _values(model, trigger, where)
    parameters = {**(one.get("parameters") or {}), **(trigger.get("parameters") or {})}
    yield from _parameters(flow, parameters, (*where, "parameters"))
    if kind == "event":
        yield from _match(trigger, where)


def _match(trigger: Mapping[str, Any], where: _Path) -> _Found:
    match = trigger.get("match")
    if not match:
        yield where, "has no match: it would fire for every resource"
        return
    resource = str(match.get("prefect.resource.id", "")) if isinstance(match, dict) else ""
    if resource.startswith(_RESOURCE):
        yield from _pipeline(resource.removeprefix(_RESOURCE), (*where, "match", "prefect.resource.id"))
    for name in trigger.get("expect") or []:
        if str(name).startswith("perennial.") and name not in _EVENTS:
            yield (*where, "expect"), f"no such event: {name!r}{_near(str(name), _EVENTS)}"


def _parameters(flow: Flow[..., Any], parameters: object, where: _Path) -> _Found:
    if not isinstance(parameters, dict):
        yield where, f"found {parameters!r}; expected a mapping"
        return
    known = inspect.signature(flow.fn).parameters
    for name, value in parameters.items():
        if name not in known:
            yield (
                (*where, name),
                f"flow {flow.name!r} has no such parameter{_near(name, known)}; it has {', '.join(known)}",
            )
        elif name == "pipeline":
            yield from _pipeline(str(value), (*where, name))
        else:
            try:
                TypeAdapter(_type(flow, name)).validate_python(value)
            except ValidationError as error:
                yield (*where, name), f"found {value!r}; {error.errors()[0]['msg'].lower()}"


def _type(flow: Flow[..., Any], name: str) -> Any:
    return inspect.signature(flow.fn, eval_str=True).parameters[name].annotation


def _pipeline(name: str, where: _Path) -> _Found:
    if name not in names():
        yield where, f"no pipeline is named {name!r}{_near(name, names())}; there are {', '.join(names())}"


def _flow(entrypoint: str) -> tuple[Any, str]:
    """The flow that an entrypoint names, or what is wrong with it."""
    module, _, name = entrypoint.replace("/", ".").replace(".py:", ".").rpartition(".")
    try:
        found = getattr(import_module(module), name, None) if module else None
    except ImportError as error:
        return None, f"{entrypoint!r} can't be imported: {error}"
    return (found, "") if isinstance(found, Flow) else (None, f"{entrypoint!r} names no flow")


def _keys(found: Mapping[str, Any], model: type[BaseModel], where: _Path, *others: str) -> _Found:
    known = [*model.model_fields, *(one.alias for one in model.model_fields.values() if one.alias), *others]
    for key in found:
        if key not in known:
            yield (*where, key), f"Prefect knows no such key{_near(str(key), known)}; it would pass over it"


def _values(model: type[BaseModel], found: object, where: _Path) -> _Found:
    try:
        model.model_validate(found)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            inside = tuple(step for step in one["loc"] if isinstance(step, int) or step in _steps(found))
            yield (*where, *inside), f"found {one['input']!r}; {one['msg'][0].lower()}{one['msg'][1:]}"


def _steps(found: object) -> set[str]:
    if isinstance(found, dict):
        return {str(key) for key in found} | {step for value in found.values() for step in _steps(value)}
    if isinstance(found, list):
        return {step for value in found for step in _steps(value)}
    return set()


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, [str(one) for one in known], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _dotted(where: _Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".") or "the file"


def _line(node: yaml.Node, where: _Path) -> int:
    """The line, from 1, of the deepest part of a path; through anchors to where a value is written."""
    line = node.start_mark.line
    for step in where:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        elif isinstance(node, yaml.MappingNode):
            pair = _pair(node, str(step))
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
    return line + 1


def _pair(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """A key and its value, a merged one (`<<`) if the mapping has none of its own."""
    for name, value in node.value:
        if name.value == key:
            return name, value
    for name, value in node.value:
        if name.value == "<<":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                found = _pair(merged, key)
                if found is not None:
                    return found
    return None


def add(name: str, path: Path = FILE) -> bool:
    """Write the deployments of a pipeline at the end of a deployment file, in one move; whether they were missing.

    Raises:
        UsageError: no such pipeline, or the file has a mistake as it is.
    """
    if name not in names():
        raise UsageError(f"No pipeline is named {name!r}{_near(name, names())}; there are {', '.join(names())}.")
    text = path.read_text(encoding="utf-8")
    if f"pipeline: {name}}}" in text:
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(f"{text.rstrip()}\n{_LINES.replace('NAME', name)}", encoding="utf-8")
    found = mistakes(draft)
    if found:
        draft.unlink()
        raise MistakeError("\n".join(one.replace(str(draft), str(path)) for one in found))
    draft.replace(path)
    return True
