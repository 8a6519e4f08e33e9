"""Backfill by names and by time, stopped and gone on with; wrong use is reported in a line."""

from __future__ import annotations

import pytest

from tests.support.backfill import ROWS, land_days, steps, taken
from tests.support.command import Cli
from tests.support.world import NEVER_RETRAIN, World, trips


@pytest.mark.system
def test_names_are_taken_in_order_a_run_each_and_once(module_world: World, cli: Cli) -> None:
    module_world.pipeline("byname")
    land_days(module_world, "byname")
    said = cli("backfill", "byname", "--first", "day-10.csv", "--last", "day-11.csv", "--each", "ingest", "--json")
    assert (said.code, steps(said.json())) == (
        0,
        [("day-10.csv", 1, ROWS, "accepted"), ("day-11.csv", 1, ROWS, "accepted")],
    )
    again = cli("backfill", "byname", "--first", "day-10.csv", "--each", "ingest", "--json")
    assert steps(again.json()) == [("day-12.csv", 1, ROWS, "accepted")]
    assert taken(module_world, "byname") == ["day-10.csv", "day-11.csv", "day-12.csv"]
    assert len(set(module_world.row_ids("byname"))) == len(module_world.row_ids("byname")) == 3 * ROWS


def test_a_range_of_time_takes_its_labels_along_also_once_the_observations_are_in(
    module_world: World, cli: Cli
) -> None:
    module_world.pipeline("bytime", {"labels": {"landing": "bytime_labels"}})
    land_days(module_world, "bytime", labels=True)
    # Rows 80 to 159 are day 10, 160 to 239 day 11: the first ends on January 7 at 15:00, the other begins at 16:00.
    words = ("backfill", "bytime", "--start", "2026-01-04T08:00:00", "--end", "2026-01-07T16:00:00", "--json")
    (module_world.landing("bytime_labels") / "labels-10.csv").rename(module_world.home / "later.csv")
    assert steps(cli(*words, "--each", "ingest").json()) == [("day-10.csv", 1, ROWS, "accepted")]
    (module_world.home / "later.csv").rename(module_world.landing("bytime_labels") / "labels-10.csv")
    assert steps(cli(*words, "--each", "ingest").json()) == [("labels-10.csv", 1, ROWS, "accepted")]
    last = cli("backfill", "bytime", "--start", "2026-01-07T16:00:00", "--each", "ingest", "--json")
    assert steps(last.json()) == [("day-11.csv", 2, 2 * ROWS, "accepted"), ("day-12.csv", 2, 2 * ROWS, "accepted")]
    assert cli(*words).json()["steps"] == []


@pytest.mark.system
def test_each_step_can_be_a_whole_life_and_a_failed_one_is_gone_on_with(module_world: World, cli: Cli) -> None:
    unfit = {"training": {"parameters": {"alpha": -1.0}}}  # scikit-learn refuses it when it fits
    module_world.pipeline("lives", {**NEVER_RETRAIN, **unfit})
    land_days(module_world, "lives")
    failed = cli("backfill", "lives", "--last", "day-11.csv")
    assert failed.code == 1
    assert "step 1 of 3, day-9.csv: " in failed.err
    assert "alpha" in failed.err
    assert "run the backfill again to go on" in failed.err

    module_world.pipeline("lives", NEVER_RETRAIN)
    said = cli("backfill", "lives", "--last", "day-11.csv", "--json")
    assert said.code == 0, said.err
    assert steps(said.json()) == [("day-10.csv", 1, ROWS, "promoted"), ("day-11.csv", 1, ROWS, "kept_champion")]
    assert module_world.alias("lives") == 1
    assert module_world.row_ids("lives") == sorted(set(module_world.row_ids("lives")))
    assert taken(module_world, "lives") == ["day-9.csv", "day-10.csv", "day-11.csv"]


def test_a_refused_file_is_told_and_the_next_ones_are_taken(module_world: World, cli: Cli) -> None:
    module_world.pipeline("refused")
    module_world.land("refused", "1.csv", "no,such,columns\n1,2,3\n")
    module_world.land("refused", "2.csv", trips(0, ROWS, seed=1))
    said = cli("backfill", "refused", "--each", "ingest", "--json")
    assert steps(said.json()) == [("1.csv", 1, 0, "1 rejected"), ("2.csv", 1, ROWS, "accepted")]
    assert cli("backfill", "refused", "--each", "ingest", "--json").json()["steps"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("timeless", "--first", "a", "--start", "2026-01-01"), "Found names and times; expected a range of one kind"),
        (("timeless", "--start", "2026-01-01"), "timeless has no event time; give names of files instead"),
        (("timeless", "--start", "2026-01-02", "--end", "2026-01-01"), "expected a start before the end"),
        (("timelos",), "Did you mean 'timeless'?"),
    ],
)
def test_wrong_use_is_told_in_a_line(words: tuple[str, ...], told: str, module_world: World, cli: Cli) -> None:
    module_world.pipeline("timeless", drop="contract.event_time")
    said = cli("backfill", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1, said.err
