"""`python -m perennial.serving.child SOCKET [NAME ...]`: one of several processes, on its parent's socket."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Serve until stopped, or until the parent is gone."""
    from perennial.serving.settings import load_settings as load_serve
    from perennial.serving.worker import run_worker
    from tasks.errors import PerennialError
    from tasks.stores.settings import load_settings

    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    listening = socket.socket(fileno=int(sys.argv[1]))
    try:
        run_worker(load_settings(), load_serve(), tuple(sys.argv[2:]), listening)
    except PerennialError as error:
        sys.stderr.write(f"perennial: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
