"""The clean process of gate S01: it loads a candidate as a service would, and predicts its stored sample."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_TIMEOUT_SECONDS = 120


class CleanProcess:
    """A process with only the imports of a model loader. It ends when its input is closed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._differences: dict[str, str] = {}

    def start(self) -> None:
        """Start it, once; its imports run in parallel with the work before the request."""
        if self._child is not None:
            return
        command = [sys.executable, "-m", "tasks.stores.registry.models"]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def difference(self, folder: str, trusted: Sequence[str]) -> str:
        """Load the model in a folder and predict its sample; return the difference found, empty if none.

        Each model is checked once; further calls return the same result.
        """
        if folder not in self._differences:
            self._differences[folder] = self._request_difference(folder, trusted)
        return self._differences[folder]

    def _request_difference(self, folder: str, trusted: Sequence[str]) -> str:
        self.start()
        child = self._child
        if child is None:
            raise RuntimeError("the clean process was not started")
        request = json.dumps({"folder": folder, "trusted": list(trusted)})
        try:
            output, error_output = child.communicate(request, timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the clean process did not respond within {_TIMEOUT_SECONDS} s"
        if child.returncode != 0:
            last = error_output.strip().splitlines()[-1:] or ["no message"]
            return f"the clean process exited with {child.returncode}: {last[0][:300]}"
        return str(json.loads(output)["difference"])

    def close(self) -> None:
        """Terminate it, if it is running."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


_current: ContextVar[CleanProcess | None] = ContextVar("clean_process", default=None)


@contextmanager
def clean_process(kind: type[CleanProcess] = CleanProcess) -> Iterator[CleanProcess]:
    """A clean process, not started yet, that is terminated at the end of the block; inside another such block, its own.

    So whoever trains can start it while the model is fitted, and the evaluation in the block finds it ready.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    process = kind()
    token = _current.set(process)
    try:
        yield process
    finally:
        _current.reset(token)
        process.close()
