"""Three fixes for Prefect's server where its database is SQLite: it starts, answers and writes beside others."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from tasks.stores.locks.file import FileLock

_YOUNG_SECONDS = 1.0
_FULL_EVERY = 60
_POLL_SECONDS = 0.05

# As ASGI has them.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class StartInTurn:
    """Prefect's application, which starts up under a lock: one server at a time prepares the database of a home.

    While it starts up, Prefect makes or migrates the tables and writes its block types. Of several servers that do so
    at once on an empty home, all but one fail. The lock is held for a third of a second where the database is up to
    date. A killed server frees it; each migration is one transaction, so that the next server goes on from there.

    Args:
        app: Prefect's application.
        home: Prefect's home, in which the lock file lies.
    """

    def __init__(self, app: App, home: Path) -> None:
        self._app = app
        self._home = home

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle an ASGI scope; that of the lifespan first waits for its turn."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        lock = FileLock(self._home, "server-start")

        async def send_and_free(message: Message) -> None:
            if message["type"].startswith("lifespan.startup."):  # complete or failed
                lock.release()
            await send(message)

        try:
            await _wait_for(lock)
            await self._app(scope, receive, send_and_free)
        finally:
            lock.close()


async def _wait_for(lock: FileLock) -> None:
    waits = False
    while not lock.try_acquire():
        if not waits:
            sys.stderr.write(f"waiting for another Prefect server that starts on this database ({lock.holder()})\n")
            waits = True
        await asyncio.sleep(_POLL_SECONDS)


def collect_aside() -> None:
    """Collect garbage in a thread of its own from now on, never in the thread that the event loop runs in.

    Prefect's sessions leave SQLite statements in reference cycles. To free one, SQLite waits for its connection, and
    that may be waiting up to a minute for a write lock whose holder can go on only in the event loop. Where the
    collection happens to run in the loop's thread, the server stands still for that minute, then fails with "database
    is locked".
    """
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def write_in_turn() -> None:
    """Let transactions that will write take SQLite's write lock when they begin, and so wait for their turn.

    Prefect begins them DEFERRED: one that has read before it writes is turned away at once where another wrote
    meanwhile. Prefect's clients then wait two seconds and more before they ask again, and a run starts that much later.
    """
    import sqlalchemy as sa

    @sa.event.listens_for(sa.Engine, "before_cursor_execute", retval=True)
    def _(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> Any:
        return ("BEGIN IMMEDIATE" if statement == "BEGIN DEFERRED" else statement), parameters


def _collect() -> None:
    turn = 0
    while True:
        time.sleep(_YOUNG_SECONDS)
        turn += 1
        gc.collect(2 if turn % _FULL_EVERY == 0 else 1)
