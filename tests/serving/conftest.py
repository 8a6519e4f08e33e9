"""One home with two versions of a model, and a service of it, for the tests that only ask."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.stores.tracking import Tracking
from tests.conftest import NEVER_RETRAIN, World, make_world, trips
from tests.serving.running import Running, serving

NAME = "trips"
ROW: dict[str, Any] = {"id": 7, "x1": 0.25, "x2": None, "kind": "bus"}


@dataclass(frozen=True)
class Home:
    """A home whose pipeline `trips` has versions 1 and 2; 2 is champion."""

    world: World

    def point(self, version: int, name: str = NAME) -> None:
        """Move the alias champion."""
        Tracking(self.world.settings, name).set_champion(version)


def two_versions(world: World) -> Home:
    """Train two versions of `trips`."""
    from flows.train import train

    world.pipeline(NAME, NEVER_RETRAIN)
    world.land(NAME, "a.csv", trips(0, 400, seed=1))
    assert world.run(NAME).outcome == "promoted"
    world.pipeline(NAME, {**NEVER_RETRAIN, "training": {"parameters": {"alpha": 30.0}}})
    train(NAME)
    from flows.deploy import deploy

    deploy(NAME)
    home = Home(world)
    home.point(2)
    return home


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """The folder of a home with two versions: made once, as training takes its time."""
    base = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch:
        two_versions(make_world(base / "home", base / "configs", patch))
    return base


@pytest.fixture(scope="module")
def pair(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A copy of that home, of this module alone."""
    base = tmp_path_factory.mktemp("own")
    shutil.copytree(trained, base, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        yield Home(make_world(base / "home", base / "configs", patch))


@pytest.fixture(scope="module")
def service(pair: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service of that home."""
    log: Path = tmp_path_factory.mktemp("log") / "serving.log"
    settings = {"PERENNIAL_SERVE_BODY_SECONDS": "1.5", "PERENNIAL_SERVE_BODY_MEBIBYTES": "1"}
    with serving(pair.world.home, pair.world.configs, log, environment=settings) as found:
        yield found
