"""Keeps child processes alive: starts them in order, watches their health, restarts what dies, ends all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from perennial.ops.running import answers
from tasks.errors import PerennialError, UsageError

_GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.2
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY_SECONDS = 1.0, 30.0, 60.0


class StartError(PerennialError):
    """A child did not come up."""


@dataclass(frozen=True)
class SupervisedProcess:
    """A child to keep alive.

    Attributes:
        name: For people, in the log.
        module: The module that it runs, with its arguments.
        environment: What is added to the environment.
        health: Address that answers 2xx once it is up; empty where nothing listens.
        ready: Line that it says once it is up, where nothing listens.
        patience: Seconds it may take to come up.
    """

    name: str
    module: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    health: str = ""
    ready: str = ""
    patience: float = 120.0


class _Child:
    """One service's present process."""

    def __init__(self, service: SupervisedProcess, log: Callable[[str, str], None]) -> None:
        self.service = service
        self._log = log
        self._said = threading.Event()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "perennial.ops.child_process", *service.module],
            stdin=subprocess.PIPE,  # while it is open, we live
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **service.environment},
            start_new_session=True,  # Ctrl-C is for us; we end them in order
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, name=service.name, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            if self.service.ready and self.service.ready in line:
                self._said.set()
            if line.strip():
                self._log(self.service.name, line.rstrip())

    def up(self) -> bool:
        """Whether it answers, or said that it is ready."""
        return answers(self.service.health) if self.service.health else self._said.is_set() or not self.service.ready

    def end(self) -> None:
        """End its process group, also what it left behind."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._log(self.service.name, f"did not end within {_GRACE_SECONDS:g} s, killed")
        self._signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return  # the whole group has ended


class Supervisor:
    """Children, started in order and ended in the reverse one.

    Args:
        log: Takes a child's name and a line that it said.
    """

    def __init__(self, log: Callable[[str, str], None]) -> None:
        self._log = log
        self._children: list[_Child] = []
        self._pauses: dict[str, float] = {}
        self._due: dict[str, tuple[float, SupervisedProcess]] = {}

    def start(self, services: Sequence[SupervisedProcess], stop: threading.Event) -> None:
        """Start children at once and wait until all are up, or `stop` is set.

        Raises:
            StartError: one ended, was not up in time, or its process could not be made.
        """
        if stop.is_set():
            return
        waiting: list[_Child] = []
        for service in services:
            try:
                waiting.append(_Child(service, self._log))
            except OSError as error:
                raise StartError(f"{service.name} could not be started: {error.strerror or error}.") from None
            self._children.append(waiting[-1])
        while waiting := [child for child in waiting if not child.up()]:
            for child in waiting:
                self._refuse_failed(child)
            if stop.wait(_POLL_SECONDS):
                return

    @staticmethod
    def _refuse_failed(child: _Child) -> None:
        name, code = child.service.name, child.process.poll()
        if code is not None:
            raise StartError(f"{name} ended while starting (exit {code}); see its lines above.")
        if time.monotonic() > child.started + child.service.patience:
            raise StartError(f"{name} was not up within {child.service.patience:g} s; see its lines above.")

    def watch(self, stop: threading.Event) -> None:
        """Restart what dies, after a pause that doubles while it keeps dying, until asked to stop."""
        while not stop.wait(_POLL_SECONDS):
            now = time.monotonic()
            for child in [one for one in self._children if one.process.poll() is not None]:
                self._bury(child, now)
            for name, (when, service) in list(self._due.items()):
                if now >= when:
                    del self._due[name]
                    self._restart(service, now)

    def stop(self) -> None:
        """End all children, the last started first."""
        while self._children:
            self._children.pop().end()

    def state(self) -> dict[str, str]:
        """Each service and whether it is up."""
        return {one.service.name: "up" if one.up() else "starting" for one in self._children} | dict.fromkeys(
            self._due, "restarting"
        )

    def _restart(self, service: SupervisedProcess, now: float) -> None:
        try:
            self._children.append(_Child(service, self._log))
        except OSError as error:  # no memory or no process left for now: as if it had died at once
            self._again(service, now, f"could not be started ({error.strerror or error})", steady=False)

    def _bury(self, child: _Child, now: float) -> None:
        code, steady = child.process.returncode, now - child.started > _STEADY_SECONDS
        self._children.remove(child)
        child.end()  # of what it had started, something may still hold its port
        self._again(child.service, now, f"ended (exit {code})", steady=steady)

    def _again(self, service: SupervisedProcess, now: float, message: str, *, steady: bool) -> None:
        """Start a service again after a pause that doubles while it keeps dying."""
        name = service.name
        pause = _FIRST_PAUSE if steady else min(self._pauses.get(name, _FIRST_PAUSE / 2) * 2, _LONGEST_PAUSE)
        self._pauses[name] = pause
        self._log(name, f"{message}, starts again in {pause:g} s")
        self._due[name] = (now + pause, service)


def refuse_taken(port: int, what: str, option: str) -> None:
    """Refuse a loopback port that something listens on.

    Raises:
        UsageError: it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"Port {port}, for {what}, can't be used ({error.strerror}): another program listens there. "
                f"End it, or choose another port with {option}."
            ) from None
