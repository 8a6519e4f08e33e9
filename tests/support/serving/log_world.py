"""What tests of the prediction log share: answers, meters that remember, rows of the lake."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from perennial.serving.log.record import DropReason, InputCounts, LogSettings, Meters, PredictionLog, PredictionRecord
from tasks.stores.settings import Settings

AT = 1_780_000_000_000_000


class Remembered:
    """Meters that add up."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.why: Counter[str] = Counter()
        self.files = self.size = 0
        self.columns: dict[str, list[InputCounts]] = {}

    def _add(self, what: str, pipeline: str, rows: int) -> None:
        assert pipeline == "served"
        self.rows[what] += rows

    def written(self, pipeline: str, rows: int) -> None:
        self._add("written", pipeline, rows)

    def shipped(self, pipeline: str, rows: int) -> None:
        self._add("shipped", pipeline, rows)

    def dropped(self, pipeline: str, rows: int, why: DropReason) -> None:
        self._add("dropped", pipeline, rows)
        self.why[why] += rows

    def lost(self, pipeline: str, rows: int) -> None:
        self._add("lost", pipeline, rows)

    def waiting(self, files: int, size: int) -> None:
        self.files, self.size = files, size

    def inputs(self, pipeline: str, column: str, counts: InputCounts) -> None:
        assert pipeline == "served"
        self.columns.setdefault(column, []).append(counts)


def answer(request: str, ids: list[int], *, pipeline: str = "served", **changes: Any) -> PredictionRecord:
    """An answer for rows of the tests' pipeline."""
    rows = len(ids)
    columns: Mapping[str, list[Any]] = {
        "id": ids,
        "x1": [0.1 * one for one in ids],
        "x2": [None] * rows,
        "kind": ["bus"] * rows,
    }
    made = PredictionRecord(
        pipeline, request, AT, "champion", 1, range(rows), columns, [1 / (one + 3) for one in ids], {}, 2.0, 1.0, ""
    )
    return made._replace(**changes)


def log_of(
    home: Path, config: PipelineConfig, meters: Meters | None = None, *, places: Settings | None = None, **bounds: Any
) -> PredictionLog:
    """A log that ships ten times a second."""
    rhythm = {"ship_seconds": 0.1, "hurry_seconds": 0.1, "flush_seconds": 0.02, **bounds}
    settings = Settings(home=home)
    found = LogSettings(folder=settings.state / "served", **rhythm)
    return PredictionLog(found, places or settings, {config.name: config}, meters or Remembered())


def rows_of(home: Path, config: PipelineConfig) -> list[dict[str, Any]]:
    """Rows of the lake's table `served`, by request and position."""
    from tasks.stores.lake.tables import Lake

    found = Lake(Settings(home=home), config).read("served").to_pylist()
    return sorted(found, key=lambda row: (row["_request"], row["_position"], row["_role"]))


def await_that(what: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
