"""The moves of benchmarks.swap, a rollback and a move back in turns: `python -m benchmarks.swap_moves NUMBER PAUSE`.

Each is what `perennial rollback` does. Prints, as JSON, when the registry was given each move, and the version.
"""

from __future__ import annotations

import json
import random
import sys
import time

from benchmarks.served import PIPELINE
from configs.load import load
from tasks.release.rollback_request import request_rollback
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import load_settings
from tasks.stores.state.tokens import Person


def main() -> None:
    """Move the champion to and fro."""
    number, pause = int(sys.argv[1]), float(sys.argv[2])
    found: list[tuple[float, int]] = []
    move = Tracking.set_champion

    def noted(self: Tracking, version: int) -> None:
        found.append((time.time(), version))
        move(self, version)

    Tracking.set_champion = noted  # type: ignore[method-assign]  # a rollback does much besides: this is the move
    config, settings = load(PIPELINE), load_settings()
    draw = random.Random(7)  # noqa: S311  # a benchmark's draw
    for place in range(number):
        to = None if place % 2 == 0 else 2
        request_rollback(config, settings, to, "benchmark", Person("benchmark", verified=False), lambda *_: None)
        time.sleep(draw.uniform(0.2, 2 * pause - 0.2))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
