"""How many threads BLAS and OpenMP have: sums, and so models, can differ by it in their last digit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from tasks.errors import PerennialError


def available_threads(most: int) -> int:
    """Threads to work with: at most so many, and no more than OMP_NUM_THREADS, or the process's cores, allow."""
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if limit.isdigit() and int(limit) > 0:
        return min(most, int(limit))
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(most, known)


@contextmanager
def limit_threads(number: int) -> Iterator[None]:
    """Give the libraries that are loaded just so many threads while the block runs.

    Raises:
        PerennialError: one of them took fewer.
    """
    libraries = ThreadpoolController()
    with libraries.limit(limits=number):
        for one in libraries.info():
            if one["num_threads"] != number:
                raise PerennialError(
                    f"{one['internal_api']} took {one['num_threads']} threads where {number} were asked for. Set "
                    f"OMP_NUM_THREADS={number} and OPENBLAS_NUM_THREADS={number}, and run this again."
                )
        yield
