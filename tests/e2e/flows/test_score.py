"""Scoring a file with the champion: what it answers, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tests.support.asked import asked
from tests.support.command import Cli
from tests.support.world import World, trips, write

NAME = "late_trips"
KEYLESS = "keyless"
CLASSES = ("early", "late", "on_time")
CLASSIFICATION: dict[str, Any] = {
    "task": "classification",
    "contract": {"columns": {"y": {"type": "string", "allowed": list(CLASSES)}}},
    "training": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1.0}},
    "evaluation": {"primary": "log_loss"},
}
FEATURES = ["x1", "x2", "kind"]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=[CLASSES[int(y > -1) + int(y > 2)] for y in frame["y"]])


@pytest.fixture(scope="module")
def scored_world(module_world: World) -> World:
    """A classification with a key, and a regression without one, each with a champion."""
    module_world.pipeline(NAME, CLASSIFICATION)
    module_world.land(NAME, "first.csv", labelled(trips(0, 300, seed=1)))
    assert module_world.run(NAME).outcome == "promoted"
    module_world.pipeline(KEYLESS, drop="contract.key")
    module_world.land(KEYLESS, "first.csv", trips(0, 300, seed=2))
    assert module_world.run(KEYLESS).outcome == "promoted"
    return module_world


def read_result(path: Path) -> pd.DataFrame:
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    table = pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
    return pd.DataFrame(table.to_pandas())


def champions_answers(world: World, name: str, rows: pd.DataFrame) -> tuple[int | None, Any, Any]:
    """The champion's version, predictions and probabilities, asked directly."""
    return asked(world, name, write(world.home / "asked.parquet", rows))


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_file_is_scored_as_the_loaded_model_answers(
    scored_world: World, cli: Cli, tmp_path: Path, ending: str
) -> None:
    rows = trips(5_000, 40, seed=3)
    rows.loc[rows.index[:3], "x2"] = np.nan  # the contract allows this one to be missing
    source = write(tmp_path / f"in.{ending}", rows.drop(columns="y"))
    output = tmp_path / f"out.{ending}"
    said = cli("score", NAME, "--input", str(source), "--output", str(output), "--json")
    assert said.code == 0, said
    assert (said.json()["rows"], said.json()["version"]) == (40, 1)
    result = read_result(output)
    probabilities = [f"probability_{name}" for name in CLASSES]
    assert list(result.columns) == ["id", "prediction", *probabilities, "model_version"]
    assert result["id"].tolist() == rows["id"].tolist()
    version, predicted, likely = champions_answers(scored_world, NAME, rows)
    assert set(result["model_version"]) == {version}
    assert result["prediction"].tolist() == predicted.tolist()
    assert len(set(predicted.tolist())) > 1
    np.testing.assert_allclose(result[probabilities].to_numpy(dtype=float), likely, rtol=1e-9, atol=1e-9)


def test_without_a_key_rows_are_numbered(scored_world: World, cli: Cli, tmp_path: Path) -> None:
    rows = trips(5_000, 25, seed=4)
    source, output = write(tmp_path / "in.csv", rows[FEATURES]), tmp_path / "out.csv"
    said = cli("score", KEYLESS, "--input", str(source), "--output", str(output))
    assert said.code == 0, said
    result = read_result(output)
    assert list(result.columns) == ["row", "prediction", "model_version"]
    assert result["row"].tolist() == list(range(1, 26))
    _, predicted, _ = champions_answers(scored_world, KEYLESS, rows)
    np.testing.assert_allclose(result["prediction"], predicted, rtol=1e-9)


def with_text(rows: pd.DataFrame) -> pd.DataFrame:
    changed = rows.astype({"x1": object})
    changed.loc[changed.index[4], "x1"] = "much"
    return changed


def with_gap(rows: pd.DataFrame) -> pd.DataFrame:
    changed = rows.copy()
    changed.loc[changed.index[4], "x1"] = np.nan
    return changed


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("cell.csv", with_text, ("row 5", "x1", "much")),
        ("gap.csv", with_gap, ("'x1'", "5")),
        ("column.csv", lambda rows: rows.drop(columns="x1"), ("columns missing: x1",)),
        ("key.csv", lambda rows: rows.drop(columns="id"), ("columns missing: id",)),
        ("header.csv", lambda rows: rows.head(0), ("no rows",)),
        ("odd.txt", lambda rows: rows, ("'.txt'",)),
    ],
    ids=["text", "missing_cell", "missing_column", "missing_key", "header_only", "ending"],
)
def test_a_file_that_cannot_be_scored_is_refused_whole(
    scored_world: World, cli: Cli, tmp_path: Path, file: str, damage: Any, words: tuple[str, ...]
) -> None:
    source = write(tmp_path / file, damage(trips(5_000, 10, seed=5).drop(columns="y")))
    output = write(tmp_path / "out.csv", "as before")
    said = cli("score", NAME, "--input", str(source), "--output", str(output))
    assert said.code == 3, said
    assert all(word in said.err for word in (file, *words)), said.err
    assert "Traceback" not in said.err
    assert output.read_text(encoding="utf-8") == "as before"


def test_without_a_champion_scoring_is_wrong_use(scored_world: World, cli: Cli, tmp_path: Path) -> None:
    scored_world.pipeline("untrained")
    source = write(tmp_path / "in.csv", trips(0, 5, seed=6))
    said = cli("score", "untrained", "--input", str(source), "--output", str(tmp_path / "out.csv"))
    assert said.code == 2
    assert "untrained has no champion yet" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--input", "nowhere.csv", "--output", "out.csv"), "nowhere.csv"),
        (("--input", "in.csv", "--output", "out.xlsx"), ".xlsx"),
        (("--output", "out.csv"), "found no input"),
    ],
    ids=["no_input", "ending", "half"],
)
def test_wrong_files_are_wrong_use(
    scored_world: World,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.csv", trips(0, 5, seed=7))
    said = cli("score", NAME, *words)
    assert said.code == 2, said
    assert told in said.err
    assert "Traceback" not in said.err
