"""Children kept alive and ended in order: real processes that die, hang, have children of their own, or can't start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perennial.ops import supervisor as supervising
from perennial.ops.supervisor import StartError, SupervisedProcess, Supervisor, refuse_taken
from tasks.errors import UsageError
from tests.support.processes import Process, await_end, stat, still_runs, until
from tests.support.world import ROOT

# It has a child of its own, says both pids, then that it is ready, then does as its argument says.
PARENT = """
import signal, subprocess, sys, time, os
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pids", os.getpid(), child.pid, flush=True)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready" if "mute" not in sys.argv else "busy", flush=True)
if "die" in sys.argv:
    sys.exit(3)
time.sleep(600)
"""
SUPERVISOR = """
import sys, threading
from perennial.ops.supervisor import SupervisedProcess, Supervisor
own = Supervisor(lambda name, line: print(line, flush=True))
own.start([SupervisedProcess("one", ["parent"], {"PYTHONPATH": sys.argv[1]}, ready="ready")], threading.Event())
own.watch(threading.Event())
"""


class Log:
    """Lines of all children."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def of(self, words: str, name: str = "one") -> list[str]:
        return [line for who, line in self.lines if who == name and words in line]

    def pids(self, name: str = "one") -> list[tuple[Process, Process]]:
        """Each process that a service had, and its child, while they live."""
        made = [line.split()[1:] for line in self.of("pids ", name)]
        return [((int(own), started(int(own))), (int(child), started(int(child)))) for own, child in made]


def started(pid: int) -> str:
    """When a process started; nothing where it has ended."""
    told = stat(pid)
    return told[19] if told else ""


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def supervisor(log: Log) -> Iterator[Supervisor]:
    one = Supervisor(log)
    yield one
    one.stop()


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., SupervisedProcess]:
    """Makes a service that runs PARENT."""
    (tmp_path / "parent.py").write_text(PARENT, encoding="utf-8")

    def make(*words: str, name: str = "one", ready: str = "ready", patience: float = 20.0) -> SupervisedProcess:
        return SupervisedProcess(
            name, ["parent", *words], {"PYTHONPATH": str(tmp_path)}, ready=ready, patience=patience
        )

    return make


@contextmanager
def watching(supervisor: Supervisor) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.watch, args=(stop,))
    thread.start()
    try:
        yield
        assert thread.is_alive(), "nothing that happens to a child ends the watch"
    finally:
        stop.set()
        thread.join(30)


