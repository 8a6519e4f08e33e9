"""A process whose children put answers until it kills them. Arguments: home, a pipeline's YAML, kills, a seed.

It prints, as JSON, what each child says: its pid, and how many answers it began to put, and was done with.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from configs.load import read
from configs.schema import PipelineConfig
from tasks.stores.lake import tables  # noqa: F401  # the children fork after this
from tests.support.serving.log_world import answer, log_of

THREADS = 2
LOSE_ROWS = 200


def put(home: Path, config: PipelineConfig, said: memoryview) -> None:
    """Put answers for ever."""
    log = log_of(home, config, lose_rows=LOSE_ROWS, flush_seconds=0.03, ship_seconds=0.05, segment_rows=500)

    def work(thread: int) -> None:
        number = 0
        while True:
            rows = 1 if number % 50 else 250  # now and then more at once than may be lost
            said[thread] += rows
            log.put(answer(f"{os.getpid()}-{thread}-{number:06d}", list(range(rows))))
            said[THREADS + thread] += rows
            number += 1
            if number % 20 == 0:
                time.sleep(0.002)

    for thread in range(THREADS - 1):
        threading.Thread(target=work, args=(thread,), daemon=True).start()
    work(THREADS - 1)


def main(home: Path, config: PipelineConfig, kills: int, seed: int) -> list[dict[str, int]]:
    rng = np.random.default_rng(seed)
    told = []
    for _ in range(kills):
        shared = mmap.mmap(-1, 8 * 2 * THREADS)
        said = memoryview(shared).cast("Q")
        child = os.fork()
        if child == 0:
            try:
                put(home, config, said)
            finally:
                os._exit(1)
        time.sleep(float(rng.uniform(0.02, 0.5)))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "the child ended by itself"
        told.append({"pid": child, "began": sum(said[:THREADS]), "done": sum(said[THREADS:])})
    return told


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), read(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))))
