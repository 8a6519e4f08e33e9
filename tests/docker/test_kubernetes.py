"""The work pool's template and the recipe around it, without a cluster."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.docker import commands
from tests.docker.files import DOCKER, dockerfile

TEMPLATE = json.loads((DOCKER / "kubernetes" / "base-job-template.json").read_text(encoding="utf-8"))
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
    import asyncio

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
