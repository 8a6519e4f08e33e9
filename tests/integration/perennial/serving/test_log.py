"""The prediction log: what is kept, in which table, within which bounds, and what becomes of what can't be kept."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.schema import PipelineConfig
from perennial.serving.log.inputs import input_counts
from perennial.serving.log.record import PredictionLog
from perennial.serving.log.recovery import lost_rows
from tests.support.serving.log_world import AT, Remembered, answer, await_that, log_of, rows_of
from tests.support.world import ROOT, World, make_world

HEAVY = ("deltalake", "sqlalchemy", "mlflow", "prefect", "great_expectations", "evidently", "fsspec")
CLASSES: dict[str, Any] = {
    "task": "classification",
    "contract": {"target": "label", "columns": {"label": {"type": "string", "allowed": ["late", "on time"]}}},
    "training": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {}},
    "evaluation": {"primary": "log_loss"},
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home of its own."""
    return make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)


def kept(world: World, log: dict[str, Any]) -> PipelineConfig:
    return world.pipeline("served", {"serving": {"log": log}})


def files(world: World, ending: str = ".jsonl") -> list[Path]:
    return sorted((world.settings.state / "served" / "served").glob(f"*{ending}"))


# ------------------------------------------------------------------------------------------------ what is kept
def test_an_answer_comes_as_rows_of_served(world: World) -> None:
    config = world.pipeline("served")
    meters = Remembered()
    log = log_of(world.home, config, meters)
    assert log.put(answer("a", [5, 6], role="canary", version=3, positions=[4, 7]))
    log.put(answer("b", [7], role="shadow", predictions=None, error="timeout"))
    log.close()
    first, second, third = rows_of(world.home, config)
    assert [first["_position"], second["_position"]] == [4, 7]
    assert {name: first[name] for name in ("_request", "_role", "model_version", "_error")} == {
        "_request": "a",
        "_role": "canary",
        "model_version": 3,
        "_error": "",
    }
    assert (first["prediction"], second["prediction"]) == (1 / 8, 1 / 9)
    assert (first["id"], first["x1"], first["x2"], first["kind"]) == (5, 0.5, None, "bus")
    assert (first["_latency_ms"], first["_predict_ms"]) == (2.0, 1.0)
    assert int(first["_at"].timestamp() * 1_000_000) == AT
    assert (third["prediction"], third["_error"]) == (None, "timeout")
    assert meters.rows == {"written": 3, "shipped": 3}
    assert not files(world)
    assert not files(world, ".count")


def test_arrays_of_numpy_are_kept_like_lists(world: World) -> None:
    config = world.pipeline("served")
    columns = {
        "id": np.array([1, 2]),
        "x1": np.array([0.5, np.nan]),
        "x2": [None, 1.5],
        "kind": np.array(["bus", None], dtype=object),
    }
    log = log_of(world.home, config)
    log.put(answer("a", [1, 2], columns=columns, predictions=np.array([1.5, 2.5]), positions=np.arange(2)))
    log.close()
    rows = rows_of(world.home, config)
    assert [(row["id"], row["x1"], row["x2"], row["kind"], row["prediction"]) for row in rows] == [
        (1, 0.5, None, "bus", 1.5),
        (2, None, 1.5, None, 2.5),
    ]


def test_probabilities_are_columns_also_of_a_class_that_comes_later(world: World) -> None:
    config = world.pipeline("served", CLASSES)
    for request, shares in (("a", {"late": [0.25]}), ("b", {"late": [0.5], "on time": [0.5]})):
        log = log_of(world.home, config)
        log.put(answer(request, [1], predictions=["late"], probabilities=shares))
        log.close()
    rows = rows_of(world.home, config)
    assert [(row["prediction"], row["probability_late"], row["probability_on time"]) for row in rows] == [
        ("late", 0.25, None),
        ("late", 0.5, 0.5),
    ]


