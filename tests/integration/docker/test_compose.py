"""The compose file, without a Docker engine: every command, path, variable and setting in it is one that there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from perennial.ops.worker import POOL
from perennial.serving.settings import ServeSettings, load_settings
from tasks.stores.settings import QUIET, Settings
from tests.support.docker import commands
from tests.support.docker.files import (
    DOCKER,
    compose,
    dockerfile,
    optional_variables,
    ours,
    required_variables,
    scrapes,
)
from tests.support.world import ROOT

FILLED = {name: f"secret{name.lower()}" for name in required_variables()}
SERVICES = compose(FILLED)["services"]
IMAGE = re.compile(r"^(?:[a-z0-9.-]+/)*[a-z0-9.-]+:(?!latest)[a-zA-Z]?\d[\w.-]*$")


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("*.y*ml")), ids=lambda path: path.name)
def test_every_yaml_can_be_read(path: Any) -> None:
    assert all(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_every_image_has_a_version() -> None:
    for name, service in SERVICES.items():
        assert IMAGE.match(service["image"]), name


def test_what_is_required_is_in_the_example_and_empty_there() -> None:
    lines = (DOCKER / ".env.example").read_text(encoding="utf-8").splitlines()
    asked = {line.split("=")[0]: line.split("=", 1)[1] for line in lines if re.match(r"^[A-Z]", line)}
    assert set(asked) == required_variables()
    assert not any(asked.values())
    offered = {line.lstrip("#").split("=")[0] for line in lines if re.match(r"^#[A-Z_0-9]+=", line)}
    assert offered == optional_variables()


def test_secrets_come_from_the_environment_alone() -> None:
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY|AUTH|TOKEN", key):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", value), f"{name}: {key}"
            assert not re.search(r"://[^:/]*:[^$@]+@", str(value)), f"{name}: {key} holds a password"
    for secret in compose()["secrets"].values():
        assert secret.keys() == {"environment"}
        assert secret["environment"] in required_variables()


def test_ports_open_on_this_machine_only() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_every_service_restarts_and_is_asked_how_it_is() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        ends = service["restart"] == "on-failure"
        assert service["healthcheck"] == {"disable": True} if ends else service["healthcheck"]["test"], name


def test_what_is_waited_for_can_come() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            ends = SERVICES[other]["restart"] == "on-failure"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy"), (name, other)


@pytest.mark.parametrize("name", sorted(ours(compose())))
def test_our_commands_are_there(name: str) -> None:
    service = SERVICES[name]
    commands.check(service["command"])
    if "test" in service["healthcheck"]:
        commands.check(service["healthcheck"]["test"][1:])


def test_mounted_files_are_there_and_volumes_declared() -> None:
    document = compose(FILLED)
    for service in document["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DOCKER / source).exists() if source.startswith(".") else source in document["volumes"], volume
    assert (DOCKER / document["x-image"]["build"]["context"] / document["x-image"]["build"]["dockerfile"]).is_file()


def test_every_setting_is_one_that_its_program_reads() -> None:
    from prefect.settings.legacy import _get_valid_setting_names
    from prefect.settings.models.root import Settings as PrefectSettings
    from prefect_redis.cleanup_queue import RedisWorkerCleanupQueueSettings  # type: ignore[import-untyped]
    from prefect_redis.client import RedisMessagingSettings  # type: ignore[import-untyped]

    known = set(_get_valid_setting_names(PrefectSettings))
    for own in (Settings, ServeSettings, RedisMessagingSettings, RedisWorkerCleanupQueueSettings):
        known |= {f"{own.model_config['env_prefix']}{one}".upper() for one in own.model_fields}
    import mlflow.cli

    known |= {one.envvar for one in mlflow.cli.cli.commands["server"].params if isinstance(one.envvar, str)}
    for name, service in ours({"services": SERVICES}).items():
        named = {one for one in service["environment"] if one.startswith(("PREFECT_", "PERENNIAL_", "MLFLOW_"))}
        assert named <= known | set(QUIET), name


def test_nothing_phones_home() -> None:
    for name in ("prefect", "prefect-services", "mlflow"):
        assert SERVICES[name]["environment"]["DO_NOT_TRACK"] == "true"
    assert SERVICES["prefect"]["environment"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert SERVICES["grafana"]["environment"]["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


def test_runs_of_one_worker_do_not_fight_for_a_port_of_metrics() -> None:
    """Each run would open the client's metrics port anew, and fail: see README.md."""
    for service in SERVICES.values():
        assert "PREFECT_CLIENT_METRICS_ENABLED" not in service.get("environment", {})


def test_the_work_pool_is_the_one_that_is_asked_for() -> None:
    pools = {one["work_pool"]["name"] for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
    assert pools == {POOL}
    assert f"/work_pools/{POOL}/" in (DOCKER / "healthcheck.py").read_text(encoding="utf-8")


def test_the_service_listens_where_it_is_published_asked_and_scraped() -> None:
    service = SERVICES["serving"]
    port = str(ServeSettings.model_fields["port"].default)
    assert ("EXPOSE", port) in dockerfile()
    assert "PERENNIAL_SERVE_PORT" not in service["environment"]
    assert [one.rpartition(":")[2] for one in service["ports"]] == [port]
    assert service["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/health"
    (scrape,) = [one for one in scrapes() if one["job_name"] == "serving"]
    assert [(one["names"], one["type"], str(one["port"])) for one in scrape["dns_sd_configs"]] == [
        (["serving"], "A", port)
    ]


def test_prometheus_is_given_the_token_that_the_service_asks_for() -> None:
    document = compose()
    asked = document["services"]["serving"]["environment"]["PERENNIAL_SERVE_TOKEN"]
    (scrape,) = [one for one in scrapes() if one["job_name"] == "serving"]
    folder, _, secret = scrape["authorization"]["credentials_file"].rpartition("/")
    assert folder == "/run/secrets"
    assert secret in document["services"]["prometheus"]["secrets"]
    assert asked.startswith(f"${{{document['secrets'][secret]['environment']}:?")


def test_the_service_is_told_to_stop_long_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["serving"]["environment"].items():
        monkeypatch.setenv(name, str(value))
    drain = load_settings().drain_seconds  # for requests, then for what nobody waits for; then log and labels, 25 s
    assert float(SERVICES["serving"]["stop_grace_period"].removesuffix("s")) >= 2 * drain + 25


def test_the_service_keeps_its_own_state_and_lands_labels_where_the_sensor_looks() -> None:
    own, landing = (one.split(":") for one in SERVICES["serving"]["volumes"])
    others = {
        volume.split(":")[0] for name, one in SERVICES.items() if name != "serving" for volume in one.get("volumes", [])
    }
    assert own[0] not in others
    assert ":".join(landing) in SERVICES["sensor"]["volumes"]
    environment = next(rest for instruction, rest in dockerfile() if instruction == "ENV" and "PERENNIAL_HOME" in rest)
    assert f"PERENNIAL_HOME={own[1]}" in environment.split()


def test_the_service_asks_the_registry_and_the_lake_that_workers_write() -> None:
    alike = {name for name in SERVICES["worker"]["environment"] if name.startswith(("AWS_", "PERENNIAL_"))}
    alike -= {"PERENNIAL_WORKER_RUNS"}
    for name in alike | {"PREFECT_API_URL"}:
        assert SERVICES["serving"]["environment"][name] == SERVICES["worker"]["environment"][name], name
