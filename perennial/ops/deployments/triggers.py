"""What is wrong with a trigger of a deployment, which Prefect would take as it is and never or always fire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, get_args

from prefect.events.schemas.automations import CompoundTrigger, EventTrigger, SequenceTrigger
from prefect.events.schemas.deployment_triggers import (
    DeploymentCompoundTrigger,
    DeploymentEventTrigger,
    DeploymentSequenceTrigger,
    deployment_trigger_discriminator,
)
from pydantic import BaseModel

from perennial.ops.deployments.fields import Found, near, no_pipeline, unknown_keys, wrong_values
from perennial.ops.deployments.lines import Where
from tasks.stores.state.outbox import EventName

_EVENTS: tuple[str, ...] = get_args(EventName)
_OURS, _RESOURCE = "perennial.", "perennial.pipeline."
_LABELS = ("prefect.resource.id", "prefect.resource.name", "perennial.followed")
_OUTER: dict[str, type[BaseModel]] = {
    "event": DeploymentEventTrigger,
    "compound": DeploymentCompoundTrigger,
    "sequence": DeploymentSequenceTrigger,
}
_INNER: dict[str, type[BaseModel]] = {"event": EventTrigger, "compound": CompoundTrigger, "sequence": SequenceTrigger}


def trigger(found: object, where: Where, models: Mapping[str, type[BaseModel]] = _OUTER) -> Found:
    """What is wrong with a trigger, and with those in it."""
    if not isinstance(found, dict):
        yield where, f"found {found!r}; expected a mapping"
        return
    kind = deployment_trigger_discriminator(found)
    model = models.get(kind)
    if model is None:
        yield (*where, "type"), f"found {kind!r}; a server of one's own knows {', '.join(models)}"
        return
    yield from unknown_keys(found, model, where)
    # Parameters are the flow's to check, and inner triggers have their own check.
    yield from wrong_values(model, found, where)
    if kind == "event":
        yield from _events(found, where)
        yield from _match(found, where)
    inner = found.get("triggers")
    for index, one in enumerate(inner if isinstance(inner, list) else []):
        yield from trigger(one, (*where, "triggers", index), _INNER)


def _events(found: Mapping[str, Any], where: Where) -> Found:
    if not found.get("expect"):
        yield where, "has no expect: it would fire for every event"
    for key in ("expect", "after"):
        for index, name in enumerate(_listed(found.get(key))):
            near_ours = near(name, _EVENTS)
            known = any(fnmatchcase(event, str(name)) for event in _EVENTS)
            if not known and (str(name).startswith(_OURS) or near_ours):
                yield (*where, key, index), f"no such event: {name!r}{near_ours}"


def _match(found: Mapping[str, Any], where: Where) -> Found:
    match = found.get("match")
    if not match:
        yield where, "has no match: it would fire for every resource"
        return
    if not isinstance(match, dict):
        return  # reported with the values
    here: Where = (*where, "match")
    resources = _listed(match.get("prefect.resource.id"))
    ours = any(str(name).startswith(_OURS) for name in _listed(found.get("expect")))
    if ours and not resources:
        yield here, "has no prefect.resource.id: it would fire for every pipeline"
    for resource in resources:
        message = _resource(str(resource), ours)
        if message:
            yield (*here, "prefect.resource.id"), message
    for label in match if ours else ():
        if label not in _LABELS:
            yield (*here, str(label)), f"our events have no such label, so it would never fire{near(label, _LABELS)}"


def _resource(resource: str, ours: bool) -> str:
    name = resource.removeprefix(_RESOURCE)
    if name != resource:
        return "" if name == "*" else no_pipeline(name)
    return f"found {resource!r}; our events have {_RESOURCE}NAME" if ours else ""


def _listed(found: object) -> Iterable[Any]:
    if isinstance(found, str):
        return [found]
    return found if isinstance(found, list) else []