def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of 0.2, 0.4, 0.6, 0.6 ... seconds."""
    monkeypatch.setattr(supervising, "_FIRST_PAUSE", 0.2)
    monkeypatch.setattr(supervising, "_LONGEST_PAUSE", 0.6)
    monkeypatch.setattr(supervising, "_POLL_SECONDS", 0.02)


def test_all_are_up_when_start_returns_and_all_end_with_their_own_children(
    supervisor: Supervisor, service: Callable[..., SupervisedProcess], log: Log
) -> None:
    supervisor.start([service(), service(name="two")], threading.Event())
    assert supervisor.state() == {"one": "up", "two": "up"}
    family = {process for name in ("one", "two") for pair in log.pids(name) for process in pair}
    assert len(family) == 4
    assert all(still_runs(process) for process in family)
    supervisor.stop()
    assert await_end(family) == set()
    assert supervisor.state() == {}


def test_what_listens_is_up_once_it_answers(supervisor: Supervisor) -> None:
    port = free_port()
    web = SupervisedProcess(
        "web", ["http.server", str(port), "--bind", "127.0.0.1"], health=f"http://127.0.0.1:{port}/"
    )
    supervisor.start([web], threading.Event())
    assert supervisor.state() == {"web": "up"}
    with pytest.raises(UsageError, match=rf"Port {port}, for the web, can't be used .* choose another port with --web"):
        refuse_taken(port, "the web", "--web")
    supervisor.stop()
    refuse_taken(port, "the web", "--web")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("words", "told"),
    [(("mute", "die"), r"one ended while starting \(exit 3\)"), (("mute",), r"one was not up within 0\.5 s")],
)
def test_what_does_not_come_up_is_told_and_ended(
    words: tuple[str, ...], told: str, supervisor: Supervisor, service: Callable[..., SupervisedProcess], log: Log
) -> None:
    with pytest.raises(StartError, match=told):
        supervisor.start([service(*words, patience=0.5 if len(words) == 1 else 20.0)], threading.Event())
    until(lambda: log.of("pids "))
    family = {process for pair in log.pids() for process in pair if process[1]}
    supervisor.stop()
    assert await_end(family) == set()


def test_one_that_can_not_be_started_is_told_and_the_others_end(
    supervisor: Supervisor, service: Callable[..., SupervisedProcess], log: Log
) -> None:
    huge = SupervisedProcess("huge", ["parent"], {"TOO_LONG": "x" * 3_000_000})
    with pytest.raises(StartError, match=r"huge could not be started: Argument list too long\."):
        supervisor.start([service(), huge], threading.Event())
    until(lambda: log.of("pids "))
    family = {process for pair in log.pids() for process in pair}
    supervisor.stop()
    assert await_end(family) == set()


def test_starting_stops_when_told_to(supervisor: Supervisor, service: Callable[..., SupervisedProcess]) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    supervisor.start([service("mute")], stop)
    assert time.monotonic() - began < 10
    supervisor.start([service(name="never")], stop)
    assert "never" not in supervisor.state()


def test_what_dies_starts_again_after_growing_pauses_and_leaves_nothing_behind(
    supervisor: Supervisor, service: Callable[..., SupervisedProcess], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch)
    supervisor.start([service()], threading.Event())
    for times in range(1, 5):
        ((own, child),) = log.pids()[-1:]
        with watching(supervisor):
            (own_pid, _), began = own, time.monotonic()
            subprocess.run(["/bin/kill", "-9", str(own_pid)], check=True)
            until(lambda: len(log.pids()) == times + 1 and len(log.of("ready")) == times + 1)  # noqa: B023
        assert await_end({own, child}) == set(), "its child may hold the port that it needs"
        pause = (0.2, 0.4, 0.6, 0.6)[times - 1]
        assert time.monotonic() - began >= pause
        assert log.of("starts again")[-1] == f"ended (exit -9), starts again in {pause:g} s"
    assert supervisor.state() == {"one": "up"}


def test_a_restart_that_fails_is_one_more_death(
    supervisor: Supervisor,
    service: Callable[..., SupervisedProcess],
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    quickly(monkeypatch)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))  # a program that can go away
    supervisor.start([service()], threading.Event())
    python.rename(tmp_path / "away")
    with watching(supervisor):
        subprocess.run(["/bin/kill", "-9", str(log.pids()[0][0][0])], check=True)
        until(lambda: log.of("could not be started"))
        (tmp_path / "away").rename(python)
        until(lambda: len(log.of("ready")) == 2)
    failed = "could not be started (No such file or directory), starts again in"
    assert log.of("could not be started")[0] == f"{failed} 0.4 s"
    assert supervisor.state() == {"one": "up"}


def test_one_that_does_not_listen_is_killed(
    supervisor: Supervisor, service: Callable[..., SupervisedProcess], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "_GRACE_SECONDS", 0.3)
    supervisor.start([service("deaf")], threading.Event())
    family = {process for pair in log.pids() for process in pair}
    supervisor.stop()
    assert await_end(family) == set()
    assert log.of("did not end within 0.3 s, killed")


def test_children_end_when_their_supervisor_is_killed(
    service: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    service()
    own = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert own.stdout is not None
    pids = [int(word) for word in own.stdout.readline().split()[1:]]
    assert own.stdout.readline() == "ready\n"
    family = {(pid, started(pid)) for pid in pids}
    assert len(family) == 2
    assert all(still_runs(process) for process in family)
    own.send_signal(signal.SIGKILL)
    own.wait()
    own.stdout.close()
    assert await_end(family) == set()
