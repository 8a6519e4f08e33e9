"""A process whose children put labels, and land them, until it kills them. Arguments: home, a YAML, kills, a seed.

It prints, as JSON, the keys that each child was reported are kept.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from configs.load import read
from configs.schema import PipelineConfig
from perennial.serving.feedback import Feedback
from tasks.stores.settings import Settings


def put(home: Path, config: PipelineConfig, tell: int) -> None:
    """Put labels for ever, a few at a time."""
    feedback = Feedback(Settings(home=home), {config.name: config}, land_seconds=0.01)
    number = 0
    while True:
        rows = [{"id": os.getpid() * 1000 + number * 2 + one, "y": number / 7} for one in range(2)]
        feedback.put(config.name, rows)
        os.write(tell, f"{rows[0]['id']} {rows[1]['id']}\n".encode())
        number += 1
        time.sleep(0.002)


def main(home: Path, config: PipelineConfig, kills: int, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    kept: list[int] = []
    for _ in range(kills):
        out, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                put(home, config, tell)
            finally:
                os._exit(1)
        os.close(tell)
        time.sleep(float(rng.uniform(0.02, 0.3)))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "the child ended by itself"
        with os.fdopen(out, "rb") as said:
            kept += [int(word) for word in said.read().split()]
    return kept


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), read(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))))
