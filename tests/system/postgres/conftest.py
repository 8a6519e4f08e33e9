"""Fixtures of a team's installation. Each service starts with the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tasks.stores.settings import Settings
from tests.support.services import AbsentError, Postgres, postgres, prefect_server, redis

_numbers = count()


def _absent(error: AbsentError) -> None:
    """Skip with the reason; in CI, where everything is to be tested, fail."""
    told = f"{error}; `make test-postgres` installs what is missing, where it may"
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    try:
        with postgres() as server:
            yield server
    except AbsentError as error:
        _absent(error)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Address of a Redis."""
    try:
        with redis() as url:
            yield url
    except AbsentError as error:
        _absent(error)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """Address of an empty database, another for each test."""
    return postgres_server.database(f"test_{next(_numbers)}")


@pytest.fixture
def team(postgres_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a member of a team: state on PostgreSQL, a home of its own."""

    def settings(home: str = "home", **changes: object) -> Settings:
        return Settings.model_validate({"home": tmp_path / home, "state_url": postgres_url, **changes})

    return settings


@pytest.fixture(scope="session")
def team_server(postgres_server: Postgres, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prefect server on PostgreSQL and Redis, API and background services apart."""
    postgres_server.database("prefect")
    folder = tmp_path_factory.mktemp("team")
    with prefect_server(postgres_server.url("prefect", "asyncpg"), redis_url, folder) as server:
        yield server
