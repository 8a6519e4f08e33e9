"""What `perennial up` starts its servers with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perennial.ops import guard
from perennial.ops.running import Running
from perennial.ops.supervisor import SupervisedProcess
from perennial.ops.up import services
from tasks.errors import UsageError
from tasks.stores.settings import Settings

OWN = ["http://127.0.0.1:4201", "http://localhost:4201"]
PROXY = "https://prefect.example.org"


def servers(**settings: Any) -> dict[str, SupervisedProcess]:
    record = Running(pid=1, since=datetime.now(UTC), prefect="http://127.0.0.1:4201", mlflow="", serving="", log="")
    started, _, _ = services(Settings(home=Path("home"), prefect_port=4201, mlflow_port=5001, **settings), record)
    return {one.name: one for one in started}


def option(service: SupervisedProcess, name: str) -> list[str]:
    words = list(service.module)
    return words[words.index(name) + 1].split(",") if name in words else []


@pytest.mark.parametrize(("more", "pages"), [((), OWN), ((PROXY, OWN[0]), [*OWN, PROXY])])
def test_prefect_answers_pages_of_its_own_origins(more: tuple[str, ...], pages: list[str]) -> None:
    prefect = servers(allowed_origins=more)["prefect"]
    assert list(prefect.module) == ["perennial.ops.prefect_server", "--port", "4201", *pages]
    assert prefect.environment["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == ",".join(pages)


def test_mlflow_is_given_the_hosts_that_it_answers() -> None:
    own = ["127.0.0.1:5001", "[::1]:5001", "localhost:5001"]
    mlflow = servers()["mlflow"]
    assert option(mlflow, "--allowed-hosts") == own
    assert not option(mlflow, "--cors-allowed-origins")
    behind = servers(allowed_origins=(PROXY,))["mlflow"]
    assert option(behind, "--allowed-hosts") == [*own, "prefect.example.org", "prefect.example.org:443"]
    assert option(behind, "--cors-allowed-origins") == [PROXY]


def test_a_teams_server_needs_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_ALLOWED_ORIGINS", raising=False)
    with pytest.raises(UsageError, match="PERENNIAL_ALLOWED_ORIGINS: found nothing"):
        guard.team()
