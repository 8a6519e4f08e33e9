"""A process that takes in what lands, again and again, tells what it is at, and may be killed at any moment.

The steps are those of the flow `ingest`, without Prefect: an ingest run takes milliseconds, and kills meet it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from benchmarks.crash_files import COLUMNS, repaired
from configs.schema import PipelineConfig
from tasks.context import StageContext
from tasks.ingestion import stage as ingestion
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.export import export
from tasks.quarantine.readmission import ReadmitRequest, pending_files, prepare_readmission
from tasks.quarantine.select import Selection
from tasks.stores.lake.delta import TransactionRows
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.lake.tables import Lake
from tasks.stores.locks.lock import hold
from tasks.stores.settings import Settings, load_settings
from tasks.upkeep import stage as upkeep
from tasks.validation import commit as taking

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RESTING, WAITING = "resting", "waiting"
WRITES = ("duplicates", "rows", "merge", "quarantine", "expectations", "resolutions", "ledger")
LIVE = ("looking", "reading", "validation", *WRITES, "clearing")
NOWHERE = 255
OTHERS = ("giving back", "upkeep")
PHASES = (RESTING, WAITING, *LIVE, *OTHERS)
_TABLES = {"observations": "rows", "batches": "ledger"}


class Teller:
    """Tells, in a byte that the parent reads, what the process is at, and dies where it was asked to.

    Args:
        shared: The parent's: the phase, the phase to die at (NOWHERE: none), and whether to end.
    """

    def __init__(self, shared: memoryview) -> None:
        self._shared = shared

    def __call__(self, phase: str) -> None:
        """Tell a phase as it begins."""
        number = PHASES.index(phase)
        self._shared[0] = number
        if self._shared[1] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    @property
    def ended(self) -> bool:
        """Whether the parent asked to end."""
        return bool(self._shared[2])


Tell = Callable[[str], None]


def quiet(_: str) -> None:
    """Tell nobody."""


def watch(tell: Tell) -> None:
    """Report the steps of validation and writing as they begin."""
    validate, append, merge, replace = (
        taking._decide_verdicts,
        Lake.append_parts_once,
        Lake.merge_parts_once,
        Lake.replace,
    )

    def validating(*arguments: Any) -> Any:
        tell("validation")
        return validate(*arguments)

    def appending(lake: Lake, table: Any, parts: Sequence[TransactionRows]) -> int:
        if parts:
            tell(_TABLES.get(table, table))
        return append(lake, table, parts)

    def merging(lake: Lake, table: Any, parts: Sequence[TransactionRows], on: Sequence[str]) -> int:
        tell("merge")
        return merge(lake, table, parts, on)

    def replacing(lake: Lake, table: Any, rows: Any, where: str) -> None:
        tell("duplicates")
        replace(lake, table, rows, where)

    places: list[tuple[Any, str, Any]] = [
        (taking, "_decide_verdicts", validating),
        (Lake, "append_parts_once", appending),
        (Lake, "merge_parts_once", merging),
        (Lake, "replace", replacing),
    ]
    for place, name, function in places:
        setattr(place, name, function)


def ingest(config: PipelineConfig, settings: Settings, tell: Tell = quiet, only: Sequence[str] | None = None) -> int:
    """One ingest run; how many files it took."""
    tell(WAITING)
    context = StageContext(config, settings, NOW, actor="benchmark")
    count = 0
    with hold(settings, f"{config.name}.data") as lock:
        tell("looking")
        for group in ingestion.commit_groups(ingestion.discover(context, only).files):
            tell("reading")
            staged = ingestion.read(context, group)
            lock.check()
            if staged:
                count += len(taking.commit_batches(config, settings, staged, NOW, config.expectations))
            tell("clearing")
            for batch in staged:
                if batch.staged:
                    Path(batch.staged).unlink(missing_ok=True)
    tell(RESTING)
    return count


def give_back(config: PipelineConfig, settings: Settings, tell: Tell = quiet) -> int:
    """Fix rows that wait in quarantine, give them back and take them in; how many."""
    tell(WAITING)
    with hold(settings, f"{config.name}.data"):
        earlier = pending_files(config, settings)
        if earlier:
            ingest(config, settings, tell, earlier)
        tell("giving back")
        quarantine = Quarantine(Lake(settings, config))
        chosen = quarantine.resolve(Selection())
        rows = [row for table in quarantine.rows(chosen) for row in table.to_pylist()]
        if not rows:
            return 0
        out = settings.root / f"export-{uuid4().hex}.jsonl"
        export(config, quarantine, chosen, out)
        lines = [repaired(json.loads(line)) for line in out.read_text().splitlines()]
        kept = [{name: line[name] for name in (ORIGIN, *COLUMNS)} for line in lines]
        out.write_text("".join(json.dumps(line) + "\n" for line in kept))
        handed = prepare_readmission(config, settings, ReadmitRequest(Selection(), out, None), (), NOW)
        ingest(config, settings, tell, tuple(handed.ingest_paths))
    return len(rows)


def tend(config: PipelineConfig, settings: Settings, tell: Tell = quiet) -> None:
    """One run of upkeep."""
    context = StageContext(config, settings, NOW, actor="benchmark")
    tell(WAITING)
    with hold(settings, f"{config.name}.model"), hold(settings, f"{config.name}.data"):
        tell("upkeep")
        for table in Lake(settings, config).tables:
            upkeep.maintain_table(context, table, [], dry_run=False)
        upkeep.clear_staging(context, dry_run=False)


def live(config: PipelineConfig, shared: memoryview, seed: Sequence[int], extras: bool) -> None:
    """Work until asked to end: mostly ingest; with `extras` now and then give rows back, or tend the lake."""
    settings, tell, rng = load_settings(), Teller(shared), np.random.default_rng(seed)
    watch(tell)
    while not tell.ended:
        dice = rng.random() if extras else 1.0
        if dice < 0.08:
            give_back(config, settings, tell)
        elif dice < 0.14:
            tend(config, settings, tell)
        else:
            ingest(config, settings, tell)
        tell(RESTING)
        time.sleep(float(rng.uniform(0.0, 0.03)))
