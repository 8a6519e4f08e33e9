"""The lake knows by one number a worker which of its files it has: they are closed and shipped in their order."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from perennial.serving.log.files import CLOSED, OPEN, Segment, in_order, segments
from perennial.serving.log.ship import ship
from perennial.serving.log.spool import Spool
from tasks.stores.lake.schemas import SERVED_DAYS
from tasks.stores.lake.tables import Lake
from tests.support.serving.log_world import Remembered, answer, rows_of
from tests.support.world import World, make_world

WORKER = "20261121T000000-1-aaaaaa"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home of its own."""
    return make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)


@pytest.fixture
def config(world: World) -> PipelineConfig:
    return world.pipeline("served")


def spool_of(world: World, config: PipelineConfig) -> Spool:
    return Spool(world.settings.state / "served", config, WORKER, 7, Remembered())


def write(spool: Spool, *requests: str) -> None:
    spool.counts.add(put=len(requests))
    spool.write([answer(request, [1]) for request in requests])


def rotate(spool: Spool) -> None:
    handle = spool.rotate()
    if handle is not None:
        os.close(handle)


def shipped(world: World, config: PipelineConfig) -> int:
    return ship(world.settings.state / "served", config, Lake(world.settings, config), Remembered())


def requests(world: World, config: PipelineConfig) -> list[str]:
    return [str(row["_request"]) for row in rows_of(world.home, config)]


def numbers(folder: Path, ending: str) -> list[int]:
    return [int(path.name.split(".")[1]) for path in segments(folder, ending)]


def test_a_file_that_cannot_be_renamed_holds_up_the_next_ones(world: World, config: PipelineConfig) -> None:
    spool = spool_of(world, config)
    write(spool, "a")
    blocked = Segment(WORKER, 0, 0).path(spool.folder, CLOSED)
    blocked.mkdir()
    (blocked / "x").touch()
    for request in ("b", "c"):
        with pytest.raises(OSError, match="directory"):
            rotate(spool)
        write(spool, request)
    assert numbers(spool.folder, OPEN) == [0, 1]
    (blocked / "x").unlink()
    blocked.rmdir()
    rotate(spool)
    assert (numbers(spool.folder, CLOSED), numbers(spool.folder, OPEN)) == ([0, 1], [2])
    assert shipped(world, config) == 3
    assert requests(world, config) == ["a", "b", "c"]


def test_a_file_that_was_taken_away_holds_up_no_other(world: World, config: PipelineConfig) -> None:
    spool = spool_of(world, config)
    write(spool, "a")
    next(spool.folder.glob("*.open")).unlink()
    rotate(spool)
    write(spool, "b")
    rotate(spool)
    assert shipped(world, config) == 1
    assert requests(world, config) == ["b"]


def test_what_was_committed_is_removed_and_what_came_after_it_is_shipped(world: World, config: PipelineConfig) -> None:
    spool = spool_of(world, config)
    for request in ("a", "b"):
        write(spool, request)
        rotate(spool)
    content = {path: path.read_bytes() for path in segments(spool.folder, CLOSED)}
    assert shipped(world, config) == 2
    for path, text in content.items():  # as if it was killed before it removed them
        path.write_bytes(text)
    write(spool, "c")
    rotate(spool)
    assert shipped(world, config) == 1
    assert requests(world, config) == ["a", "b", "c"]
    assert not segments(spool.folder, CLOSED)


def test_the_millionth_file_comes_after_the_one_before(tmp_path: Path) -> None:
    for number in (1_000_000, 999_999, 5):
        Segment(WORKER, number, 10 * number).path(tmp_path, CLOSED).touch()
    Segment("other", 3, 0).path(tmp_path, OPEN).touch()
    assert numbers(tmp_path, CLOSED) == [5, 999_999, 1_000_000]
    assert [one.number for one in in_order(tmp_path)] == [5, 999_999, 1_000_000]


def test_a_file_older_than_what_the_lake_remembers_is_put_aside(
    world: World, config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    spool = spool_of(world, config)
    for request in ("old", "new"):
        write(spool, request)
        rotate(spool)
    old, _ = segments(spool.folder, CLOSED)
    then = time.time() - (SERVED_DAYS - 1) * 86400.0
    os.utime(old, (then, then))
    with caplog.at_level(logging.ERROR):
        assert shipped(world, config) == 1
    aside = world.settings.state / "served" / "bad" / "served" / old.name
    assert aside.is_file()
    assert str(aside) in caplog.text
    assert requests(world, config) == ["new"]