def test_what_is_left_out_never_reaches_the_disk(world: World) -> None:
    config = kept(world, {"leave_out": ["kind"]})
    log = log_of(world.home, config, ship_seconds=60.0)
    log.put(answer("a", [1], columns={"id": [1], "x1": [0.5], "x2": [1.5], "kind": ["secret"]}))
    await_that(lambda: log.pending == 0)
    (path,) = files(world, ".open")
    assert b"secret" not in path.read_bytes()
    log.close()
    (row,) = rows_of(world.home, config)
    assert "kind" not in row
    assert row["x1"] == 0.5


def test_without_inputs_key_and_prediction_are_kept(world: World) -> None:
    config = kept(world, {"inputs": False})
    log = log_of(world.home, config)
    log.put(answer("a", [1]))
    log.close()
    (row,) = rows_of(world.home, config)
    assert row["id"] == 1
    assert not {"x1", "x2", "kind"} & row.keys()


def test_the_sample_keeps_a_key_always_or_never_and_a_rollout_all(world: World) -> None:
    config = kept(world, {"sample": 0.3})
    log = log_of(world.home, config, lose_rows=100_000)
    ids = list(range(1000))
    for request in ("a", "b"):
        log.put(answer(request, ids))
    log.put(answer("paired", ids, keep=True))
    log.put(answer("canary", ids, role="canary"))
    log.close()
    found: dict[str, list[int]] = {}
    for row in rows_of(world.home, config):
        assert row["_position"] == row["id"]
        assert row["prediction"] == 1 / (row["id"] + 3)
        found.setdefault(row["_request"], []).append(row["id"])
    assert found["a"] == found["b"]
    assert 250 < len(found["a"]) < 350
    assert found["paired"] == found["canary"] == ids


def test_without_a_key_whole_requests_are_drawn(world: World) -> None:
    config = kept(world, {"sample": 0.5})
    log = log_of(world.home, config)
    for number in range(100):
        log.put(answer(str(number), [1, 2], columns={"x1": [0.5, 1.5]}))
    log.close()
    rows = rows_of(world.home, config)
    requests = {row["_request"] for row in rows}
    assert 30 < len(requests) < 70
    assert len(rows) == 2 * len(requests)


# ------------------------------------------------------------------------------------------------ bounds
def test_never_more_waits_than_may_be_lost(world: World) -> None:
    config = world.pipeline("served")
    log = log_of(world.home, config, lose_rows=50, flush_seconds=30.0)
    most = 0

    def work(name: str) -> None:
        nonlocal most
        for number in range(300):
            log.put(answer(f"{name}{number}", list(range(1 + number % 3))))
            most = max(most, log.pending)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.put(answer("large", list(range(1000))))
    assert 25 <= most <= 50
    log.close()
    assert len(rows_of(world.home, config)) == 3 * 600 + 1000


def test_full_is_told_before_callers_have_to_write(world: World) -> None:
    log = log_of(world.home, world.pipeline("served"), lose_rows=100, flush_seconds=30.0)
    with log._disk:  # as a disk that takes its time
        told = []
        for number in range(75):
            log.put(answer(str(number), [1]))
            told.append(log.full)
        assert told == [False] * 74 + [True]
        assert log.pending == 75
    await_that(lambda: log.pending == 0 and not log.full)
    log.close()


def test_when_the_disk_share_is_used_up_answers_are_dropped_and_counted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    config = world.pipeline("served")
    away = world.settings.model_copy(update={"lake_url": str(world.configs / "served.yaml")})  # a file, no folder
    meters = Remembered()
    log = log_of(world.home, config, meters, places=away, spill_mebibytes=0.001, close_seconds=0.0)
    with caplog.at_level(logging.ERROR):
        taken = 0
        while log.put(answer(str(taken), [1, 2])) and taken < 50_000:
            taken += 1
        assert not log.put(answer("more", [1, 2]))
    log.close()
    assert meters.why == {"full": 4}
    assert [(one["why"], one["rows"]) for one in lost_rows(world.settings.state / "served")] == [("dropped", 4)]
    assert sum("the limit: predictions are dropped" in one.message for one in caplog.records) == 1
    log_of(world.home, config, close_seconds=30.0).close()  # and the lake is back
    assert len(rows_of(world.home, config)) == 2 * taken


