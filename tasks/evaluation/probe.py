"""Gate S01's clean process: it loads a candidate as a service would, and answers its stored sample."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_ANSWER_SECONDS = 120


class CleanProcess:
    """A process that has imported what a loader needs and nothing of this one's state. It ends with its input."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._answers: dict[str, str] = {}

    def start(self) -> None:
        """Start it, once: its imports run beside what comes before the question."""
        if self._child is not None:
            return
        command = [sys.executable, "-m", "tasks.stores.registry.models"]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def difference(self, folder: str, trusted: Sequence[str]) -> str:
        """Ask it to load the model in a folder and answer its sample: what differed, empty if nothing.

        It looks at one model, once: asked for it again, it tells the same.
        """
        if folder not in self._answers:
            self._answers[folder] = self._ask(folder, trusted)
        return self._answers[folder]

    def _ask(self, folder: str, trusted: Sequence[str]) -> str:
        self.start()
        child = self._child
        if child is None:
            raise RuntimeError("the clean process was not started")
        question = json.dumps({"folder": folder, "trusted": list(trusted)})
        try:
            told, complaint = child.communicate(question, timeout=_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the clean process gave no answer within {_ANSWER_SECONDS} s"
        if child.returncode != 0:
            last = complaint.strip().splitlines()[-1:] or ["no message"]
            return f"the clean process ended with {child.returncode}: {last[0][:300]}"
        return str(json.loads(told)["difference"])

    def end(self) -> None:
        """End it, if it still runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


@contextmanager
def clean_process() -> Iterator[CleanProcess]:
    """A clean process, not started yet, that is ended with the block."""
    process = CleanProcess()
    try:
        yield process
    finally:
        process.end()
