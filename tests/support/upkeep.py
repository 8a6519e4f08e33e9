"""A pipeline whose lake is kept small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.stores.lake import delta
from tasks.stores.lake.schemas import ROW_ID
from tasks.stores.lake.tables import Lake
from tests.support.ageing import age
from tests.support.world import World, trips

if TYPE_CHECKING:
    from tasks.upkeep.report import TableUpkeep, UpkeepReport

NAME = "kept"
KEEPING: dict[str, Any] = {"upkeep": {"compact_files": 3}, "approval": {"required": True}}
LABELS = {"labels": {"landing": "kept_labels"}}


def land(world: World, numbers: range, rows: int = 100) -> None:
    """For each number a file of observations and one of labels, taken in by a run of their own."""
    from tests.support.direct import ingest

    for number in numbers:
        frame = trips(number * rows, rows, seed=number)
        world.land(NAME, f"part-{number:02}.csv", frame.drop(columns="y"))
        world.land("kept_labels", f"part-{number:02}.csv", frame[["id", "y"]])
        ingest(NAME)


def lake(world: World) -> Lake:
    return Lake(world.settings, world.config(NAME))


def keep(world: World, **arguments: Any) -> UpkeepReport:
    from flows.upkeep import upkeep

    found: UpkeepReport = upkeep(NAME, **arguments)
    return found


def of(report: UpkeepReport, table: str) -> TableUpkeep:
    return next(one for one in report.tables if one.table == table)


def content(world: World, table: Any, version: int | None = None) -> pa.Table:
    found = lake(world).read(table, version=version)
    return found.sort_by([(ROW_ID, "ascending"), ("_seq", "ascending")])


def age_lake(world: World, days: float) -> None:
    for table in (world.home / "lake" / NAME).iterdir():
        age(table, days)


def models(world: World) -> list[Any]:
    from tasks.stores.registry.tracking import Tracking

    return sorted(Tracking(world.settings, NAME).registered(), key=lambda one: one.version)


def newest(world: World, table: Any) -> int:
    return int(at(world, table).version())


def at(world: World, table: Any, version: int | None = None) -> delta.Table:
    found = lake(world).open(table, version)
    assert found is not None
    return found


def three_files(world: World) -> World:
    """Three files taken in one by one, no model."""
    from tests.support.direct import ingest

    world.pipeline(NAME, {"upkeep": {"compact_files": 3}})
    for number in range(3):
        world.land(NAME, f"part-{number}.csv", trips(number * 40, 40, seed=number))
        ingest(NAME)
    return world