def test_where_the_folder_cannot_be_written_the_service_goes_on(world: World) -> None:
    config = world.pipeline("served")
    world.settings.state.mkdir(parents=True)
    (world.settings.state / "served").mkdir()
    blocked = world.settings.state / "served" / "served"
    blocked.write_text("a file where the folder should be")
    meters = Remembered()
    log = log_of(world.home, config, meters)
    assert not log.put(answer("a", [1]))
    assert meters.why == {"disk": 1}
    log.close()


def test_what_must_write_to_the_disk_is_told_before(world: World) -> None:
    log = log_of(world.home, world.pipeline("served"), lose_rows=10, flush_seconds=30.0)
    await_that(lambda: log.pending == 0)
    assert log.quick(10)
    assert not log.quick(11)
    log.put(answer("a", [1, 2, 3]))
    assert (log.quick(7), log.quick(8)) == (True, False)
    log.put(answer("b", list(range(25))))  # more than may be lost: what was before is on disk by now
    assert log.pending <= 10
    assert [path.stat().st_size > 0 for path in files(world, ".open")] == [True]
    log.close()
    assert len(rows_of(world.home, world.config("served"))) == 28


# ------------------------------------------------------------------------------------------------ the lake
def test_what_the_lake_does_not_take_waits_and_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    config = world.pipeline("served")
    blocked = world.home / "lake"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the lake should be")
    with caplog.at_level(logging.INFO):
        log = log_of(world.home, config, ship_seconds=0.02)
        log.put(answer("a", [1]))
        await_that(lambda: bool(files(world)))
        log.put(answer("b", [1]))
        await_that(lambda: log._shipper._failures.get("served", 0) > 2)
        assert len(files(world)) == 1  # no more files than one wait beside the open one
        blocked.unlink()
        await_that(lambda: not files(world))
        log.close()
    assert [row["_request"] for row in rows_of(world.home, config)] == ["a", "b"]
    assert sum("predictions wait on disk" in one.message for one in caplog.records) == 1
    assert sum("can be written again" in one.message for one in caplog.records) == 1


def test_a_row_that_does_not_fit_is_set_aside_and_holds_up_no_other(world: World) -> None:
    config = world.pipeline("served")
    meters = Remembered()
    log = log_of(world.home, config, meters)
    columns = {"id": [1, 2.5, 3], "x1": [0.5, 0.5, "wrong"], "x2": [None] * 3, "kind": ["bus"] * 3}
    log.put(answer("mixed", [1, 2, 3], columns=columns))
    log.put(answer("right", [4]))
    log.close()
    assert [(row["_request"], row["id"]) for row in rows_of(world.home, config)] == [("mixed", 1), ("right", 4)]
    (path,) = (world.settings.state / "served" / "bad" / "served").iterdir()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["why"] for one in told] == ["id is no int64", "x1 is no double"]
    assert meters.why == {"unfit": 2}


def test_what_json_cannot_hold_is_dropped_and_holds_up_no_other(world: World) -> None:
    config = world.pipeline("served")
    meters = Remembered()
    log = log_of(world.home, config, meters)
    log.put(answer("wrong", [1], columns={"id": [object()], "x1": [1.0]}))
    log.put(answer("right", [4]))
    log.close()
    assert [row["_request"] for row in rows_of(world.home, config)] == ["right"]
    assert meters.why == {"unfit": 1}
    assert [(one["why"], one["rows"]) for one in lost_rows(world.settings.state / "served")] == [("dropped", 1)]


