"""A registry that is an MLflow server, whose files are had of it alone: as a team's is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stores.registry.aliases import connect
from tasks.stores.settings import Settings
from tests.support.serving.homes import NAME, ROW
from tests.support.serving.registry import mlflow_server
from tests.support.serving.running import serving
from tests.support.world import NEVER_RETRAIN, World, trips


def test_it_follows_a_server_and_serves_on_without_it(
    module_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_world.pipeline(NAME, NEVER_RETRAIN)
    module_world.land(NAME, "a.csv", trips(0, 400, seed=1))
    elsewhere = Settings(home=tmp_path / "mlflow")
    elsewhere.state.mkdir(parents=True)
    log = tmp_path / "serving.log"
    files = ("--serve-artifacts", "--artifacts-destination", str(tmp_path / "files"))
    with mlflow_server(elsewhere, tmp_path / "mlflow.log", *files) as address:
        monkeypatch.setenv("PERENNIAL_MLFLOW_TRACKING_URI", address)
        environment = {"PERENNIAL_MLFLOW_TRACKING_URI": address}
        with serving(module_world.home, module_world.configs, log, environment=environment) as service:
            assert service.ask(NAME, [ROW]).status_code == 503  # no champion yet
            assert service.client.get("/ping").status_code == 503
            assert module_world.run(NAME).outcome == "promoted"
            assert service.wait(NAME, champion=1) < 5.0
            expected = service.ask(NAME, [ROW]).json()
            # MLflow's REST API and its tables, both read without MLflow.
            rest, tables = (
                connect(elsewhere.model_copy(update={"mlflow_tracking_uri": one})) for one in (address, None)
            )
            assert rest.read() == tables.read()
            assert rest.read()[NAME].champion is not None
            monkeypatch.undo()
            before = service.metric("perennial_registry_reachable")
    assert before == 1
    with serving(module_world.home, module_world.configs, log, environment=environment) as service:
        assert service.ask(NAME, [ROW]).json() == expected
        assert service.registry_lost()
        assert service.ask(NAME, [ROW]).json() == expected
