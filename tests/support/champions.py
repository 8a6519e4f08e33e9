"""A home in which one champion followed another."""

from __future__ import annotations

from tests.support.world import World, trips

NAME = "often"


def two_champions(world: World) -> None:
    """Champion 2 after champion 1, which scored the second file; a third file is in that none has scored."""
    from tests.support.direct import ingest

    world.pipeline(NAME)
    world.land(NAME, "a.csv", trips(0, 200, seed=1, weak=True))
    assert world.run(NAME).champion == 1
    world.land(NAME, "b.csv", trips(200, 300, seed=2))
    assert world.run(NAME).champion == 2
    world.land(NAME, "c.csv", trips(500, 50, seed=3))
    assert [one.path for one in ingest(NAME).accepted] == ["c.csv"]
