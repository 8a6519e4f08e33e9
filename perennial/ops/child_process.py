"""Runs a module as the child of a supervisor: the whole process group ends when the supervisor does, however it ends.

    python -m perennial.ops.child_process MODULE [ARGUMENT ...]

Standard input must be a pipe that the supervisor holds the other end of. When that closes, the group is asked to end,
and killed if it does not.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

_GRACE_SECONDS = 10.0


def end_with_parent() -> None:
    """Watch standard input in the background; end the process group when it closes."""
    threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would be held while the interpreter shuts down
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
