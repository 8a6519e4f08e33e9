"""Sends the deployments of a prefect.yaml that changed to PREFECT_API_URL's server.

    python -m perennial.ops.deployments.apply FILE MARKS

`prefect deploy --all` does the same for all of them, with a client and a check for each: minutes for hundreds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyOptions
from prefect.events import DeploymentTriggerTypes
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from pydantic import TypeAdapter

from perennial.ops.deployments.check import MistakeError, mistakes
from perennial.ops.deployments.rules import deployment_schedule

_Trigger: TypeAdapter[Any] = TypeAdapter(DeploymentTriggerTypes)


class Applied(NamedTuple):
    """What was sent: deployments by FLOW/NAME."""

    sent: tuple[str, ...]
    unchanged: int
    deleted: tuple[str, ...]


def apply(file: Path, marks: Path) -> Applied:
    """Send what changed since the last time, delete what this function sent then and the file has no longer.

    Other deployments, and the automations of others, are left alone.

    Args:
        file: The deployment file.
        marks: Where the digests of what the server has are kept, by FLOW/NAME. Deleted, all are sent.

    Raises:
        MistakeError: the file has a mistake. Nothing was sent.
    """
    problems = mistakes(file)
    if problems:
        raise MistakeError("\n".join([*problems, "Nothing was deployed."]))
    wanted = {}
    for deployment in yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]:
        flow = _flow(deployment["entrypoint"])
        wanted[f"{flow.name}/{deployment['name']}"] = (flow, deployment)
    known = _read(marks)
    sent: list[str] = []
    deleted = tuple(sorted(known.keys() - wanted.keys()))
    with get_client(sync_client=True) as client:
        for name in deleted:
            _delete(client, name)
            del known[name]
            _write(marks, known)
        flow_ids: dict[str, Any] = {}
        for name, (flow, deployment) in wanted.items():
            digest = _digest(flow, deployment)
            if known.get(name) == digest:
                continue
            if flow.name not in flow_ids:
                flow_ids[flow.name] = client.create_flow_from_name(flow.name)
            _send(client, flow_ids[flow.name], flow, deployment)
            sent.append(name)
            known[name] = digest
            _write(marks, known)
    return Applied(tuple(sent), len(wanted) - len(sent), deleted)


def _flow(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    return flow


def _digest(flow: Flow[..., Any], deployment: Mapping[str, Any]) -> str:
    """Of all that is sent: the file's values, and the form that the flow's parameters make."""
    content = [deployment, parameter_schema(flow).model_dump(mode="json")]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _send(client: SyncPrefectClient, flow_id: Any, flow: Flow[..., Any], deployment: Mapping[str, Any]) -> None:
    limit, options = _limit(deployment.get("concurrency_limit"))
    deployment_id = client.create_deployment(
        flow_id=flow_id,
        name=deployment["name"],
        schedules=[DeploymentScheduleCreate(**deployment_schedule(one)) for one in deployment.get("schedules") or ()],
        concurrency_limit=limit,
        concurrency_options=options,
        parameters=deployment.get("parameters") or {},
        description=deployment.get("description"),
        work_pool_name=deployment["work_pool"]["name"],
        work_queue_name=deployment["work_pool"].get("work_queue_name"),
        job_variables=deployment["work_pool"].get("job_variables") or {},
        tags=deployment.get("tags") or [],
        entrypoint=deployment["entrypoint"],
        parameter_openapi_schema=parameter_schema(flow).model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
        pull_steps=[],
    )
    client.delete_resource_owned_automations(f"prefect.deployment.{deployment_id}")
    for index, content in enumerate(deployment.get("triggers") or (), start=1):
        trigger = _Trigger.validate_python({"name": f"{flow.name}/{deployment['name']} {index}", **content})
        trigger.set_deployment_id(deployment_id)
        client.create_automation(trigger.as_automation())


def _limit(found: Any) -> tuple[int | None, ConcurrencyOptions | None]:
    if found is None or isinstance(found, int):
        return found, None
    config = ConcurrencyLimitConfig.model_validate(found)
    return config.limit, ConcurrencyOptions(collision_strategy=config.collision_strategy)


def _delete(client: SyncPrefectClient, name: str) -> None:
    try:
        client.delete_deployment(client.read_deployment_by_name(name).id)
    except ObjectNotFound:
        return  # somebody deleted it


def _read(marks: Path) -> dict[str, str]:
    try:
        found = json.loads(marks.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(marks: Path, known: Mapping[str, str]) -> None:
    draft = marks.with_name(f".{marks.name}.{os.getpid()}")
    draft.write_text(json.dumps(known, indent=1), encoding="utf-8")
    draft.replace(marks)


def _main(file: str, marks: str) -> None:
    try:
        applied = apply(Path(file), Path(marks))
    except MistakeError as error:
        raise SystemExit(str(error)) from None
    deleted = f", {len(applied.deleted)} deleted" if applied.deleted else ""
    sys.stdout.write(f"{len(applied.sent)} deployments sent, {applied.unchanged} unchanged{deleted}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
