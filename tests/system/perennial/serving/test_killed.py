"""kill -9 of the whole service under load: it serves again, and what its log lost is within the setting, and told."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from perennial.serving.log.recovery import lost_rows
from tasks.stores.lake.tables import Lake
from tests.support.serving.homes import NAME, ROW, Home
from tests.support.serving.running import Running, serving

KILLS, SECONDS = 2, 1.5
WORKERS, LOSE_ROWS, CALLERS = 2, 60, 6
SETTINGS = {
    "PERENNIAL_SERVE_WORKERS": str(WORKERS),
    "PERENNIAL_SERVE_LOG_LOSE_ROWS": str(LOSE_ROWS),
    "PERENNIAL_SERVE_LOG_SHIP_SECONDS": "0.5",
}


@dataclass
class Load:
    """Callers that ask until the service is gone, each row with a key of its own."""

    numbers: itertools.count[int]
    answered: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)  # asked, and the connection broke
    wrong: list[str] = field(default_factory=list)

    def once(self, service: Running) -> None:
        """A row that is answered."""
        key = next(self.numbers)
        assert service.ask(NAME, [{**ROW, "id": key}]).status_code == 200
        self.answered.add(key)

    def run(self, url: str, over: threading.Event, seed: int) -> None:
        with httpx.Client(base_url=url, timeout=10.0) as client:
            for turn in itertools.count(seed):
                keys = [next(self.numbers) for _ in range(40 if turn % 12 == 0 else 1)]
                rows = [{**ROW, "id": key} for key in keys]
                try:
                    answer = client.post(f"/pipelines/{NAME}/invocations", json={"dataframe_records": rows})
                except httpx.TransportError:
                    self.unknown.update(keys)
                    if over.is_set():
                        return
                    self.wrong.append("a connection broke before the kill")
                    continue
                if answer.status_code == 200:
                    self.answered.update(keys)
                else:
                    self.wrong.append(answer.text)


def kill(service: Running) -> None:
    """kill -9 of all its processes; the children first, as they would end properly without their parent."""
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    assert len(children) == WORKERS
    for pid in [*map(int, children), parent]:
        os.kill(pid, signal.SIGKILL)
    service.process.wait(10.0)


def load_and_kill(service: Running, load: Load, seconds: float) -> None:
    over = threading.Event()
    callers = [threading.Thread(target=load.run, args=(service.url, over, 2 * one)) for one in range(CALLERS)]
    for one in callers:
        one.start()
    time.sleep(seconds)
    over.set()
    kill(service)
    for one in callers:
        one.join()


def await_told(service: Running, folder: Path, entries: int) -> list[int]:
    """How many rows each killed process lost, in `lost.jsonl` and as a metric, once their files are adopted."""
    until = time.monotonic() + 15.0
    while len(list(folder.glob(f"{NAME}/*.count"))) > WORKERS:
        assert time.monotonic() < until, "nobody adopts what the dead left"
        time.sleep(0.05)
    told = lost_rows(folder)[entries:]
    assert all((one["why"], one["bound"]) == ("killed", LOSE_ROWS) for one in told)
    rows = [int(str(one["rows"])) for one in told]
    while service.metric("perennial_log_lost_total", pipeline=NAME) != sum(rows):
        assert time.monotonic() < until, "the metric tells what the file tells"
        time.sleep(0.05)
    return rows


def logged(home: Home) -> Counter[int]:
    world = home.world
    return Counter(Lake(world.settings, world.config(NAME)).read("served", ["id"]).column("id").to_pylist())


def test_killed_under_load_it_serves_again_and_tells_what_its_log_lost(pair: Home, tmp_path: Path) -> None:
    world, load = pair.world, Load(itertools.count(1))
    told: list[int] = []
    for number in range(KILLS + 1):
        with serving(world.home, world.configs, tmp_path / "serving.log", environment=SETTINGS) as service:
            load.once(service)
            told += await_told(service, world.settings.state / "served", len(told))
            if number < KILLS:
                load_and_kill(service, load, SECONDS + 0.17 * number)
    found = logged(pair)
    assert not load.wrong
    assert set(found.values()) == {1}, "no row comes twice"
    assert found.keys() <= load.answered | load.unknown
    missing = load.answered - found.keys()
    print(f"{len(load.answered)} answered, {len(missing)} of them not logged; told: {told}")
    assert len(load.answered) > 100 * KILLS
    # What was put is there, or told as lost. All that was answered was put, and some whose answer did not come back.
    assert max(told, default=0) <= LOSE_ROWS
    assert len(missing) <= sum(told)
    assert len(load.answered) <= len(found) + sum(told) <= len(load.answered) + len(load.unknown)
