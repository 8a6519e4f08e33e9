"""The fixtures that tests share: one Prefect server a session, empty homes, homes trained once a session, a service.

Nothing heavy is imported here, and the server starts with the first test that asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.ops.session import prefect_session
from tasks.evaluation import probe
from tasks.stores.registry import database
from tasks.stores.settings import QUIET, Settings, prepare
from tests.support.command import Cli, Said
from tests.support.homes import Homes, copied_tables, shared_folder
from tests.support.load_check import load_check_here
from tests.support.serving.homes import Home, two_versions
from tests.support.serving.running import Running, serving
from tests.support.world import ROOT, World, make_world

os.environ.update(QUIET)
for _name in [name for name in os.environ if name.startswith(("PERENNIAL_", "PREFECT_", "MLFLOW_TRACKING"))]:
    if _name not in QUIET:
        del os.environ[_name]  # the developer's own server, home and registry are not for tests

_REAL_CHECK, _REAL_TABLES = probe.clean_process, database.make_tables
probe.clean_process = load_check_here  # an interpreter for each training is 2.5 CPU seconds


@pytest.fixture
def clean_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate S01 asks its real clean process, as in production."""
    monkeypatch.setattr(probe, "clean_process", _REAL_CHECK)


# ------------------------------------------------------------------------------------------------ the server
@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Prefect server, started as the product starts it; flows and subprocesses find it by env."""
    settings = Settings(home=tmp_path_factory.mktemp("server"))
    prepare(settings)
    loaded = "prefect" in sys.modules
    with prefect_session(settings):
        url = os.environ["PREFECT_API_URL"]
        from prefect import settings as prefect_settings

        own: dict[Any, Any] = {}
        if loaded:  # by a test module that imported a flow while it was collected: Prefect read its settings then
            own = {prefect_settings.PREFECT_API_URL: url, prefect_settings.PREFECT_HOME: settings.prefect_home}
        with prefect_settings.temporary_settings(own):
            yield url


# ------------------------------------------------------------------------------------------------ empty homes
@pytest.fixture(scope="session", autouse=True)
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes its tables once a session, which takes a second; the other homes get a copy of that file."""
    folder = shared_folder(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "make_tables", copied_tables(folder, _REAL_TABLES))
        yield


@pytest.fixture
def mlflow_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes the tables of each home anew, as in production."""
    monkeypatch.setattr(database, "make_tables", _REAL_TABLES)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PERENNIAL_HOME that is not there yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    """Settings of an empty home that was made ready, as a command does it."""
    settings = Settings(home=home)
    prepare(settings)
    return settings


@pytest.fixture
def world(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home and an empty configs folder for one test."""
    return make_world(home, tmp_path / "configs", monkeypatch)


@pytest.fixture(scope="module")
def module_world(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[World]:
    """One home for a whole module, with the session's server: for tests that look at one longer history."""
    base = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        yield make_world(base / "home", base / "configs", patch)


# ------------------------------------------------------------------------------------------------ trained homes
@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory, server: str) -> Homes:
    """Homes that are trained once a session, for all its processes, and copied."""
    return Homes(shared_folder(tmp_path_factory))


@pytest.fixture(scope="module")
def pair(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose pipeline `trips` has two versions, the second of them champion."""
    with pytest.MonkeyPatch.context() as patch:
        yield Home(homes.copy(two_versions, tmp_path_factory.mktemp("pair"), patch))


@pytest.fixture(scope="module")
def service(pair: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A prediction service of that home."""
    log: Path = tmp_path_factory.mktemp("log") / "serving.log"
    settings = {"PERENNIAL_SERVE_BODY_SECONDS": "1.5", "PERENNIAL_SERVE_BODY_MEBIBYTES": "1"}
    with serving(pair.world.home, pair.world.configs, log, environment=settings) as running:
        yield running


# ------------------------------------------------------------------------------------------------ the command line
@pytest.fixture
def cli(server: str, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process, with the session's server."""

    def call(*words: str) -> Said:
        from perennial.cli.main import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capfd.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else int(code is not None), out, err)

    return call


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of tests/system is a system's test."""
    for item in items:
        if (ROOT / "tests" / "system") in item.path.parents:
            item.add_marker(pytest.mark.system)
