"""How much of the prediction log may be on its way, and for how long."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class LogSettings(BaseModel):
    """Bounds and rhythms of one worker's log.

    Attributes:
        folder: Where answers wait on disk, and labels; a local disk.
        lose_rows: Most rows that a kill -9 of one worker can lose: so many may wait in memory.
        flush_seconds: Seconds after which what waits in memory is given to the disk.
        sync_seconds: Seconds after which the disk is made to keep it through a power cut.
        ship_seconds: Seconds between two commits to the lake.
        hurry_seconds: The same for pipelines in a rollout.
        segment_rows: Rows of a file on disk, from which on another one is begun.
        spill_mebibytes: Most disk that waiting files may take. Beyond, answers are dropped and counted.
        close_seconds: Seconds that a stop may wait for the lake; what was not shipped waits on disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    lose_rows: int = Field(default=1000, ge=1)
    flush_seconds: float = Field(default=0.2, gt=0.0)
    sync_seconds: float = Field(default=1.0, gt=0.0)
    ship_seconds: float = Field(default=10.0, gt=0.0)
    hurry_seconds: float = Field(default=2.0, gt=0.0)
    segment_rows: int = Field(default=50_000, ge=1)
    spill_mebibytes: float = Field(default=2048.0, gt=0.0)
    close_seconds: float = Field(default=5.0, ge=0.0)
