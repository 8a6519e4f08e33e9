"""Garbage collection apart from the event loop, for Prefect's server on SQLite."""

from __future__ import annotations

import gc
import threading
import time

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


def _collect() -> None:
    turn = 0
    while True:
        time.sleep(_YOUNG_SECONDS)
        turn += 1
        gc.collect(2 if turn % _FULL_EVERY == 0 else 1)
