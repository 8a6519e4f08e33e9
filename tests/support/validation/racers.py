"""Six processes take in thirty batches at once and are killed while they do.

Run by `python -m tests.support.validation.racers`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import crash, crash_files
from configs import load
from tasks.ingestion import stage

FILES, PROCESSES, KILLS, SEED = 32, 6, 10, 11  # two of the files are others under another name


def main(base: Path) -> None:
    """Race below a folder, and tell how many were killed at work."""
    import great_expectations.validator.validator  # noqa: F401  # the racers are to inherit it

    pool, errors, home = base / "files", base / "errors", base / "raced"
    for folder in (pool, errors):
        folder.mkdir()
    config = load.read(crash_files.write_config(base))
    crash.make_files(pool, FILES, SEED)
    crash.use(home)
    stage._GROUP_FILES = 2  # so that there are as many commits as batches want
    landing = crash.Landing(pool, home / "landing" / crash_files.NAME)
    landing.land(12)
    toll = crash.shake(config, landing, KILLS, PROCESSES, SEED, errors, extras=False)
    landing.land(FILES)
    told = [path.read_text() for path in errors.iterdir()]
    print(json.dumps({"killed": toll.live, "failed": toll.failed, "errors": told, "steps": len(toll.steps)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
