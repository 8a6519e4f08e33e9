"""A Prefect server as our own child process: it ends when its parent does, however the parent ends."""

from __future__ import annotations

import argparse
import atexit
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from perennial.ops.guard import local
from perennial.ops.prefect_sqlite import StartInTurn, collect_aside, write_in_turn
from tasks.errors import PerennialError
from tasks.origins import loopback
from tasks.stores.settings import QUIET, Settings

_START_SECONDS = 300.0  # servers that start at once on an empty home prepare the database one after the other
_POLL_SECONDS = 0.05


class ServerError(PerennialError):
    """The embedded Prefect server did not start."""


class LocalServer:
    """A Prefect server on a free loopback port, its database below home.

    The child holds the other end of a pipe. When this process ends, also by kill -9, the pipe closes and the child
    ends.
    """

    def __init__(self, settings: Settings) -> None:
        self._log = settings.state / "prefect-server.log"
        self._prefect_home = settings.prefect_home
        self.url = ""
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child, not ready yet, and set PREFECT_API_URL for this process: before prefect is imported."""
        quiet_profile(self._prefect_home)
        child_only = {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "",  # it has no pages
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        }
        environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
        with self._log.open("ab") as log, socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))  # here and not in the child: until it listens, another could get the port
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            self._child = subprocess.Popen(
                [sys.executable, "-m", "perennial.ops.prefect_server", "--socket", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**environment, **child_only},
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is for the run; the child ends with it
            )
        atexit.register(self.stop)
        os.environ["PREFECT_API_URL"] = self.url

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            ServerError: it ended, or gave no answer in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._child is None or self._child.poll() is not None:
                raise ServerError(f"The embedded Prefect server ended while starting; see {self._log}.")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):  # noqa: S310  # our own loopback address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(_POLL_SECONDS)
        raise ServerError(f"The embedded Prefect server gave no answer within {_START_SECONDS:g} s; see {self._log}.")

    def stop(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None or child.stdin is None:
            return
        child.stdin.close()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def environment(settings: Settings) -> dict[str, str]:
    """What Prefect's settings must say before it is imported."""
    return {
        **QUIET,
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",  # a command waits at its end for the last batch
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


def embedded_environment(settings: Settings) -> dict[str, str]:
    """The same for a command that shows progress of its own: Prefect's lines go to its server alone."""
    return {
        **environment(settings),
        "PREFECT_LOGGING_SETTINGS_PATH": str(Path(__file__).with_name("logging.yml")),
    }


def quiet_profile(home: Path) -> None:
    """Keep `PREFECT_HOME=… prefect server start`, by which a person looks at past runs, from phoning home."""
    profile = home / "profiles.toml"
    if not profile.exists():
        home.mkdir(parents=True, exist_ok=True)
        text = 'active = "perennial"\n\n[profiles.perennial]\nPREFECT_SERVER_ANALYTICS_ENABLED = "false"\n'
        temporary = profile.with_name(f".{profile.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(profile)


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def _serve(port: int, listener: socket.socket | None, pages: Sequence[str]) -> None:
    """Serve on a loopback port, or on a socket that is bound to one; pages of these origins may ask."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    collect_aside()
    write_in_turn()
    import uvicorn
    from prefect.settings import get_current_settings

    reached = port if listener is None else listener.getsockname()[1]
    app = StartInTurn(local(loopback(reached), pages), get_current_settings().home)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="on")
    uvicorn.Server(config).run(None if listener is None else [listener])


def _main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a loopback port")
    parser.add_argument("--socket", type=int, help="in place of a port, the number of an inherited socket")
    parser.add_argument("pages", nargs="*", help="origins whose pages may ask")
    given = parser.parse_args(words)
    _serve(given.port, None if given.socket is None else socket.socket(fileno=given.socket), given.pages)


if __name__ == "__main__":
    _main(sys.argv[1:])
