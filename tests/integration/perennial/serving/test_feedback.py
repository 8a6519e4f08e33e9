"""Labels by key: kept before the caller is reported so, landed once, taken in by the ordinary ingest, or refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from configs.contract import Column
from configs.load import SHIPPED, read
from configs.schema import PipelineConfig
from configs.source import Source
from perennial.serving.feedback import Feedback
from perennial.serving.feedback_file import content, file_name
from perennial.serving.problem import RequestRejectedError
from tasks.errors import UsageError
from tasks.stores.settings import Settings
from tests.support import reading
from tests.support.serving.log_world import await_that
from tests.support.world import ROOT, World, make_world

LATER: dict[str, Any] = {"labels": {"landing": "later", "pattern": "labels-*.csv"}}
KILLS = 20


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home of its own."""
    return make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)


@contextmanager
def feedback_of(world: World, config: PipelineConfig, seconds: float = 60.0) -> Iterator[Feedback]:
    """Labels of one pipeline; they land at the end."""
    made = Feedback(Settings(home=world.home), {config.name: config}, land_seconds=seconds)
    try:
        yield made
    finally:
        made.close()


def landed(world: World, folder: str = "later") -> list[Path]:
    return sorted(path for path in world.landing(folder).iterdir() if not path.name.startswith("."))


def refusal(world: World, config: PipelineConfig, rows: list[dict[str, Any]]) -> RequestRejectedError:
    with feedback_of(world, config) as feedback, pytest.raises(RequestRejectedError) as refused:
        feedback.put(config.name, rows)
    return refused.value


# ------------------------------------------------------------------------------------------------ taken
@pytest.mark.usefixtures("server")
def test_the_ingest_takes_labels_by_key_as_any_file(world: World) -> None:
    from tasks.stores.lake.tables import Lake
    from tests.support.direct import ingest

    shutil.copy(SHIPPED / "transit_delay.yaml", world.configs)
    config = read(world.configs / "transit_delay.yaml")
    given = {f"20260105-R12-{number:04d}": number / 7 for number in range(30)}
    with feedback_of(world, config) as feedback:
        for key, value in given.items():
            feedback.put("transit_delay", [{"arrival_id": key, "delay_min": value}])
    assert [path.suffix for path in landed(world, "transit_delay/delays")] == [".csv"]

    report = ingest("transit_delay")
    assert [(one.feed, one.verdict, one.accepted) for one in report.batches] == [("labels", "accepted", 30)]
    rows = Lake(world.settings, config).read("labels").to_pylist()
    assert {row["arrival_id"]: row["delay_min"] for row in rows} == given
    assert not ingest("transit_delay").batches


