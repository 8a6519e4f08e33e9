"""Several processes on one socket: started, started again when they die, and ended together."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from perennial.serving.listen import log_address
from perennial.serving.metrics import FOLDER, remove_process
from perennial.serving.settings import ServeSettings
from tasks.stores.settings import Settings

_log = logging.getLogger("perennial.serving")
_METRICS, _HELD = "metrics-", "held"
_PAUSE, _LONGEST = 0.5, 30.0
_STEADY_SECONDS = 30.0
_SHUTDOWN_SECONDS = 30.0  # after the last request: the log, and labels, to where they go


class _StopError(Exception):
    """Asked to end."""


def supervise(settings: Settings, serve: ServeSettings, only: tuple[str, ...], listening: socket.socket) -> int:
    """Keep the processes alive until SIGTERM or SIGINT; the exit code.

    Args:
        settings: Places.
        serve: How many.
        only: The pipelines to serve.
        listening: The socket that they share.
    """
    log_address(serve, listening)
    folder = _folder(settings.state)
    os.set_inheritable(listening.fileno(), True)
    command = [sys.executable, "-m", "perennial.serving.child", str(listening.fileno()), *only]
    environment = {**os.environ, FOLDER: folder}
    os.environ[FOLDER] = folder  # where the dead are forgotten
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    children: list[subprocess.Popen[bytes]] = []
    try:
        children += [_start(command, environment, listening) for _ in range(serve.workers)]
        _watch(children, command, environment, listening)
    except _StopError:
        _log.info("ending")
    finally:
        _end(children, 2 * serve.drain_seconds + _SHUTDOWN_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _folder(state: Path) -> str:
    """A folder for the processes' numbers, held by a lock; those of services that were killed are removed."""
    for stale in state.glob(f"{_METRICS}*"):
        with suppress(OSError), (stale / _HELD).open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(stale, ignore_errors=True)
    found = tempfile.mkdtemp(prefix=_METRICS, dir=state)
    held = os.open(Path(found) / _HELD, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_EX)  # until this process ends, however
    return found


def _stop(_: int, __: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise _StopError


def _start(command: list[str], environment: dict[str, str], listening: socket.socket) -> subprocess.Popen[bytes]:
    # Its standard input is a pipe of ours: when it closes, we are gone, however, and the child ends.
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, pass_fds=[listening.fileno()])


def _watch(
    children: list[subprocess.Popen[bytes]], command: list[str], environment: dict[str, str], listening: socket.socket
) -> None:
    pause, last = _PAUSE, time.monotonic()
    while True:
        time.sleep(0.2)
        for child in [one for one in children if one.poll() is not None]:
            children.remove(child)
            remove_process(child.pid)
            now = time.monotonic()
            pause, last = (_PAUSE if now - last > _STEADY_SECONDS else min(pause * 2, _LONGEST)), now
            _log.error("a process ended; another is started", extra={"pid": child.pid, "exit": child.returncode})
            time.sleep(pause)
            children.append(_start(command, environment, listening))


def _end(children: list[subprocess.Popen[bytes]], seconds: float) -> None:
    for child in children:
        child.terminate()
    until = time.monotonic() + seconds
    for child in children:
        try:
            child.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
