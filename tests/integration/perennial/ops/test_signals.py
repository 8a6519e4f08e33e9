"""Signals that come in a burst, in the middle of waiting for them, end a process as one does."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.world import ROOT

WAITER = """
import signal
from perennial.ops.signals import on_signals
stop = on_signals(signal.SIGTERM, signal.SIGINT)
print("waits", flush=True)
while not stop.wait(0.0005):
    pass
print("stopped", flush=True)
"""


@pytest.mark.parametrize("burst", [1, 300])
def test_however_many_signals_come_the_process_ends(burst: int) -> None:
    command = [sys.executable, "-c", WAITER]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        for number in range(burst):
            if process.poll() is None:
                os.kill(process.pid, (signal.SIGTERM, signal.SIGINT)[number % 2])
        try:
            assert process.wait(20) in (0, -signal.SIGTERM, -signal.SIGINT)  # the last may come while it ends
            assert process.stdout.read().startswith("stopped")
        finally:
            process.kill()
