"""Two mends for Prefect's server where its database is SQLite: it neither stands still nor turns writers away."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

_YOUNG_SECONDS = 1.0
_FULL_EVERY = 60


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
