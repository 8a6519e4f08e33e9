"""What the sensor tells, with its clock told: real folders, a real ledger, a real outbox."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from watchfiles import Change

from perennial.ops.sensor.pipelines import GAP_SECONDS, PATIENCE_SECONDS, Sensor
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import prepare
from tests.support.landing import ROWS, enter
from tests.support.world import World


@pytest.fixture
def sensor(world: World) -> Sensor:
    prepare(world.settings)
    return Sensor(world.settings)


def told(world: World) -> list[dict[str, Any]]:
    """Payloads of all events in the outbox, oldest first."""
    engine = sa.create_engine(world.settings.audit_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT body FROM outbox ORDER BY number")).all()
    return [json.loads(row.body)["payload"] for row in rows]


def notice(sensor: Sensor, path: Path, now: float, change: Change = Change.added) -> None:
    sensor.notice({(change, str(path))}, now)


def test_news_within_the_gap_wait_for_its_end_and_go_together(world: World, sensor: Sensor) -> None:
    world.pipeline("one", {"source": {"stable_seconds": 0.0}})
    sensor.refresh()
    sensor.folders()
    assert sensor.work(0.0) == 0
    for number, now in enumerate((1.0, 1.1, 1.2)):
        notice(sensor, world.land("one", f"{number}.csv", ROWS), now)
        assert sensor.work(now) == (now == 1.0)
    assert sensor.work(1.0 + GAP_SECONDS) == 1
    assert [(one["files"], one["names"]) for one in told(world)] == [(1, ["0.csv"]), (2, ["1.csv", "2.csv"])]


def test_both_feeds_of_a_pipeline_are_told_of_in_one_event(world: World, sensor: Sensor) -> None:
    quick = {"stable_seconds": 0.0}
    world.pipeline("two", {"source": {"landing": "two/x", **quick}, "labels": {"landing": "two/y", **quick}})
    world.land("two/x", "a.csv", ROWS)
    world.land("two/y", "b.csv", "id,y\n1,2\n")
    sensor.refresh()
    assert sensor.work(0.0, listing=True) == 1
    assert [one["feeds"] for one in told(world)] == [{"observations": 1, "labels": 1}]


def test_two_pipelines_may_share_a_folder(world: World, sensor: Sensor) -> None:
    for name in ("one", "two"):
        world.pipeline(name, {"source": {"landing": "shared", "stable_seconds": 0.0}})
    sensor.refresh()
    sensor.work(0.0)
    notice(sensor, world.land("shared", "a.csv", ROWS), 1.0)
    assert sensor.work(1.0) == 2
    assert [one["pipeline"] for one in told(world)] == ["one", "two"]


def test_what_came_in_meanwhile_is_not_told_of(world: World, sensor: Sensor) -> None:
    config = world.pipeline("one", {"source": {"stable_seconds": 5.0}})
    sensor.refresh()
    sensor.work(0.0)
    path = world.land("one", "a.csv", ROWS)
    notice(sensor, path, 1.0)
    enter(world, config, path)
    assert sensor.work(99.0) == 0
    assert sensor.work(199.0, listing=True) == 0


def test_a_ledger_that_can_not_be_read_is_told_once_and_stops_no_other(
    world: World, sensor: Sensor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "perennial.sensor")
    quick = {"source": {"stable_seconds": 0.0}}
    Lake(world.settings, world.pipeline("bad", quick)).create()
    world.pipeline("good", quick)
    for name in ("bad", "good"):
        world.land(name, "a.csv", ROWS)
    log = world.home / "lake" / "bad" / "batches" / "_delta_log"
    shutil.copytree(log, world.home / "kept")
    for file in log.glob("*.json"):
        file.write_text("no delta")
    sensor.refresh()
    assert sensor.work(0.0) == 1
    assert sensor.work(PATIENCE_SECONDS / 2) == 0
    assert sensor.work(PATIENCE_SECONDS) == 0
    shutil.rmtree(log)
    shutil.copytree(world.home / "kept", log)
    assert sensor.work(3 * PATIENCE_SECONDS) == 1
    assert [one["pipeline"] for one in told(world)] == ["good", "bad"]
    lines = [one.message for one in caplog.records if one.message.startswith("bad files: ")]
    assert len(lines) == 2, lines
    assert lines[1] == "bad files: recovered"


def test_a_changed_contract_makes_what_it_refused_news_again(world: World, sensor: Sensor) -> None:
    quick = {"source": {"stable_seconds": 0.0}}
    config = world.pipeline("one", quick)
    enter(world, config, world.land("one", "a.csv", ROWS), verdict="rejected")
    sensor.refresh()
    assert sensor.work(0.0, listing=True) == 0
    world.pipeline("one", {**quick, "validation": {"max_quarantined_share": 0.9}})
    sensor.refresh()
    assert sensor.work(1.0) == 1


@pytest.mark.parametrize("suffix", [".ready", ".ok"])
def test_a_marker_that_comes_first_makes_the_file_count_when_it_comes(
    world: World, sensor: Sensor, suffix: str
) -> None:
    world.pipeline("one", {"source": {"ready": "marker", "marker": suffix}})
    sensor.refresh()
    sensor.work(0.0)
    notice(sensor, world.land("one", f"a.csv{suffix}", ""), 1.0)
    assert sensor.work(1.0) == 0
    notice(sensor, world.land("one", "a.csv", ROWS), 2.0)
    assert sensor.work(2.0) == 1
    assert told(world)[0]["names"] == ["a.csv"]


def test_a_link_that_leads_out_of_the_folder_is_left_alone(world: World, sensor: Sensor) -> None:
    world.pipeline("one", {"source": {"stable_seconds": 0.0}})
    sensor.refresh()
    sensor.work(0.0)
    sensor.folders()
    outside = world.land("elsewhere", "a.csv", ROWS)
    link = world.landing("one") / "a.csv"
    link.symlink_to(outside)
    notice(sensor, link, 1.0)
    assert sensor.work(1.0, listing=True) == 0
