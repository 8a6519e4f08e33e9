"""The service follows the registry, serves on without it, and refuses what it can't serve."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.records.rollout import Exposure
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state.audit import Audit
from tasks.stores.state.outbox import Outbox
from tests.support.serving.homes import NAME, ROW, Home
from tests.support.serving.running import Running, serving


@pytest.fixture
def own(pair: Home, tmp_path: Path) -> Iterator[Running]:
    """A service that a test may end."""
    pair.point(2)
    with serving(pair.world.home, pair.world.configs, tmp_path / "serving.log") as found:
        yield found


def test_a_promotion_is_in_force_within_the_grace_and_fails_nobody(pair: Home, own: Running) -> None:
    answers: dict[int, list[float]] = {1: [], 2: []}
    failed: list[str] = []
    stop = threading.Event()

    def load() -> None:
        import httpx

        with httpx.Client(base_url=own.url, timeout=30.0) as client:
            while not stop.is_set():
                answer = client.post(f"/pipelines/{NAME}/invocations", json={"dataframe_records": [ROW]})
                if answer.status_code != 200:
                    failed.append(answer.text)
                    continue
                told = answer.json()
                answers[told["model"]["version"]].append(told["predictions"][0])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (1, 2, 1, 2, 1):
            pair.point(version)
            assert own.wait(NAME, champion=version) < 2.0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    first, second = answers[1], answers[2]
    assert first
    assert second
    # Each version's answers are its own, whatever was live meanwhile.
    assert max(first) == pytest.approx(min(first), rel=1e-12)
    assert max(second) == pytest.approx(min(second), rel=1e-12)
    assert first[0] != pytest.approx(second[0], rel=1e-6)


def test_a_version_that_does_not_load_is_refused_and_reported(pair: Home, own: Running) -> None:
    tracking = Tracking(pair.world.settings, NAME)
    ref = tracking.model(1)
    file = Path(ref.folder) / "model.skops"
    shutil.rmtree(pair.world.home / "state" / "serving" / NAME)  # no copy of it is left
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    try:
        pair.point(1)
        own.wait(NAME, champion=2)
        for _ in range(100):
            found = own.versions(NAME)
            if found["problem"]:
                break
            threading.Event().wait(0.05)
        assert found["problem"].startswith("version 1 is refused: ")
        assert own.ask(NAME, [ROW]).json()["model"]["version"] == 2
        assert own.metric("perennial_models_refused_total", pipeline=NAME) == 1
        waiting: set[str] = set()
        for _ in range(100):  # the event is the last that the service writes
            waiting = {name for _, name in Outbox(pair.world.settings).waiting()}
            if waiting:
                break
            threading.Event().wait(0.05)
        assert "perennial.model.refused" in waiting
        entries = Audit(pair.world.settings).entries(NAME, "serving_refused")
        assert entries[-1].details["version"] == 1
    finally:
        file.write_bytes(whole)
    pair.point(2)
    own.wait(NAME, champion=2, problem="")


def test_a_version_whose_sample_is_answered_otherwise_is_refused(pair: Home, own: Running) -> None:
    tracking = Tracking(pair.world.settings, NAME)
    one, two = (Path(tracking.model(version).folder) for version in (1, 2))
    probe = one / "extra_files" / "probe.parquet"
    kept = probe.read_bytes()
    shutil.rmtree(pair.world.home / "state" / "serving" / NAME, ignore_errors=True)
    probe.write_bytes((two / "extra_files" / "probe.parquet").read_bytes())
    try:
        pair.point(1)
        for _ in range(100):
            found = own.versions(NAME)
            if found["problem"]:
                break
            threading.Event().wait(0.05)
        assert "20 of 20 answers differ" in found["problem"]
        assert found["champion"] == 2
    finally:
        probe.write_bytes(kept)
        shutil.rmtree(pair.world.home / "state" / "serving" / NAME, ignore_errors=True)
        pair.point(2)


@pytest.mark.system
def test_it_serves_on_and_again_without_registry_and_lake(pair: Home, tmp_path: Path) -> None:
    log = tmp_path / "serving.log"
    away = pair.world.home.with_name("away")
    moved = ("state/mlflow.db", "models", "lake")
    with serving(pair.world.home, pair.world.configs, log) as first:
        expected = first.ask(NAME, [ROW]).json()
        try:
            for name in moved:
                (away / name).parent.mkdir(parents=True, exist_ok=True)
                (pair.world.home / name).rename(away / name)
            threading.Event().wait(0.6)
            assert first.ask(NAME, [ROW]).json() == expected
            assert first.end(signal.SIGKILL) == -9
            with serving(pair.world.home, pair.world.configs, log) as second:
                assert second.ask(NAME, [ROW]).json() == expected
                assert second.client.get("/ping").status_code == 200
        finally:
            for name in moved:
                shutil.rmtree(pair.world.home / name, ignore_errors=True)
                (away / name).rename(pair.world.home / name)


def test_a_registry_that_is_damaged_is_told_and_served_past(pair: Home, own: Running) -> None:
    database = pair.world.home / "state" / "mlflow.db"
    kept = database.read_bytes()
    expected = own.ask(NAME, [ROW]).json()
    try:
        database.write_bytes(b"not a database" * 1000)
        assert own.registry_lost()
        assert own.ask(NAME, [ROW]).json() == expected
        assert own.lines("the registry can't be reached: serving continues from the local copy")
    finally:
        database.write_bytes(kept)


def test_a_challenger_is_shown_what_its_tag_says(pair: Home, own: Running) -> None:
    tracking = Tracking(pair.world.settings, NAME)
    from datetime import UTC, datetime

    exposure = Exposure(rollout=5, step=0, kind="canary", share=0.3, since=datetime.now(UTC))
    tracking.expose(1, exposure)
    try:
        own.wait(NAME, champion=2, challenger=1)
        rows = [{**ROW, "id": key} for key in range(400)]
        told = own.ask(NAME, rows).json()
        canary = {row["id"] for row, role in zip(rows, told["roles"], strict=True) if role == "canary"}
        assert 80 < len(canary) < 160  # 120 of 400, by chance
        assert {version for version, role in zip(told["versions"], told["roles"], strict=True) if role == "canary"} == {
            1
        }
        # One by one, the same keys: it is sticky.
        for key in range(40):
            assert (own.ask(NAME, [{**ROW, "id": key}]).json()["model"]["role"] == "canary") == (key in canary)
        # A larger share keeps those that had it.
        tracking.expose(1, exposure.model_copy(update={"share": 0.6, "step": 1}))
        own.wait(NAME, exposure={**exposure.model_dump(mode="json"), "share": 0.6, "step": 1})
        told = own.ask(NAME, rows).json()
        larger = {row["id"] for row, role in zip(rows, told["roles"], strict=True) if role == "canary"}
        assert canary < larger
        tracking.expose(1, exposure.model_copy(update={"kind": "shadow", "share": 0.0}))
        own.wait(NAME, exposure={**exposure.model_dump(mode="json"), "kind": "shadow", "share": 0.0})
        assert own.ask(NAME, rows).json()["model"]["version"] == 2
        for _ in range(100):
            if own.metric("perennial_predictions_total", role="shadow", version="1") >= 400:
                break
            threading.Event().wait(0.05)
        assert own.metric("perennial_predictions_total", role="shadow", version="1") == 400
    finally:
        tracking.clear_challenger()
    own.wait(NAME, challenger=None)
