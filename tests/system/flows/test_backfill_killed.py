"""A backfill that is killed goes on."""

from __future__ import annotations

import time

from tests.support.backfill import DAYS, ROWS, land_days, steps, taken
from tests.support.command import Cli, perennial
from tests.support.world import World


def test_killed_in_the_middle_it_goes_on_and_takes_nothing_twice(module_world: World, cli: Cli, server: str) -> None:
    module_world.pipeline("halted")
    land_days(module_world, "halted")
    run = perennial(
        *("backfill", "halted", "--each", "ingest"),
        home=module_world.home,
        configs=module_world.configs,
        env={"PREFECT_API_URL": server},
    )
    try:
        deadline = time.monotonic() + 60
        while not taken(module_world, "halted"):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        run.kill()
        run.communicate()
    before = len(taken(module_world, "halted"))
    assert 0 < before < len(DAYS), "it was to be killed in the middle"
    said = cli("backfill", "halted", "--each", "ingest", "--json")
    assert said.code == 0, said.err
    assert [name for name, *_ in steps(said.json())] == [f"day-{day}.csv" for day in DAYS[before:]]
    assert taken(module_world, "halted") == [f"day-{day}.csv" for day in DAYS]
    assert len(set(module_world.row_ids("halted"))) == len(module_world.row_ids("halted")) == len(DAYS) * ROWS
