"""compose.yaml's services of ours as they run for tests: beside a real PostgreSQL and Redis, on free loopback ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.docker.files import DOCKER, compose, ours, required_variables
from tests.support.services import Postgres, free_port

TOKEN = "of-the-stack-under-test"  # noqa: S105  # of no other


@dataclass(frozen=True)
class Service:
    """A service of compose.yaml with its addresses replaced.

    Attributes:
        command: Its command line.
        environment: What compose.yaml gives it.
        check: Its health check's command line; empty where it has none.
        document: All that compose.yaml says of it.
    """

    command: list[str]
    environment: dict[str, str]
    check: list[str]
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Ports:
    """Free loopback ports in place of compose.yaml's."""

    prefect: int
    mlflow: int
    serving: int


def free_ports() -> Ports:
    """Three ports that nothing listens on."""
    return Ports(free_port(), free_port(), free_port())


def services(postgres: Postgres, redis: str, ports: Ports, more: Mapping[str, str]) -> dict[str, Service]:
    """Our services by name.

    Args:
        postgres: The server in place of `postgres`, with `prepare_databases` done.
        redis: Address of the one in place of `redis`.
        ports: Where Prefect, MLflow and the prediction service listen.
        more: What else is replaced in command lines and environments.
    """
    variables = {
        **dict.fromkeys(required_variables(), "unused"),
        "SERVE_TOKEN": TOKEN,
        "POSTGRES_PASSWORD": postgres.password,
        "REDIS_PASSWORD": redis.split(":")[2].split("@")[0],
        "MLFLOW_PORT": str(ports.mlflow),
        "PREFECT_PORT": str(ports.prefect),
    }
    replaced = {
        "@postgres:5432": f"@127.0.0.1:{postgres.port}",
        "@redis:6379": f"@{redis.split('@')[1].split('/')[0]}",
        "//prefect:4200": f"//127.0.0.1:{ports.prefect}",
        "//127.0.0.1:4200": f"//127.0.0.1:{ports.prefect}",
        "//mlflow:5000": f"//127.0.0.1:{ports.mlflow}",
        "//127.0.0.1:5000": f"//127.0.0.1:{ports.mlflow}",
        "//127.0.0.1:8000": f"//127.0.0.1:{ports.serving}",
        "0.0.0.0": "127.0.0.1",  # noqa: S104  # which compose binds to, inside a container
        **more,
    }
    known = {name: _replaced(service, replaced) for name, service in ours(compose(variables)).items()}
    known["prefect"].command.extend(["--port", str(ports.prefect)])
    command = known["mlflow"].command
    command[command.index("--port") + 1] = str(ports.mlflow)
    known["serving"].environment["PERENNIAL_SERVE_PORT"] = str(ports.serving)
    return known


def prepare_databases(postgres: Postgres) -> None:
    """As the image of PostgreSQL does: POSTGRES_DB, then the mounted script, a statement at a time."""
    postgres.database("perennial")
    script = (DOCKER / "postgres" / "databases.sql").read_text(encoding="utf-8")
    own = postgres.url("perennial").replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(own, autocommit=True) as connection:
        for statement in [line for line in script.splitlines() if line and not line.startswith("--")]:
            connection.execute(statement.encode())


def _replaced(service: Mapping[str, Any], replaced: Mapping[str, str]) -> Service:
    def here(text: str) -> str:
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text

    return Service(
        command=[here(word) for word in service["command"]],
        environment={name: here(str(value)) for name, value in service["environment"].items()},
        check=[here(word) for word in service["healthcheck"].get("test", [])[1:]],
        document=service,
    )