def test_a_damaged_line_is_set_aside(world: World) -> None:
    config = world.pipeline("served")
    log = log_of(world.home, config, ship_seconds=60.0, close_seconds=0.0)
    for number in range(3):
        log.put(answer(str(number), [1]))
        await_that(lambda: log.pending == 0)
    (path,) = files(world, ".open")
    with path.open("r+b") as handle:  # as a power cut may leave it
        handle.seek(len(path.read_bytes().splitlines()[0]) + 1)
        handle.write(bytes(20))
    log.close()
    log_of(world.home, config).close()
    assert [row["_request"] for row in rows_of(world.home, config)] == ["0", "2"]
    assert len(list((world.settings.state / "served" / "bad" / "served").iterdir())) == 1


def test_several_workers_ship_each_row_once_and_in_a_rollout_sooner(world: World) -> None:
    config = world.pipeline("served")
    meters = Remembered()
    logs: list[PredictionLog] = [
        log_of(world.home, config, meters, ship_seconds=60.0, hurry_seconds=0.05) for _ in range(3)
    ]
    for number, log in enumerate(logs):
        log.hurry({"served"})
        log.put(answer(str(number), [1, 2]))
    await_that(lambda: meters.rows["shipped"] == 6)
    for log in logs:
        log.close()
    assert [(row["_request"], row["_position"]) for row in rows_of(world.home, config)] == [
        (str(number), position) for number in range(3) for position in range(2)
    ]


def test_after_a_change_of_the_yaml_files_still_come_in(world: World) -> None:
    config = world.pipeline("served")
    away = world.settings.model_copy(update={"lake_url": str(world.configs / "served.yaml")})  # a file, no folder
    log = log_of(world.home, config, places=away, close_seconds=0.0)
    log.put(answer("before", [1]))
    log.close()
    changed = kept(world, {"leave_out": ["x1"]})
    log_of(world.home, changed).close()
    (row,) = rows_of(world.home, changed)
    assert "x1" not in row


def test_what_is_put_after_the_end_is_dropped_and_told(world: World) -> None:
    meters = Remembered()
    log = log_of(world.home, world.pipeline("served"), meters)
    log.put(answer("a", [1]))
    log.close()
    assert not log.put(answer("b", [1]))
    assert meters.rows["dropped"] == 1


# ------------------------------------------------------------------------------------------------ what came in
def test_what_came_in_is_counted_once_a_row_kept_or_not(world: World) -> None:
    config = kept(world, {"sample": 0.0, "inputs": False})
    meters = Remembered()
    log = log_of(world.home, config, meters)
    columns = {
        "id": [1, 2, 3],
        "x1": [1.0, 2.0, None],
        "x2": np.array([np.nan, 3.0, 4.0]),
        "kind": ["bus", "ferry", None],
    }
    log.put(answer("a", [1, 2, 3], columns=columns, role="canary"))
    log.put(answer("a", [1, 2, 3], columns=columns, role="control"))
    log.put(answer("b", [1, 2, 3], columns=columns))
    log.close()
    sums = {name: tuple(map(sum, zip(*found, strict=True))) for name, found in meters.columns.items()}
    assert sums == {"x1": (6, 2, 6.0, 10.0, 0), "x2": (6, 2, 14.0, 50.0, 0), "kind": (6, 2, 0.0, 0.0, 2)}
    failed = answer("c", [1], role="canary", error="it threw", predictions=None)  # the champion's answer counts
    once = answer("c", [1])
    assert input_counts(config, [failed, once]) == input_counts(config, [once])
    assert "x1" in input_counts(config, [once])
    assert "x1" not in input_counts(kept(world, {"leave_out": ["x1"]}), [once])


MODULES = "perennial.serving.log.record, perennial.serving.feedback"


def test_the_import_is_light() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, {MODULES}; print([one for one in {HEAVY} if one in sys.modules])",
        ],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "[]"
