"""A way round a C library that loses wake-ups."""

from __future__ import annotations

import sys

_SECONDS = 0.1


def switch_rarely() -> None:
    """Let a thread keep the interpreter for longer, until it waits for something, as servers and flows often do.

    Where a thread must give the interpreter up to another, CPython waits, without a limit, to be woken; glibc before
    2.41 sometimes loses that call (its bug 25847), and the process then hangs for ever. It was seen several times an
    hour with Prefect's server under load, on glibc 2.36. Not longer than this: one that waits for the interpreter looks
    again after this time, should its own call be lost.
    """
    sys.setswitchinterval(_SECONDS)
