"""A Delta table made older than it is: the times of its files, and those inside its log."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tasks.stores.lake import delta

_TIMES = {"commitInfo": "timestamp", "add": "modificationTime", "remove": "deletionTimestamp", "txn": "lastUpdated"}
_DAY = 86_400


def age(table: Path, days: float) -> None:
    """Make everything of a table so many days older, as if nobody had touched it since. Checkpoints are made anew."""
    checkpoints = [path for path in table.glob("_delta_log/*") if "checkpoint" in path.name]
    for path in checkpoints:
        path.unlink()
    for path in [one for one in table.rglob("*") if one.is_file()]:
        moment = path.stat().st_mtime - days * _DAY
        if path.suffix == ".json":
            lines = [_older(json.loads(line), days) for line in path.read_text(encoding="utf-8").splitlines()]
            path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        os.utime(path, (moment, moment))
    for number in sorted(int(path.name.partition(".")[0]) for path in checkpoints if path.suffix == ".parquet"):
        then = delta.open_table(str(table), number)
        assert then is not None
        then.create_checkpoint()


def _older(action: dict[str, dict[str, object]], days: float) -> dict[str, dict[str, object]]:
    for kind, name in _TIMES.items():
        moment = action.get(kind, {}).get(name)
        if isinstance(moment, int):
            action[kind][name] = int(moment - days * _DAY * 1000)
    return action
