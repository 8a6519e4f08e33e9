"""Servers start one at a time on the database of a home, and never wait for one that has started or failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from perennial.ops.prefect_sqlite import Message, Receive, Send, StartInTurn

SERVERS = 4


class Application:
    """An ASGI application as Prefect's is: it prepares the database, says so, and is reported to end later."""

    def __init__(self, log: list[str], *, fails: bool = False) -> None:
        self.log, self.fails = log, fails

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.log.append(scope["type"])
            return
        await receive()
        self.log.append("begins")
        for _ in range(20):  # another would come in between
            await asyncio.sleep(0.005)
        self.log.append("ends")
        await send({"type": "lifespan.startup.failed" if self.fails else "lifespan.startup.complete"})
        if not self.fails:
            await receive()
            await send({"type": "lifespan.shutdown.complete"})


async def start(app: StartInTurn, end: asyncio.Event) -> list[str]:
    """Start an application as uvicorn does, and end it later; what it said."""
    said: list[str] = []

    async def receive() -> Message:
        if said:
            await end.wait()
        return {"type": "lifespan.shutdown" if said else "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return said


def test_one_at_a_time_prepares_the_database_while_those_before_it_run(tmp_path: Path) -> None:
    log: list[str] = []

    async def main() -> list[list[str]]:
        end = asyncio.Event()
        apps = [StartInTurn(Application(log), tmp_path) for _ in range(SERVERS)]
        tasks = [asyncio.create_task(start(app, end)) for app in apps]
        while log.count("ends") < SERVERS:  # all run at once: none has been told to end
            await asyncio.sleep(0.01)
        end.set()
        return await asyncio.gather(*tasks)

    said = asyncio.run(main())
    assert log == ["begins", "ends"] * SERVERS
    assert said == [["lifespan.startup.complete", "lifespan.shutdown.complete"]] * SERVERS


@pytest.mark.parametrize("how", ["says so", "raises"])
def test_one_that_fails_lets_the_next_start(tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    log: list[str] = []

    async def raising(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        raise RuntimeError("no such revision")

    async def main() -> list[Any]:
        end = asyncio.Event()
        end.set()
        first = StartInTurn(Application([], fails=True) if how == "says so" else raising, tmp_path)
        tasks = [asyncio.create_task(start(app, end)) for app in (first, StartInTurn(Application(log), tmp_path))]
        return await asyncio.gather(*tasks, return_exceptions=True)

    failed, started = asyncio.run(main())
    assert isinstance(failed, RuntimeError) if how == "raises" else failed == ["lifespan.startup.failed"]
    assert started == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert log == ["begins", "ends"]
    assert "waiting for another Prefect server that starts on this database (process " in capfd.readouterr().err


def test_requests_wait_for_nobody(tmp_path: Path) -> None:
    log: list[str] = []

    async def unused(*_: Any) -> Any:
        raise AssertionError("a request is handled by the application alone")

    asyncio.run(StartInTurn(Application(log), tmp_path)({"type": "http"}, unused, unused))
    assert log == ["http"]
    assert list(tmp_path.iterdir()) == []
