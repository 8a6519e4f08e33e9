"""The work pool's template and the recipe around it, without a cluster."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import yaml
from pydantic import SecretStr

from perennial.serving.guard import Guard
from perennial.serving.metrics import Metrics
from perennial.serving.settings import ServeSettings
from tests.support.docker import commands
from tests.support.docker.files import DOCKER, compose, dockerfile
from tests.support.world import ROOT

TEMPLATE = json.loads((DOCKER / "kubernetes" / "base-job-template.json").read_text(encoding="utf-8"))
SERVING = list(yaml.safe_load_all((DOCKER / "kubernetes" / "serving.yaml").read_text(encoding="utf-8")))
TEXT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
# What prefect-kubernetes demands of a manifest, and the fields of its job configuration.
DEMANDED: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {"template": {"spec": {"parallelism": 1, "completions": 1, "restartPolicy": "Never"}}},
}
FIELDS = {
    *("command", "env", "labels", "name", "namespace", "job_manifest", "cluster_config", "stream_output"),
    *("job_watch_timeout_seconds", "pod_watch_timeout_seconds"),
}


def test_variables_and_placeholders_are_the_same() -> None:
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(TEMPLATE["job_configuration"])))
    assert used == set(TEMPLATE["variables"]["properties"])
    assert set(TEMPLATE["job_configuration"]) == FIELDS


def test_the_manifest_has_what_the_worker_demands() -> None:
    def holds(manifest: Any, demanded: Any) -> bool:
        if isinstance(demanded, dict):
            return all(name in manifest and holds(manifest[name], value) for name, value in demanded.items())
        return bool(manifest == demanded)

    manifest = TEMPLATE["job_configuration"]["job_manifest"]
    assert holds(manifest, DEMANDED)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "prefect-job"
    assert container["args"] == "{{ command }}"


def test_prefect_takes_the_template_and_fills_it_in(server: str) -> None:
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.utilities.templating import apply_values

    async def made() -> Any:
        async with get_client() as client:
            pool = WorkPoolCreate(name="of-kubernetes", type="kubernetes", base_job_template=TEMPLATE)
            return (await client.create_work_pool(pool)).base_job_template

    template = asyncio.run(made())
    defaults = {name: one["default"] for name, one in template["variables"]["properties"].items() if "default" in one}
    filled: Any = apply_values(template["job_configuration"], {**defaults, "name": "run", "command": "x"})
    pod = filled["job_manifest"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "4Gi"}
    assert pod["containers"][0]["envFrom"][1] == {"secretRef": {"name": "perennial"}}
    assert filled["job_manifest"]["metadata"]["namespace"] == "perennial"


def test_user_and_home_are_those_of_the_image() -> None:
    pod = TEMPLATE["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    user = next(rest for instruction, rest in dockerfile() if instruction == "USER")
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    environment = next(rest for instruction, rest in dockerfile() if instruction == "ENV" and "PERENNIAL_HOME" in rest)
    assert f"PERENNIAL_HOME={pod['containers'][0]['volumeMounts'][0]['mountPath']}" in environment.split()


def test_the_recipe_names_what_there_is() -> None:
    for line in re.findall(r"^ *(prefect .+)$|`(prefect worker [^`]+)`", TEXT, flags=re.MULTILINE):
        commands.check("".join(line).split())
    for path in re.findall(r"docker/[\w./-]+\w", TEXT):
        assert (ROOT / path).exists(), path
    manifest = yaml.safe_load(TEXT.split("```yaml")[1].split("```")[0])
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    commands.check(container["args"])
    commands.check(container["livenessProbe"]["exec"]["command"])


def test_the_service_is_found_by_its_pods_labels_and_port() -> None:
    deployment, service = SERVING
    spec = deployment["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert (deployment["kind"], service["kind"]) == ("Deployment", "Service")
    assert spec["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert deployment["metadata"]["namespace"] == service["metadata"]["namespace"] == "perennial"
    (port,) = container()["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert port["containerPort"] == ServeSettings.model_fields["port"].default


def test_the_service_is_asked_where_no_token_is_needed() -> None:
    asked = {name: container()[name]["httpGet"] for name in ("readinessProbe", "livenessProbe", "startupProbe")}
    assert {name: one["path"] for name, one in asked.items()} == {
        "readinessProbe": "/ping",
        "livenessProbe": "/health",
        "startupProbe": "/health",
    }
    assert {one["port"] for one in asked.values()} == {"http"}
    guard = Guard(nothing, ServeSettings(token=SecretStr("x" * 16)), Metrics())
    assert {path: answer(guard, path) for path in ("/ping", "/health", "/metrics")} == {
        "/ping": 200,
        "/health": 200,
        "/metrics": 401,
    }


def test_the_service_is_the_images_user_at_the_images_home_and_has_time_to_end() -> None:
    pod = SERVING[0]["spec"]["template"]["spec"]
    user = next(rest for instruction, rest in dockerfile() if instruction == "USER")
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    environment = next(rest for instruction, rest in dockerfile() if instruction == "ENV" and "PERENNIAL_HOME" in rest)
    assert f"PERENNIAL_HOME={container()['volumeMounts'][0]['mountPath']}" in environment.split()
    grace = float(compose()["services"]["serving"]["stop_grace_period"].removesuffix("s"))
    pause = float(container()["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["terminationGracePeriodSeconds"] >= grace + pause


def test_the_service_takes_what_the_recipe_makes() -> None:
    made = {f"{kind}/{name}" for kind, name in re.findall(r"create (configmap|secret generic) ([\w-]+)", TEXT)}
    taken = {f"configmap/{one['configMapRef']['name']}" for one in container()["envFrom"] if "configMapRef" in one}
    taken |= {f"secret generic/{one['secretRef']['name']}" for one in container()["envFrom"] if "secretRef" in one}
    assert taken == made
    assert f"-t {container()['image']} " in TEXT
    assert "PERENNIAL_SERVE_TOKEN=" in TEXT


def container() -> dict[str, Any]:
    """The pod's only container."""
    (found,) = SERVING[0]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


async def nothing(_: Any, __: Any, send: Any) -> None:
    """An application that answers."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def answer(guard: Guard, path: str) -> int:
    """The status that a request without a token gets."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])
