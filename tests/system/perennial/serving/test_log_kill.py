"""kill -9 of workers under load: what they lost is reported, within the bound; no row comes twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from perennial.serving.log.recovery import lost_rows, recover_files
from perennial.serving.log.spool import Spool
from tests.support.serving.log_killed import LOSE_ROWS
from tests.support.serving.log_world import Remembered, answer, log_of, rows_of
from tests.support.world import ROOT, World, make_world

KILLS = 16


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home of its own."""
    return make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)


def test_what_killed_workers_lose_is_told_and_nothing_comes_twice(world: World) -> None:
    config = world.pipeline("served")
    words = [str(world.home), str(world.configs / "served.yaml"), str(KILLS), "20261121"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.serving.log_killed", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    children = json.loads(ran.stdout)

    root = world.settings.state / "served"
    meters = Remembered()
    log_of(world.home, config, meters, close_seconds=30.0).close()  # the next worker takes over

    rows = [(row["_request"], row["_position"]) for row in rows_of(world.home, config)]
    assert len(rows) == len(set(rows))
    shipped = Counter(int(request.partition("-")[0]) for request, _ in rows)
    told: Counter[int] = Counter()
    for entry in lost_rows(root):
        told[int(str(entry["worker"]).split("-")[1])] += int(str(entry["rows"]))
        assert entry["why"] == "killed"
        assert entry["bound"] == LOSE_ROWS
    for child in children:
        assert told[child["pid"]] <= LOSE_ROWS
        assert child["done"] <= shipped[child["pid"]] + told[child["pid"]] <= child["began"]
    assert len(lost_rows(root)) == len(told)  # each worker is reported of once
    assert sum(told.values()) > 0, "no kill hit answers in memory: the test shows nothing"
    assert len(shipped) > KILLS / 2
    assert not [path for path in (root / "served").iterdir() if path.is_file()]
    assert only_the_end_is_missing(rows)


def only_the_end_is_missing(rows: list[tuple[str, int]]) -> bool:
    """Whether of each thread's answers all came up to one, and none after it."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for request, _ in rows:
        thread, _, number = request.rpartition("-")
        numbers[thread].add(int(number))
    return all(found == set(range(len(found))) for found in numbers.values())


def test_a_worker_that_lives_is_left_alone(world: World) -> None:
    config = world.pipeline("served")
    log = log_of(world.home, config, ship_seconds=60.0)
    log.put(answer("one", [1]))
    root = world.settings.state / "served"
    before = sorted(path.name for path in (root / "served").iterdir())
    assert recover_files(root, "served") == 0
    assert sorted(path.name for path in (root / "served").iterdir() if path.suffix == ".count") == [
        name for name in before if name.endswith(".count")
    ]
    log.close()
    assert not lost_rows(root)
    assert len(rows_of(world.home, config)) == 1


def test_a_torn_line_is_cut_off_and_counts_as_lost(world: World) -> None:
    config = world.pipeline("served")
    root, folder = world.settings.state / "served", world.settings.state / "served" / "served"
    spool = Spool(root, config, "20261121T000000-1-aaaaaa", 7, Remembered())
    for number in range(3):
        spool.counts.add(put=2)
        spool.write([answer(str(number), [1, 2])])
    path = next(folder.glob("*.open"))
    os.truncate(path, path.stat().st_size - 5)
    spool.counts.close()  # as a kill does: the lock is free, the files stay

    meters = Remembered()
    log_of(world.home, config, meters).close()
    assert [row["_request"] for row in rows_of(world.home, config)] == ["0", "0", "1", "1"]
    assert [(one["rows"], one["bound"]) for one in lost_rows(root)] == [(2, 7)]
    assert meters.rows["lost"] == 2


def test_killed_between_commit_and_removal_nothing_comes_twice(world: World) -> None:
    config = world.pipeline("served")
    root, folder = world.settings.state / "served", world.settings.state / "served" / "served"
    spool = Spool(root, config, "20261121T000000-1-bbbbbb", 7, Remembered())
    spool.counts.add(put=2)
    spool.write([answer("once", [1, 2])])
    spool.end()
    path = next(folder.glob("*.jsonl"))
    content = path.read_bytes()
    log_of(world.home, config).close()
    assert not path.exists()
    path.write_bytes(content)  # as if it had not been removed
    log_of(world.home, config).close()
    assert not path.exists()
    assert len(rows_of(world.home, config)) == 2
