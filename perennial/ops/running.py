"""Whether `perennial up` runs in a home, and where: given by a file that it holds a lock on."""

from __future__ import annotations

import fcntl
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from tasks.errors import UsageError
from tasks.records.base import Record, StoredRecord
from tasks.stores.settings import Settings

_FILE = "up.json"
_SECONDS = 1.0
_LENGTH = 4096


class Running(StoredRecord):
    """What an `up` that runs says of itself."""

    pid: int
    since: datetime
    prefect: str
    mlflow: str
    serving: str
    log: str
    ready: bool = False

    @property
    def api(self) -> str:
        """Address of Prefect's API."""
        return f"{self.prefect}/api"


def running(settings: Settings) -> Running | None:
    """The `up` that runs in this home, if any."""
    path = settings.state / _FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(handle, _LENGTH, 0).decode().strip()
        return Running.model_validate_json(text) if text else None
    finally:
        os.close(handle)
    return None  # nobody holds it: it was left by one that ended


@contextmanager
def only_one(settings: Settings, record: Running) -> Iterator[Callable[[Running], None]]:
    """Be the only `up` of a home while the block runs, and say so; what is yielded says it anew.

    Raises:
        UsageError: another runs there.
    """
    handle = os.open(settings.state / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(handle, settings)
        _write(handle, record)
        yield lambda message: _write(handle, message)
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _write(handle: int, record: Running) -> None:
    text = record.stored_json().encode()
    os.pwrite(handle, text.ljust(_LENGTH), 0)  # one write of one length: who reads meanwhile finds all of it


def _take(handle: int, settings: Settings) -> None:
    deadline = time.monotonic() + _SECONDS  # who only looks holds it for a moment
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UsageError(f"`perennial up` runs in {settings.root} already; `perennial down` ends it.") from None
            time.sleep(0.05)
        else:
            return


class Health(Record):
    """What answers of an `up`: `up`, `no answer`, or nothing where none runs; and the same in words."""

    states: dict[str, str]
    message: str


def health(found: Running | None) -> Health:
    """Whether the servers of an `up` answer."""
    if found is None:
        return Health(states={}, message="nothing runs here; `perennial up` starts it")
    addresses = {
        "prefect": (found.prefect, f"{found.api}/health"),
        "mlflow": (found.mlflow, f"{found.mlflow}/health"),
        "serving": (found.serving, f"{found.serving}/health"),
    }
    states = {name: "up" if answers(look) else "no answer" for name, (_, look) in addresses.items()}
    since = f"{'up' if found.ready else 'starting'} since {found.since:%Y-%m-%d %H:%M} UTC (process {found.pid})"
    message = [f"{name} {addresses[name][0]} {state}" for name, state in states.items()]
    return Health(states={**states, "up": "ready" if found.ready else "starting"}, message="; ".join([since, *message]))


def answers(url: str) -> bool:
    """Whether an address of our own answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # an address of our own
            return 200 <= int(answer.status) < 300
    except (urllib.error.URLError, OSError):
        return False
