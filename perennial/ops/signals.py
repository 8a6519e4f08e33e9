"""Signals that ask a process to end."""

from __future__ import annotations

import queue
import signal
import threading


def on_signals(*numbers: int) -> threading.Event:
    """An event that the signals set, however many come.

    A handler runs in the main thread, perhaps in the middle of its own waiting for the event, whose lock it then holds:
    setting the event there could wait for ever. So a thread sets it; a SimpleQueue may be put to from a handler.
    """
    stop, asked = threading.Event(), queue.SimpleQueue[int]()
    for number in numbers:
        signal.signal(number, lambda received, _: asked.put(received))

    def wait() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=wait, name="stopping", daemon=True).start()
    return stop
