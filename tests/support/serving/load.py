"""Callers that ask a running service for one row after the other, and what they were answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

from tests.support.world import KINDS


class Told(NamedTuple):
    """One answer. `sent`, `came`: seconds on the monotonic clock; `version` and `role` are of who gave it."""

    key: int
    sent: float
    came: float
    status: int
    version: int
    role: str
    prediction: float


@dataclass
class Callers:
    """What callers were answered, in the order in which it came."""

    told: list[Told] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def since(self, moment: float, until: float = float("inf")) -> list[Told]:
        """Answers to what was asked in a stretch of the monotonic clock."""
        return [one for one in list(self.told) if moment <= one.sent < until]


@contextmanager
def calling(url: str, name: str, *, keys: int, callers: int = 4, pause: float = 0.01) -> Iterator[Callers]:
    """Ask for rows of so many keys in turn, until the block ends."""
    found, stop = Callers(), threading.Event()

    def ask(first: int) -> None:
        key = first
        with httpx.Client(base_url=url, timeout=30.0) as client:
            while not stop.is_set():
                key = (key + callers) % keys
                row = {"id": key, "x1": (key % 97) / 30.0 - 1.5, "x2": (key % 11) / 5.0 - 1.0, "kind": KINDS[key % 3]}
                sent = time.monotonic()
                try:
                    answer = client.post(f"/pipelines/{name}/invocations", json={"dataframe_records": [row]})
                except httpx.TransportError as error:
                    found.failed.append(repr(error))
                    continue
                if answer.status_code != 200:
                    found.failed.append(answer.text)
                    continue
                said = answer.json()
                model = said["model"]
                found.told.append(
                    Told(key, sent, time.monotonic(), 200, model["version"], model["role"], said["predictions"][0])
                )
                stop.wait(pause)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
