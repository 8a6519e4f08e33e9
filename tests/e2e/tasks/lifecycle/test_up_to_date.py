"""When nothing is to be done, a run says so from the state alone, and it sees what would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tasks.lifecycle.due import due, is_idle
from tests.support.command import Cli, showing
from tests.support.world import ROOT, World, trips

NAME = "calm"
LANDED = trips(0, 150, seed=1)
SHOW = showing("pandas", "mlflow", "prefect", "sklearn", "great_expectations", "evidently")


@pytest.fixture(scope="module")
def calm(module_world: World) -> World:
    """A pipeline whose last run took in and trained on all there is."""
    module_world.pipeline(NAME)
    module_world.land(NAME, "first.csv", LANDED)
    assert module_world.run(NAME).outcome == "promoted"
    return module_world


def settled(world: World) -> bool:
    return is_idle(world.config(NAME), world.settings)


@pytest.fixture(scope="module")
def said(calm: World) -> list[str]:
    """Lines of a run that has nothing to do; the last: exit code, and which vendors it imported."""
    env = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW, "run", NAME],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def test_nothing_to_do_is_said_without_pandas_prefect_mlflow_or_another_vendor_of_weight(said: list[str]) -> None:
    *told, last = said
    assert told[0] == f"{NAME}: nothing to do"
    assert "  champion: version 1" in told
    assert last == "0", f"imported beside the exit code: {last}"


def test_a_new_file_is_seen(calm: World) -> None:
    assert settled(calm)
    landed = calm.land(NAME, "second.csv", trips(150, 10, seed=2))
    assert not settled(calm)
    landed.unlink()
    assert settled(calm)


def test_changed_content_of_a_known_file_is_seen(calm: World) -> None:
    path = calm.landing(NAME) / "first.csv"
    original, times = path.read_bytes(), path.stat()
    path.write_bytes(original.replace(b"bus", b"tram", 1))
    assert not settled(calm)
    path.write_bytes(original)
    assert settled(calm), "the same bytes at another time are the same batch"
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_known_content_under_another_name_is_not_new(calm: World) -> None:
    copy = calm.landing(NAME) / "copy.csv"
    shutil.copyfile(calm.landing(NAME) / "first.csv", copy)
    assert settled(calm)
    copy.unlink()


@pytest.mark.parametrize("name", [".hidden.csv", "_draft.csv"])
def test_hidden_and_draft_files_are_left_alone(calm: World, name: str) -> None:
    landed = calm.land(NAME, name, trips(150, 10, seed=2))
    assert settled(calm)
    landed.unlink()


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"parameters": {"alpha": 2.0}}},
        {"seed": 4},
        {"retrain": {"new_rows": 7}},
        {"contract": {"columns": {"x1": {"maximum": 900}}}},
        {"evaluation": {"bounds": [{"metric": "r2", "minimum": 0.1}]}},
    ],
    ids=["parameter", "seed", "policy", "contract", "bound"],
)
def test_a_changed_configuration_is_seen(calm: World, changes: dict[str, object]) -> None:
    calm.pipeline(NAME, changes)
    assert not settled(calm)
    calm.pipeline(NAME)
    assert settled(calm)


def test_before_anything_has_landed_there_is_nothing_to_do_and_the_run_says_where_to_land_it(
    calm: World, cli: Cli
) -> None:
    config = calm.pipeline("untried")
    assert is_idle(config, calm.settings)
    said = cli("run", "untried", "--json").json()
    assert said["outcome"] == "nothing_to_do"
    assert said["reasons"] == [f"nothing has landed in {calm.landing('untried')} yet"]
    calm.land("untried", "a.csv", trips(0, 10, seed=1))
    assert not is_idle(config, calm.settings)


def test_a_candidate_that_waits_is_something_to_do(calm: World) -> None:
    """What a run leaves that is killed between training and deployment."""
    from tests.support.direct import train

    calm.pipeline("waiting")
    calm.land("waiting", "first.csv", trips(0, 150, seed=3))
    assert calm.run("waiting").outcome == "promoted"
    config = calm.config("waiting")
    assert is_idle(config, calm.settings)
    train("waiting", force=("training",))
    assert not is_idle(config, calm.settings)
    assert calm.run("waiting").outcome == "kept_champion"
    assert is_idle(config, calm.settings)


def test_a_limit_of_age_makes_the_run_and_the_sweep_act_by_the_clock_alone(world: World) -> None:
    from tests.support.direct import lifecycle

    now = datetime.now(UTC)
    config = world.pipeline("aged", {"retrain": {"new_rows": 1_000_000, "on_drift": False, "max_age_days": 5.0}})
    world.land("aged", "a.csv", trips(0, 150, seed=1))
    assert lifecycle("aged", now=now).outcome == "promoted"
    later = now + timedelta(days=6)
    assert is_idle(config, world.settings, later), "no row waits"
    world.land("aged", "b.csv", trips(150, 100, seed=2))
    assert lifecycle("aged", now=now).outcome == "kept_champion"
    assert is_idle(config, world.settings, now + timedelta(days=4))
    assert not is_idle(config, world.settings, later)
    assert "lifecycle" in [one.flow for one in due(config, world.settings, later)]
    report = lifecycle("aged", now=later)
    assert report.version == 2
    assert is_idle(config, world.settings, later)
