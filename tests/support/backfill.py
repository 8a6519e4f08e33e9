"""Files of four days, for backfills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.world import World, trips

if TYPE_CHECKING:
    from tasks.records.data import Feed

ROWS = 80
DAYS = (9, 10, 11, 12)


def land_days(world: World, name: str, *, labels: bool = False) -> None:
    """A file a day, an hour a row from 2026-01-01 on: day 9 has the first rows. Names are not in their order."""
    for place, day in enumerate(DAYS):
        rows = trips(place * ROWS, ROWS, seed=day)
        if labels:
            world.land(f"{name}_labels", f"labels-{day}.csv", rows[["id", "y"]])
            rows = rows.drop(columns="y")
        world.land(name, f"day-{day}.csv", rows)


def steps(said: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    return [(one["name"], one["files"], one["rows"], one["outcome"]) for one in said["steps"]]


def taken(world: World, name: str, feed: Feed = "observations") -> list[str]:
    return [path for path, batch in world.ledger(name).items() if batch.feed == feed]
