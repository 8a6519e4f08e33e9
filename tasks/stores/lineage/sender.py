"""Events on their way to an OpenLineage endpoint, behind the run's back: a run never waits for it but at its end."""

from __future__ import annotations

import os
import queue
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

_MOST_WAITING = 1000
_USER = re.compile(r"://[^/@\s]*@")


def disabled() -> bool:
    """Whether OPENLINEAGE_DISABLED says that no events are to be made."""
    return os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true"


def has_endpoint() -> bool:
    """Whether OpenLineage's own settings may name an endpoint; decided without importing its library."""
    if os.environ.get("OPENLINEAGE_URL") or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in os.environ):
        return True
    config = os.environ.get("OPENLINEAGE_CONFIG")
    places = [Path("openlineage.yml"), Path("~/.openlineage/openlineage.yml").expanduser()]
    return any(path.is_file() for path in [*([Path(config)] if config else []), *places])


def _client() -> OpenLineageClient | None:
    """A client by OpenLineage's own settings; None where they name no endpoint."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.noop import NoopConfig, NoopTransport

    settings = OpenLineageClient(transport=NoopTransport(NoopConfig())).config
    if not (os.environ.get("OPENLINEAGE_URL") or (settings.transport or {}).get("type")):
        return None  # the library would print the events
    return OpenLineageClient()


class EventSender:
    """A thread that hands events to the endpoint, one after the other.

    Whatever the endpoint does, `put` returns at once, and `close` within its time. The thread dies with the process.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[RunEvent | None] = queue.Queue()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="openlineage", daemon=True)
        self._taken = self._delivered = 0
        self._problem = ""
        self._thread.start()

    def put(self, event: RunEvent) -> None:
        """Take an event to deliver. With too many waiting it is not."""
        self._taken += 1
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(event)
        else:
            self._problem = f"{_MOST_WAITING} were waiting already"

    def close(self, seconds: float) -> str:
        """Wait until all is delivered, at most so long; what was not, in words, or nothing."""
        self._waiting.put(None)
        self._thread.join(seconds)
        slow = self._thread.is_alive()
        self._abandoned.set()
        missing = self._taken - self._delivered
        if not missing:
            return ""
        why = self._problem or (f"no answer within {seconds:g} s" if slow else "")
        return f"{missing} of {self._taken} OpenLineage events were not delivered{f' ({why})' if why else ''}"

    def _deliver(self) -> None:
        try:
            client = _client()
        except Exception as error:
            # Whatever is wrong with the user's own settings of OpenLineage: reported at the end, and no reason to fail.
            self._problem = _error_text(error)
            return
        while (event := self._waiting.get()) is not None and not self._abandoned.is_set():
            if client is None:
                self._delivered += 1  # nobody asked for them
                continue
            try:
                client.emit(event)
                self._delivered += 1
            except Exception as error:
                # Any transport, any library: reported at the end, and no reason to fail.
                self._problem = _error_text(error)
        if client is not None:
            client.close(0)


def _error_text(error: Exception) -> str:
    first = _USER.sub("://", (str(error).splitlines() or [""])[0])
    return f"{type(error).__name__}: {first}"[:300]
