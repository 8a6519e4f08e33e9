"""Every task of a run fails once after its work, by an error that passes: what it wrote is there once all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state.audit import MOVE_CHAMPION, Audit
from tests.support.world import NEVER_RETRAIN, World, trips

pytestmark = pytest.mark.usefixtures("server")
PACKAGES = ("validation", "features", "training", "evaluation", "release", "scoring", "monitoring")


def failing_once(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, that loses its first answer: it is made, and the connection breaks."""
    calls = 0

    def wrapped(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        found = call(*args, **options)
        if calls == 1:
            raise httpx.ReadError("the connection broke")
        return found

    return wrapped


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and the alias's move are written, and the first answer of each is lost; nobody waits for another try."""
    from importlib import import_module

    from prefect import Task

    for package in PACKAGES:
        module = import_module(f"tasks.{package}.task")
        monkeypatch.setattr(module, "create_markdown_artifact", failing_once(module.create_markdown_artifact))
        for one in vars(module).values():
            if isinstance(one, Task):
                monkeypatch.setattr(one, "retry_delay_seconds", 0)
    monkeypatch.setattr(Tracking, "set_champion", failing_once(Tracking.set_champion))


@pytest.mark.usefixtures("fragile")
def test_what_tasks_write_is_written_once(world: World) -> None:
    config = world.pipeline("twice", NEVER_RETRAIN)
    world.land("twice", "a.csv", trips(0, 150, seed=1))
    assert world.flow("twice").outcome == "promoted"
    world.land("twice", "b.csv", trips(150, 100, seed=2))
    report = world.flow("twice")
    assert (report.outcome, report.champion) == ("kept_champion", 1)
    audit, lake = Audit(world.settings), Lake(world.settings, config)
    assert world.row_ids("twice") == sorted(set(world.row_ids("twice")))
    assert len(world.row_ids("twice")) == 250
    assert len(world.row_ids("twice", "predictions")) == len(set(world.row_ids("twice", "predictions"))) == 100
    assert [entry.phase for entry in audit.entries("twice", "candidate")] == ["intent", "done"]
    assert [reign.version for reign in audit.champion_periods("twice")] == [1]
    assert audit.open_intents("twice", MOVE_CHAMPION) == []
    kinds = lake.read("decisions", ["kind"]).column("kind").to_pylist()
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "retrain": 2,
        "verdict": 1,
        "promotion": 1,
        "drift": 1,
        "performance": 1,
    }
    assert world.alias("twice") == 1
