"""Each row once: per batch or file, and version; also when it is asked for in several ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.monitoring.window import scored_batches
from tasks.scoring import predict, unscored
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tests.support.champions import NAME, two_champions
from tests.support.command import Cli
from tests.support.homes import Homes
from tests.support.world import World, trips, write


@pytest.fixture(scope="module")
def two(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A home with two champions, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        yield homes.copy(two_champions, tmp_path_factory.mktemp("two"), patch)


def rows_by_version(world: World) -> dict[tuple[str, int], int]:
    """How many predictions there are by file and version; no row has two of one version."""
    lake = Lake(world.settings, world.config(NAME))
    found = lake.read("predictions", ["_row_id", "_batch", "model_version"]).to_pylist()
    assert set(Counter((row["_row_id"], row["model_version"]) for row in found).values()) == {1}
    paths = {one.batch: one.path for one in lake.ledger()}
    return dict(Counter((paths[row["_batch"]], row["model_version"]) for row in found))


def test_observations_are_scored_once_by_each_version(two: World, cli: Cli) -> None:
    def scored(*words: str) -> tuple[int, list[str]]:
        said = cli("score", NAME, "--json", *words)
        assert said.code == 0, said
        return said.json()["rows"], said.json()["batches"]

    assert rows_by_version(two) == {("b.csv", 1): 300}
    assert scored("--version", "1") == (250, ["a.csv", "c.csv"])
    assert scored("--version", "1") == (0, [])
    by_first = {("a.csv", 1): 200, ("b.csv", 1): 300, ("c.csv", 1): 50}
    assert rows_by_version(two) == by_first
    # The champion's number, first; the champion as such then only notes that the new batch is its own.
    assert scored("--version", "2") == (550, ["a.csv", "b.csv", "c.csv"])
    assert scored() == (0, [])
    assert rows_by_version(two) == by_first | {("a.csv", 2): 200, ("b.csv", 2): 300, ("c.csv", 2): 50}
    lake, champion = Lake(two.settings, two.config(NAME)), Tracking(two.settings, NAME).champion()
    assert champion is not None
    assert [one.path for one in scored_batches(lake, lake.ledger(), champion)] == ["c.csv"]


def test_a_new_batch_is_scored_by_the_champion_and_then_not_by_its_number(two: World, cli: Cli) -> None:
    from tests.support.direct import ingest

    before = rows_by_version(two)
    two.land(NAME, "d.csv", trips(550, 40, seed=4))
    ingest(NAME)
    assert cli("score", NAME, "--json").json()["batches"] == ["d.csv"]
    assert cli("score", NAME, "--version", "2", "--json").json()["batches"] == []
    assert {key: rows for key, rows in rows_by_version(two).items() if key not in before} == {("d.csv", 2): 40}


def test_a_large_batch_goes_in_pieces(two: World, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.direct import ingest

    lake = Lake(two.settings, two.config(NAME))
    for file, first in (("e.csv", 600), ("f.csv", 1000)):
        two.land(NAME, file, trips(first, 400, seed=5))
        ingest(NAME)
        assert cli("score", NAME, "--json").json()["rows"] == 400
        monkeypatch.setattr(predict, "PIECE_ROWS", 7)
        monkeypatch.setattr(unscored, "_GROUP_ROWS", 10)
    paths = {one.batch: one.path for one in lake.ledger()}
    found = lake.read("predictions", ["id", "_batch", "prediction"]).to_pandas().sort_values("id")
    whole, pieces = (found[found["_batch"].map(paths) == file]["prediction"] for file in ("e.csv", "f.csv"))
    np.testing.assert_allclose(whole, pieces, rtol=1e-12)


def test_a_file_is_scored_into_the_lake_once_by_each_version(two: World, cli: Cli, tmp_path: Path) -> None:
    first = write(tmp_path / "day.csv", trips(9000, 30, seed=6).drop(columns="y"))
    same = write(tmp_path / "again.csv", first.read_text(encoding="utf-8"))
    told = [
        cli("score", NAME, "--input", str(file), *version, "--json").json()
        for file, version in ((first, ()), (first, ()), (same, ()), (first, ("--version", "1")))
    ]
    assert [(one["rows"], one["known"], one["version"]) for one in told] == [
        (30, False, 2),
        (0, True, 2),
        (0, True, 2),
        (30, False, 1),
    ]
    assert {one["table"] for one in told} == {"scored"}
    rows = Lake(two.settings, two.config(NAME)).read("scored").to_pylist()
    mine = [row for row in rows if row["_source"] == told[0]["input_sha256"]]
    assert Counter((row["_row"], row["id"]) for row in mine) == {(row, 8999 + row): 2 for row in range(1, 31)}
    said = cli("score", NAME, "--input", str(first))
    assert "nothing was scored" in said.out


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_result_that_is_there_is_not_made_again(two: World, cli: Cli, tmp_path: Path, ending: str) -> None:
    source = write(tmp_path / "day.csv", trips(9000, 30, seed=7).drop(columns="y"))
    output = tmp_path / f"out.{ending}"

    def known(*words: str) -> bool:
        said = cli("score", NAME, "--input", str(source), "--output", str(output), "--json", *words)
        assert said.code == 0, said
        return bool(said.json()["known"])

    assert [known(), known()] == [False, True]
    before = output.read_bytes()
    assert [known("--version", "1"), known("--version", "1"), known()] == [False, True, False]
    assert output.read_bytes() == before
    write(source, trips(9000, 31, seed=7).drop(columns="y"))
    assert not known()
    output.unlink()
    assert not known()