def test_kept_labels_land_exactly_once_though_who_lands_them_is_killed(world: World) -> None:
    config = world.pipeline("labelled", {**LATER, "contract": {"columns": {"id": {"type": "integer"}}}})
    words = [str(world.home), str(world.configs / "labelled.yaml"), str(KILLS), "20261121"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.serving.log_feedback_killed", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    kept = json.loads(ran.stdout)
    with feedback_of(world, config):
        pass
    ids = pd.concat([pd.read_csv(path) for path in landed(world)])["id"].tolist()
    assert len(kept) > KILLS
    assert len(ids) == len(set(ids))
    assert set(kept) <= set(ids)
    assert len(set(ids) - set(kept)) <= 2 * KILLS  # of each child at most what it was not reported any more
    folder = world.settings.state / "served" / "feedback" / "labelled"
    assert not [path for path in folder.iterdir() if path.suffix == ".json"]


def test_a_claim_that_landed_is_not_landed_again(world: World) -> None:
    config = world.pipeline("labelled", LATER)
    folder = world.settings.state / "served" / "feedback" / "labelled"
    with feedback_of(world, config) as feedback:
        feedback.put("labelled", [{"id": 1, "y": 0.5}])
        waits = {path: path.read_bytes() for path in folder.iterdir()}
    (file,) = landed(world)
    before = file.read_bytes(), file.stat().st_mtime_ns
    for path, text in waits.items():  # as a kill right after the landing leaves it
        path.write_bytes(text)
    claim = {"name": file.name, "files": [path.name for path in waits]}
    (folder / "claim-x.json").write_text(json.dumps(claim))
    with feedback_of(world, config):
        pass
    assert landed(world) == [file]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert not list(folder.iterdir())


def test_where_files_need_a_marker_it_comes_after_the_file(world: World) -> None:
    config = world.pipeline("labelled", {"labels": {**LATER["labels"], "ready": "marker", "marker": ".done"}})
    with feedback_of(world, config) as feedback:
        feedback.put("labelled", [{"id": 1, "y": 0.5}])
    file, mark = landed(world)
    assert mark.name == f"{file.name}.done"
    assert mark.stat().st_size == 0


def test_a_remote_place_gets_them(world: World) -> None:
    import fsspec  # type: ignore[import-untyped]

    config = world.pipeline("labelled", {"labels": {"landing": "memory://later", "pattern": "labels-*.csv"}})
    with feedback_of(world, config) as feedback:
        feedback.put("labelled", [{"id": 1, "y": 0.5}])
    system = fsspec.filesystem("memory")
    (name,) = system.find("/later")
    assert system.cat(name) == b"id,y\n1,0.5\n"


def test_a_place_that_is_away_is_tried_again(world: World) -> None:
    config = world.pipeline("labelled", LATER)
    blocked = world.landing("later")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the folder should be")
    with feedback_of(world, config) as feedback:
        feedback.put("labelled", [{"id": 1, "y": 0.5}])
    blocked.unlink()
    with feedback_of(world, config):
        pass
    (file,) = landed(world)
    assert file.read_text() == "id,y\n1,0.5\n"


# ------------------------------------------------------------------------------------------------ written and read
TYPES = {
    "t": Column(type="string"),
    "n": Column(type="integer"),
    "x": Column(type="number", nullable=True),
    "b": Column(type="boolean"),
    "at": Column(type="timestamp"),
}
MOMENT = 1_780_000_000_123_456
VALUES: Mapping[str, list[Any]] = {
    "t": ['say "a"', "a,b;c\td|e", "two\nlines", "ünï →", "it's"],
    "n": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "x": [0.1, None, 1e-300, 1 / 3, 123456789.125],
    "b": [True, False, True, False, True],
    "at": [MOMENT, 0, 1, MOMENT, MOMENT],
}
WAYS: list[dict[str, Any]] = [
    {"pattern": "l-*.csv"},
    {"pattern": "l-*.tsv"},
    {"pattern": "l-*.csv.gz"},
    {"pattern": "l-*.csv", "delimiter": ";", "decimal": ","},
    {"pattern": "l-*.csv", "decimal": ","},
    {"pattern": "l-*.csv", "quote": "'"},
    {"pattern": "l-*.csv", "encoding": "utf-16"},
    {"pattern": "*", "format": "csv"},
    {"pattern": "*"},
    {"pattern": "l-*.jsonl.zst"},
    {"pattern": "l-*.ndjson", "encoding": "utf-16-le"},
    {"pattern": "l-*.parquet"},
    {"pattern": "l-*.feather"},
    {"pattern": "l-*.jsonl.zip"},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(str(one) for one in way.values()))
def test_what_is_written_is_read_as_it_was(way: dict[str, Any], tmp_path: Path) -> None:
    source = Source(landing="x", **way)
    name = file_name(source, "feedback-20261121T100000-abcdef")
    text = content(source, name, VALUES, TYPES)
    assert text == content(source, name, VALUES, TYPES)
    path = reading.put(tmp_path, name, text)
    found = reading.read(path, TYPES, **way)
    assert not found.aside()
    moments = [datetime.fromtimestamp(0, UTC) + pd.Timedelta(microseconds=one) for one in VALUES["at"]]
    for column, values in {**VALUES, "at": moments}.items():
        assert found.table.column(column).to_pylist() == values, column


@pytest.mark.parametrize(
    "way",
    [
        {"pattern": "labels.csv"},
        {"pattern": "labels-????.csv"},
        {"pattern": "*.xlsx"},
        {"pattern": "l-*", "format": "excel"},
        {"pattern": "[ab]*.csv"},
    ],
)
def test_a_pattern_that_no_name_can_be_made_for_is_told(way: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="labels"):
        file_name(Source(landing="x", **way), "feedback-x")


# ------------------------------------------------------------------------------------------------ refused
def test_rows_that_are_not_of_the_contract_are_refused_without_their_values(world: World) -> None:
    config = world.pipeline("labelled", LATER)
    rows: list[dict[str, Any]] = [
        {"id": 1, "y": "secret-1"},
        {"id": "secret-2", "y": 1.0},
        {"id": 3},
        {"id": 4, "y": 2.0, "secret-3": 1, "kind": "secret-4"},
    ]
    refused = refusal(world, config, rows)
    assert refused.status == 400
    told = json.dumps(refused.body())
    assert "secret" not in told
    assert [(one.column, one.row) for one in refused.details] == [
        ("y", 0),
        ("id", 1),
        ("y", 2),
        ("?", 3),
        ("kind", 3),
    ]
    assert not world.landing("later").exists()


def test_a_text_that_the_files_cannot_say_is_refused(world: World) -> None:
    named = {"contract": {"columns": {"id": {"type": "string"}}}}
    config = world.pipeline("labelled", {**LATER, **named})
    assert refusal(world, config, [{"id": "NA", "y": 1.0}]).details[0].column == "id"
    latin = world.pipeline("latin", {"labels": {**LATER["labels"], "encoding": "latin-1"}, **named})
    assert "labels.encoding" in refusal(world, latin, [{"id": "→", "y": 1.0}]).message
    bare = world.pipeline("bare", {"labels": {**LATER["labels"], "quote": "none"}, **named})
    assert "labels.quote" in refusal(world, bare, [{"id": "a,b", "y": 1.0}]).message


def test_nothing_is_taken_for_a_pipeline_whose_labels_come_with_its_observations(world: World) -> None:
    refused = refusal(world, world.pipeline("together"), [{"id": 1, "y": 0.5}])
    assert refused.status == 409
    assert "comes with the observations" in refused.message


def test_no_rows_are_refused(world: World) -> None:
    assert refusal(world, world.pipeline("labelled", LATER), []).status == 400


def test_when_too_much_waits_callers_are_told_to_come_again(world: World) -> None:
    config = world.pipeline("labelled", LATER)
    blocked = world.landing("later")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the folder should be")
    feedback = Feedback(world.settings, {"labelled": config}, land_seconds=0.02, most_mebibytes=0.00001)
    try:
        feedback.put("labelled", [{"id": 1, "y": 0.5}])
        await_that(lambda: feedback._over)
        with pytest.raises(RequestRejectedError) as refused:
            feedback.put("labelled", [{"id": 2, "y": 0.5}])
        assert (refused.value.status, refused.value.retry_after > 0) == (503, True)
    finally:
        feedback.close()
