"""The newest verdicts of monitoring, as the lake has them."""

from __future__ import annotations

import pyarrow.compute as pc

from tasks.records.decision import DriftVerdict, PerformanceVerdict
from tasks.stores.lake.tables import Lake


def newest_drift(lake: Lake) -> DriftVerdict | None:
    """The newest answer to whether data still look as the champion knows them; None before any."""
    record = _newest(lake, "drift")
    return None if record is None else DriftVerdict.model_validate_json(record)


def newest_performance(lake: Lake) -> PerformanceVerdict | None:
    """The newest answer to whether a champion is still as good as on its holdout; None before any."""
    record = _newest(lake, "performance")
    return None if record is None else PerformanceVerdict.model_validate_json(record)


def _newest(lake: Lake, kind: str) -> str | None:
    rows = lake.read("decisions", ["at", "record"], where=pc.field("kind") == kind)
    if rows.num_rows == 0:
        return None
    return str(rows.sort_by([("at", "descending")]).slice(0, 1).column("record")[0].as_py())
