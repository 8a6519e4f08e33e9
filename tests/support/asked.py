"""What the loaded model answers for a file when it is asked directly, for all rows at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.stores.registry import models
from tasks.stores.registry.tracking import Tracking
from tests.support.world import World


def asked(world: World, name: str, path: Path) -> tuple[int | None, Any, Any]:
    """The champion's version, its predictions and probabilities."""
    from tasks.features.frame import feature_frame
    from tasks.ingestion.read import read_file

    champion = Tracking(world.settings, name).champion()
    assert champion is not None
    config = world.config(name)
    columns = {column: config.contract.columns[column] for column in champion.feature_columns}
    table = read_file(path, config.source, columns, config.contract.timezone)
    frame = feature_frame(table, champion.feature_columns, config.contract.columns)
    loaded = models.load(Path(champion.folder) / models.MODEL_FILE)
    return champion.version, *models.predict(loaded, frame)
