"""Processes that are killed while they take files in, and how many were in which step."""

from __future__ import annotations

import mmap
import os
import signal
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks import crash_child
from benchmarks.crash_child import LIVE, NOWHERE, OTHERS, PHASES
from configs.schema import PipelineConfig

_PATIENCE = 0.8
_LONGEST = 0.03


class Child:
    """A process that works, and the end that is meant for it.

    Args:
        config: The pipeline.
        seed: Of what it does.
        rng: Draws its end.
        errors: Folder that takes the traceback of one that ended with an error.
        extras: Whether it also gives rows back and tends the lake.
    """

    def __init__(
        self, config: PipelineConfig, seed: tuple[int, int], rng: np.random.Generator, errors: Path, *, extras: bool
    ) -> None:
        self._shared, self._rng = mmap.mmap(-1, 3), rng
        self._steps = [*LIVE, *OTHERS] if extras else [*LIVE]
        self._draw()
        self.pid = os.fork()
        if self.pid == 0:
            _work(config, memoryview(self._shared), seed, errors, extras=extras)

    @property
    def phase(self) -> str:
        """What it is at, or was at when it ended."""
        return PHASES[self._shared[0]]

    def _draw(self) -> None:
        """Draw where it is to end: as a step begins, or some time after."""
        self._until = time.monotonic() + _PATIENCE
        self._target = PHASES.index(str(self._rng.choice(self._steps)))
        self._delay, self._at = float(self._rng.uniform(0.0, _LONGEST)), 0.0
        self._border = bool(self._rng.random() < 0.5)
        self._shared[1] = self._target if self._border else NOWHERE

    def due(self) -> bool:
        """Whether it is to be killed now. Where what was drawn does not come to pass, something else is drawn."""
        now = time.monotonic()
        if now > self._until:
            self._draw()
        if self._border:
            return False
        if self._shared[0] != self._target:
            # The step was over sooner: the next time, sooner.
            self._delay, self._at = self._delay / (2 if self._at else 1), 0.0
            return False
        self._at = self._at or now + self._delay
        return now >= self._at

    def kill(self) -> int:
        """Kill it; its exit code. It is stopped first, so that what it tells is what it was at."""
        os.kill(self.pid, signal.SIGSTOP)
        status = os.waitpid(self.pid, os.WUNTRACED)[1]
        if os.WIFSTOPPED(status):
            os.kill(self.pid, signal.SIGKILL)
            status = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(status)

    def died(self) -> int | None:
        """Its exit code if it has ended by itself; minus nine where it killed itself at the step drawn for it."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def ask(self) -> None:
        """Ask it to end after its run."""
        self._shared[1], self._shared[2] = NOWHERE, 1

    def end(self) -> int:
        """Wait for its end; its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _work(config: PipelineConfig, shared: memoryview, seed: tuple[int, int], errors: Path, *, extras: bool) -> None:
    code = 1
    try:
        crash_child.live(config, shared, seed, extras=extras)
        code = 0
    except BaseException:
        (errors / f"{os.getpid()}.txt").write_text(traceback.format_exc())
    finally:
        os._exit(code)


class Toll:
    """How many were killed in which step, in the midst of it and as it began."""

    def __init__(self) -> None:
        self.within: Counter[str] = Counter()
        self.border: Counter[str] = Counter()
        self.failed: list[int] = []

    def count(self, phase: str, code: int, *, by_clock: bool) -> None:
        """Count one that ended, by its exit code and what it was at."""
        if code != -signal.SIGKILL:
            self.failed.append(code)
        else:
            (self.within if by_clock else self.border)[phase] += 1

    @property
    def live(self) -> int:
        """Those that were killed while they took files in."""
        return sum((self.within + self.border)[phase] for phase in LIVE)

    @property
    def steps(self) -> set[str]:
        """The steps that some were killed in."""
        return {phase for phase in LIVE if (self.within + self.border)[phase]}

    def table(self) -> str:
        """As a table."""
        lines = ["| step | killed in the midst | killed as it began |", "| --- | ---: | ---: |"]
        lines += [f"| {phase} | {self.within[phase]} | {self.border[phase]} |" for phase in PHASES]
        mine = [sum(counts[phase] for phase in LIVE) for counts in (self.within, self.border)]
        return "\n".join([*lines, f"| **while taking files in** | {mine[0]} | {mine[1]} |"])
