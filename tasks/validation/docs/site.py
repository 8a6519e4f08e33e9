"""Where the Data Docs of a pipeline are, and which of its batches have a page there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from configs.schema import PipelineConfig
from tasks.refs import BatchRecord
from tasks.stores.lake import Lake
from tasks.stores.lock import hold
from tasks.stores.settings import Settings
from tasks.validation.docs.judged import newest

if TYPE_CHECKING:
    from tasks.validation.docs.build import Built

KEPT = 50  # pages of the newest batches; those of older ones are removed
PER_RUN = 10  # pages that one ingest run makes, at some 0.05 s each


def folder(settings: Settings, pipeline: str) -> Path:
    """The folder of a pipeline's Data Docs; `index.html` is the page to open."""
    return settings.root / "docs" / pipeline


def make(settings: Settings, config: PipelineConfig, judged: Sequence[BatchRecord] | None = None) -> Built:
    """Make the pages that are missing.

    Args:
        settings: Says where they go.
        config: The pipeline.
        judged: The batches of one run: of them the last has a page, and the newest that failed something. All of the
            newest batches have one by default.
    """
    from tasks.validation.docs.build import build

    batches = newest(Lake(settings, config), KEPT)
    due = None
    if judged is not None:
        mine = {one.seq for one in judged}
        told = [one.batch.seq for one in batches if one.batch.seq in mine and (one.failed or not one.holds)]
        due = {*told[-PER_RUN:], max(mine, default=0)}
    with hold(settings, f"{config.name}.docs"):
        return build(folder(settings, config.name), config.name, batches, due)
