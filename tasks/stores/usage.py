"""What a piece of work takes of the machine: wall time, CPU time, memory."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from tasks.records.provenance import Cost

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Meter:
    """Runs from when it is made. One at a time in a process: the next one begins the count of memory anew."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), _cpu_seconds()
        # Where Linux does not let it be reset, the peak is that of the process so far.
        with suppress(OSError):
            _RESET.write_text("5", encoding="ascii")

    def cost(self) -> Cost:
        """What was taken so far."""
        return Cost(
            seconds=round(time.perf_counter() - self._began, 3),
            cpu_seconds=round(_cpu_seconds() - self._cpu, 3),
            peak_mebibytes=round(_peak_mebibytes(), 1),
        )


def _cpu_seconds() -> float:
    """CPU time of this process, and of its children that ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _peak_mebibytes() -> float:
    """Most resident memory since the last reset; where the system does not tell, of the whole process."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # bytes there, KiB elsewhere
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
