"""Landed files that are known to the ledger without a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from configs.schema import PipelineConfig
from tasks.ingestion.discover import landed_file
from tasks.records.data import BatchRecord, rules_digest
from tasks.stores.lake.tables import Lake
from tasks.stores.landing.folder import Folder
from tests.support.world import World

ROWS = "id,at,x1,x2,kind,y\n1,2026-01-01T00:00:00Z,1,2,bus,3\n"


def enter(
    world: World, config: PipelineConfig, path: Path, verdict: Literal["accepted", "rejected"] = "accepted"
) -> None:
    """Enter a landed file into the ledger, as ingest would."""
    file = landed_file(Folder(path.parent), path.name, "observations")
    lake = Lake(world.settings, config)
    lake.create()
    record = BatchRecord(
        seq=1, batch=file.sha256, feed="observations", path=file.path, size=file.size, mtime_ns=file.mtime_ns,
        verdict=verdict, rules=rules_digest(config), reasons=(), rows=1, accepted=1, quarantined=0,
        event_time_min=None, event_time_max=None, ingested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert lake.append_ledger([record]) == 1
