"""The sensor: real folders, a real outbox, and an endpoint that takes events as Prefect's does."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from perennial.ops.sensor.main import watch
from tasks.stores.settings import Settings, prepare
from tasks.stores.state.outbox import Outbox
from tests.support.landing import ROWS, enter
from tests.support.processes import until
from tests.support.world import ROOT, World


class Endpoint:
    """Takes events and acknowledges them; it can be away."""

    def __init__(self) -> None:
        self.events: list[tuple[float, dict[str, Any]]] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        events = self.events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                events.extend((time.monotonic(), one) for one in json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def names(self) -> list[str]:
        """Files reported, as far as events name them."""
        return [name for _, one in self.events for name in one["payload"]["names"]]

    def count(self) -> int:
        return sum(one["payload"]["files"] for _, one in self.events)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    one = Endpoint()
    one.start()
    monkeypatch.setenv("PREFECT_API_URL", one.url)
    yield one
    one.stop()


@contextmanager
def watching(world: World, seconds: float = 60.0) -> Iterator[None]:
    """The sensor in a thread; by default only notifications can wake it."""
    settings = Settings(home=world.home, watch_seconds=seconds)
    prepare(settings)
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(settings, stop))
    thread.start()
    time.sleep(0.4)  # until it watches the folders
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_a_file_renamed_into_the_folder_is_told_of_at_once_and_once(world: World, endpoint: Endpoint) -> None:
    world.pipeline("one", {"source": {"stable_seconds": 5.0}})
    with watching(world):
        world.land("one", "a.csv", ROWS)
        moved = time.monotonic()
        until(lambda: endpoint.events)
        at, event = endpoint.events[0]
        assert at - moved < 4.0, "the full settling time was waited for"
        time.sleep(1.2)
    assert len(endpoint.events) == 1
    assert event["event"] == "perennial.batch.landed"
    assert event["resource"]["prefect.resource.id"] == "perennial.pipeline.one"
    assert event["payload"] == {"pipeline": "one", "files": 1, "feeds": {"observations": 1}, "names": ["a.csv"]}


def test_a_file_that_a_writer_holds_open_is_left_alone_until_it_is_closed(world: World, endpoint: Endpoint) -> None:
    world.pipeline("slow", {"source": {"stable_seconds": 0.3}})
    with watching(world):
        with (world.landing("slow") / "a.csv").open("w") as handle:
            for _ in range(3):
                handle.write(ROWS)
                handle.flush()
                time.sleep(0.7)  # longer than it takes to settle
            assert endpoint.events == []
        until(lambda: endpoint.events)
        world.land("slow", "b.csv", ROWS)
        until(lambda: endpoint.count() == 2)
    assert endpoint.names() == ["a.csv", "b.csv"]


def test_a_file_that_is_appended_to_is_told_of_when_that_is_over(world: World, endpoint: Endpoint) -> None:
    world.pipeline("slow", {"source": {"stable_seconds": 1.5}})
    path = world.landing("slow") / "a.csv"
    with watching(world):
        for _ in range(6):
            with path.open("a") as handle:
                handle.write(ROWS)
            time.sleep(0.3)
        ended = time.monotonic()
        assert endpoint.events == []
        until(lambda: endpoint.events)
    assert endpoint.events[0][0] - ended > 0.5
    assert endpoint.names() == ["a.csv"]


def test_with_markers_a_file_counts_once_its_marker_stands_beside_it(world: World, endpoint: Endpoint) -> None:
    world.pipeline("marked", {"source": {"ready": "marker", "marker": ".done"}})
    with watching(world):
        world.land("marked", "a.csv", ROWS)
        world.land("marked", "b.csv", ROWS)
        time.sleep(1.3)
        assert endpoint.events == []
        (world.landing("marked") / "b.csv.done").touch()
        until(lambda: endpoint.events)
        time.sleep(0.3)
    assert endpoint.names() == ["b.csv"]


def test_fifty_files_within_a_second_give_one_or_two_events(world: World, endpoint: Endpoint) -> None:
    world.pipeline("many")
    with watching(world):
        began = time.monotonic()
        for number in range(50):
            world.land("many", f"{number:02}.csv", ROWS)
            time.sleep(0.01)
        took = int(time.monotonic() - began)
        until(lambda: endpoint.count() == 50)
    assert len(endpoint.events) <= 2 + took  # one a second


def test_at_the_start_what_the_ledger_does_not_have_is_told_of(world: World, endpoint: Endpoint) -> None:
    config = world.pipeline("old")
    enter(world, config, world.land("old", "known.csv", ROWS))
    world.land("old", "sub/new.csv", ROWS + "2,2026-01-01T01:00:00Z,1,2,bus,3\n")
    world.land("old", "_draft.csv", ROWS)
    with watching(world):
        until(lambda: endpoint.events)
        time.sleep(0.5)
    assert endpoint.names() == ["sub/new.csv"]


def test_a_changed_file_is_told_of_again(world: World, endpoint: Endpoint) -> None:
    world.pipeline("one")
    with watching(world):
        world.land("one", "a.csv", ROWS)
        until(lambda: endpoint.count() == 1)
        world.land("one", "a.csv", ROWS + "2,2026-01-01T01:00:00Z,1,2,bus,3\n")
        until(lambda: endpoint.count() == 2)


def test_a_folder_that_is_moved_in_or_made_anew_is_seen(world: World, endpoint: Endpoint) -> None:
    world.pipeline("one")
    outside = world.home / "outside"
    with watching(world):
        (outside / "day").mkdir(parents=True)
        (outside / "day" / "a.csv").write_text(ROWS)
        (outside / "day").rename(world.landing("one") / "day")
        until(lambda: endpoint.names() == ["day/a.csv"])
        world.landing("one").rename(outside / "gone")
        until(lambda: world.landing("one").is_dir())
        world.land("one", "b.csv", ROWS)
        until(lambda: "b.csv" in endpoint.names())


def test_files_in_a_remote_place_are_found_by_listing_it(world: World, endpoint: Endpoint) -> None:
    place = fsspec.filesystem("memory")
    world.pipeline("far", {"source": {"landing": "memory://sensor/far"}})
    world.pipeline("near")
    with watching(world, seconds=0.3):
        place.pipe_file("/sensor/far/day/a.csv", ROWS.encode())
        place.pipe_file("/sensor/far/.hidden", b"no")
        until(lambda: endpoint.count() == 1)
        time.sleep(0.7)
        place.pipe_file("/sensor/far/day/a.csv", (ROWS * 2).encode())
        until(lambda: endpoint.count() == 2)
    assert endpoint.names() == ["day/a.csv", "day/a.csv"]


def test_events_are_kept_while_prefect_is_down_and_sent_when_it_is_back(
    world: World, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "perennial.sensor")
    world.pipeline("one")
    endpoint.stop()
    with watching(world):
        world.land("one", "a.csv", ROWS)
        until(lambda: Outbox(world.settings).waiting())
        time.sleep(4.5)  # two more tries
        endpoint.start()
        until(lambda: endpoint.events)
        until(lambda: not Outbox(world.settings).waiting())
    told = [one.message for one in caplog.records if one.message.startswith("Prefect")]
    assert len(told) == 2, told
    assert "kept and sent later" in told[0]
    assert told[1] == "Prefect: recovered"


def test_a_new_pipeline_is_watched_and_a_broken_one_told_and_skipped(
    world: World, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    (world.configs / "broken.yaml").write_text("name: [")
    with watching(world):
        world.pipeline("late")
        world.land("late", "a.csv", ROWS)
        until(lambda: endpoint.names() == ["a.csv"])
        world.pipeline("broken")
        world.land("broken", "b.csv", ROWS)
        until(lambda: endpoint.names() == ["a.csv", "b.csv"])
        (world.configs / "late.yaml").unlink()
        time.sleep(2.5)
        world.land("late", "c.csv", ROWS)
        time.sleep(1.5)
    assert endpoint.names() == ["a.csv", "b.csv"]
    told = [one.message for one in caplog.records if "broken.yaml" in one.message]
    assert len(told) == 1
    assert told[0].startswith("broken: not watched: ")


def test_a_landing_that_can_not_be_had_stops_no_other(
    world: World, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    (world.home / "landing").mkdir(parents=True)
    (world.home / "landing" / "file").write_text("no folder")
    world.pipeline("file")
    world.pipeline("far", {"source": {"landing": "gs://somewhere/far"}})  # its library is not installed
    world.pipeline("fine")
    with watching(world, seconds=1.0):
        world.land("fine", "a.csv", ROWS)
        until(lambda: endpoint.names() == ["a.csv"])
    told = [one.message for one in caplog.records]
    assert [one for one in told if one.startswith("file observations folder: ") and "expected a folder" in one]
    assert len([one for one in told if one.startswith("far observations: ") and "gcsfs" in one]) == 1


def test_a_real_server_takes_the_event(world: World, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server)
    world.pipeline("real")
    with watching(world):
        world.land("real", "a.csv", ROWS)
        until(lambda: taken(server))
    assert Outbox(world.settings).waiting() == []


def taken(server: str) -> bool:
    wanted = {"filter": {"event": {"name": ["perennial.batch.landed"]}}, "limit": 10}
    found = httpx.post(f"{server}/events/filter", json=wanted).raise_for_status().json()["events"]
    return any(one["resource"]["prefect.resource.id"] == "perennial.pipeline.real" for one in found)


def test_its_process_is_light_and_ends_well(world: World, endpoint: Endpoint) -> None:
    world.pipeline("one")
    code = (
        "import sys\nfrom perennial.cli.main import main\n"
        "try:\n    main(['watch'])\n"
        "except SystemExit as ended:\n    print(ended.code)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(loaded & {'pandas', 'mlflow', 'prefect', 'sklearn', 'fsspec', 'great_expectations'}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PERENNIAL_HOME": str(world.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: world.landing("one").is_dir(), 30)
        world.land("one", "a.csv", ROWS)
        until(lambda: endpoint.events)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert out.splitlines() == ["0", ""], err
    assert "one: 1 landed: a.csv" in err
    assert "Traceback" not in err
