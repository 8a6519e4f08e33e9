"""Where the Data Docs of a pipeline are, and which of its batches have a page there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from configs.schema import PipelineConfig
from tasks.stores.lake.tables import Lake
from tasks.stores.locks.lock import hold
from tasks.stores.settings import Settings
from tasks.validation.docs.validated import newest

if TYPE_CHECKING:
    from tasks.validation.docs.build import BuiltDocs

MAX_PAGES = 50  # pages of the newest batches; those of older ones are removed


def folder(settings: Settings, pipeline: str) -> Path:
    """The folder of a pipeline's Data Docs; `index.html` is the page to open."""
    return settings.root / "docs" / pipeline


def build_docs(settings: Settings, config: PipelineConfig) -> BuiltDocs:
    """Make the pages of the newest batches that are missing.

    Args:
        settings: Says where they go.
        config: The pipeline.
    """
    from tasks.validation.docs.build import build

    batches = newest(Lake(settings, config), MAX_PAGES)
    with hold(settings, f"{config.name}.docs"):
        return build(folder(settings, config.name), config.name, batches)
