"""Which process answers for which run: real processes, killed -9 and forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.stores.locks.flow_runs import process_ended, register_process, remove_ended
from tasks.stores.settings import Settings
from tests.support.processes import until
from tests.support.world import ROOT

# It registers a run; told so, it forks a child that registers another, and a third after all.
PROCESS = """
import os, sys, time
from tasks.stores.locks.flow_runs import register_process
from tasks.stores.settings import load_settings
register_process(load_settings(), "a1")
if "fork" in sys.argv:
    pid = os.fork()
    if pid == 0:
        register_process(load_settings(), "b2")
        time.sleep(600)
        os._exit(0)
    print(pid, end=" ")
    register_process(load_settings(), "c3")
print("registered", flush=True)
time.sleep(600)
"""


@contextmanager
def process(*words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that has registered, and what it said."""
    child = subprocess.Popen([sys.executable, "-c", PROCESS, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.readline().split()
    assert said[-1:] == ["registered"]
    try:
        yield child, said
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def files(settings: Settings, folder: str) -> list[str]:
    return sorted(one.name for one in (settings.state / folder).iterdir())


def test_a_run_is_gone_when_its_process_is_and_not_before(settings: Settings) -> None:
    assert not process_ended(settings, "a1"), "of a run that nobody noted nothing is known"
    with process():
        assert not process_ended(settings, "a1")
    assert process_ended(settings, "a1")


def test_who_registers_later_answers(settings: Settings) -> None:
    with process():
        register_process(settings, "a1")
    assert not process_ended(settings, "a1")


def test_a_forked_child_answers_for_its_own_runs_alone(settings: Settings) -> None:
    with process("fork") as (parent, said):
        child = int(said[0])
        until(lambda: "b2" in files(settings, "runs"))
        try:
            assert not any(process_ended(settings, run) for run in ("a1", "b2", "c3"))
            parent.kill()
            parent.wait()
            assert [process_ended(settings, run) for run in ("a1", "b2", "c3")] == [True, False, True]
        finally:
            os.kill(child, signal.SIGKILL)
        until(lambda: process_ended(settings, "b2"))


def test_notes_are_forgotten_once_their_run_and_process_have_ended(settings: Settings) -> None:
    register_process(settings, "d4")
    with process():
        remove_ended(settings, unfinished=set())
        assert files(settings, "runs") == ["a1", "d4"], "a process that lives may still say how its run ended"
    remove_ended(settings, unfinished={"a1"})
    assert files(settings, "runs") == ["a1", "d4"]
    assert len(files(settings, "processes")) == 2
    remove_ended(settings, unfinished=set())
    assert files(settings, "runs") == ["d4"]
    assert len(files(settings, "processes")) == 1
    assert not process_ended(settings, "d4")
