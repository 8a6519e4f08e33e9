"""Which runs of a pipeline begin, wait or are skipped: one of a flow at a time, and one equal run that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass
class _Queue:
    """The runs of one flow and one pipeline."""

    running: bool = False
    waiting: deque[tuple[Hashable, asyncio.Event]] = field(default_factory=deque)


class Turns:
    """One run at a time for each key; the others wait in the order in which they came.

    A run that is equal to one that waits already is skipped: flows read the state when they begin, so that the one that
    waits finds all there is.
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, _Queue] = {}

    def request(self, key: Hashable, content: Hashable) -> asyncio.Event | None:
        """An event that is set when the run's turn has come; None where an equal run waits already.

        Args:
            key: What has one run at a time.
            content: What the run is to do: runs with equal content are equal.
        """
        queue = self._queues.setdefault(key, _Queue())
        turn = asyncio.Event()
        if not queue.running:
            queue.running = True
            turn.set()
        elif any(content == other for other, _ in queue.waiting):
            return None
        else:
            queue.waiting.append((content, turn))
        return turn

    def release(self, key: Hashable, turn: asyncio.Event) -> None:
        """End a turn, or the wait for it; the next run's has come."""
        queue = self._queues[key]
        if not turn.is_set():
            queue.waiting = deque(entry for entry in queue.waiting if entry[1] is not turn)
            return
        if queue.waiting:
            queue.waiting.popleft()[1].set()
        else:
            del self._queues[key]
