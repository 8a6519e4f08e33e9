"""A way round a C library that loses wake-ups."""

from __future__ import annotations

import sys

_SECONDS = 10.0


def switch_rarely() -> None:
    """Let threads keep the interpreter until they wait for something, as servers and flows do all the time.

    Where a thread must give the interpreter up to another, CPython waits, without a limit, to be woken; glibc before
    2.41 sometimes loses that call (its bug 25847), and the process then hangs for ever. It was seen several times an
    hour with Prefect's server under load, on glibc 2.36.
    """
    sys.setswitchinterval(_SECONDS)
