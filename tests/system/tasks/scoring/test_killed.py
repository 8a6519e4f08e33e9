"""Each row is scored once also after kill -9."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tasks.stores.lake.tables import Lake
from tests.support.champions import NAME, two_champions
from tests.support.command import Cli, perennial
from tests.support.homes import Homes
from tests.support.world import World, trips, write

KILLED_ROWS = 400_000


@pytest.fixture(scope="module")
def two(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A home with two champions, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        yield homes.copy(two_champions, tmp_path_factory.mktemp("two"), patch)


def drafts(world: World) -> list[Path]:
    return [one for one in (world.settings.state / "scoring").rglob("*") if one.is_file() and one.stat().st_size]


def kill_midway(world: World, server: str, words: list[str], part: str) -> None:
    """Start the command in a process of its own and kill it once it has written some of the result."""
    run = perennial(*words, home=world.home, configs=world.configs, env={"PREFECT_API_URL": server})
    deadline = time.monotonic() + 60
    try:
        while not any(part in one.name for one in drafts(world)):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
    finally:
        run.kill()
        run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert drafts(world), "it was killed too late"


@pytest.mark.parametrize("into", ["file", "lake"])
def test_after_kill_9_a_repeat_gives_each_row_once(
    two: World, server: str, cli: Cli, tmp_path: Path, into: str
) -> None:
    source = write(tmp_path / "large.parquet", trips(10_000, KILLED_ROWS, seed=8 + len(into)).drop(columns="y"))
    output = tmp_path / "out.parquet"
    words = ["score", NAME, "--input", str(source), *(["--output", str(output)] if into == "file" else [])]
    kill_midway(two, server, words, "result" if into == "file" else "scored")
    assert not output.exists()
    said = cli(*words, "--json")
    assert (said.code, said.json()["rows"], said.json()["known"]) == (0, KILLED_ROWS, False)
    mine = pc.field("_source") == said.json()["input_sha256"]
    lake = Lake(two.settings, two.config(NAME))
    found = pq.read_table(output) if into == "file" else lake.read("scored", ["id"], where=mine)
    assert sorted(found.column("id").to_pylist()) == list(range(10_000, 10_000 + KILLED_ROWS))
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    assert drafts(two) == []
