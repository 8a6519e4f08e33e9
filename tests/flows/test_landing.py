"""Ingest from landing places: remote ones and file URLs, markers, a place that is away."""

from __future__ import annotations

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.conftest import Cli, World, trips

ROWS = trips(0, 20, seed=1)
CSV = ROWS.to_csv(index=False).encode()


def ingest(name: str) -> list[tuple[str, str, int]]:
    """Path, verdict and accepted rows of what one run takes in."""
    from flows.ingest import ingest as flow

    return [(one.path, one.verdict, one.accepted) for one in flow(name).batches]


@pytest.fixture
def memory(module_world: World) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("memory")


def test_remote_files_come_in_once_each_and_leave_nothing_behind(
    module_world: World, memory: fsspec.AbstractFileSystem
) -> None:
    place = "/ingest/far"
    module_world.pipeline("far", {"source": {"landing": f"memory:/{place}"}})
    memory.pipe({f"{place}/day/a.csv": CSV, f"{place}/broken.parquet": b"no parquet", f"{place}/_draft.csv": CSV})
    assert ingest("far") == [("broken.parquet", "rejected", 0), ("day/a.csv", "accepted", 20)]
    assert ingest("far") == []
    frame = trips(20, 5, seed=2).to_csv(index=False, sep="\t").encode()
    memory.pipe_file(f"{place}/b.tsv", frame)
    assert ingest("far") == [("b.tsv", "accepted", 5)]
    assert len(module_world.row_ids("far")) == 25
    assert list((module_world.settings.state / "staging").glob("far-*.landed*")) == []


def test_labels_may_land_in_another_kind_of_place(module_world: World, memory: fsspec.AbstractFileSystem) -> None:
    folder = module_world.home / "elsewhere"
    labels = {"landing": "memory://ingest/labels"}
    module_world.pipeline("apart", {"source": {"landing": f"file://{folder}"}, "labels": labels})
    module_world.land(str(folder), "x.parquet", ROWS.drop(columns="y"))
    memory.pipe_file("/ingest/labels/y.csv", ROWS[["id", "y"]].to_csv(index=False).encode())
    assert ingest("apart") == [("x.parquet", "accepted", 20), ("y.csv", "accepted", 20)]


def test_a_run_by_hand_heeds_markers(module_world: World) -> None:
    module_world.pipeline("marked", {"source": {"ready": "marker"}})
    module_world.land("marked", "a.csv", ROWS)
    assert ingest("marked") == []
    (module_world.landing("marked") / "a.csv.ready").touch()
    assert ingest("marked") == [("a.csv", "accepted", 20)]
    assert ingest("marked") == []


def test_a_place_that_can_not_be_had_is_told_in_a_line(module_world: World, cli: Cli) -> None:
    module_world.pipeline("away", {"source": {"landing": "gs://bucket/away"}})  # its library is not installed
    said = cli("run", "away")
    assert said.code == 2
    assert "gs://bucket/away needs a library that is not installed" in said.err
    assert "Traceback" not in said.err
