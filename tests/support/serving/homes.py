"""A home with two versions of a model, for tests of the prediction service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.world import NEVER_RETRAIN, World, trips

NAME = "trips"
ROW: dict[str, Any] = {"id": 7, "x1": 0.25, "x2": None, "kind": "bus"}


@dataclass(frozen=True)
class Home:
    """A home whose pipeline `trips` has versions 1 and 2; 2 is champion."""

    world: World

    def point(self, version: int, name: str = NAME) -> None:
        """Move the alias champion."""
        from tasks.stores.registry.tracking import Tracking

        Tracking(self.world.settings, name).set_champion(version)


def two_versions(world: World) -> Home:
    """Train two versions of `trips`."""
    from tests.support.direct import train

    world.pipeline(NAME, NEVER_RETRAIN)
    world.land(NAME, "a.csv", trips(0, 400, seed=1))
    assert world.run(NAME).outcome == "promoted"
    world.pipeline(NAME, {**NEVER_RETRAIN, "training": {"parameters": {"alpha": 30.0}}})
    train(NAME)
    from tests.support.direct import deploy

    deploy(NAME)
    home = Home(world)
    home.point(2)
    return home
