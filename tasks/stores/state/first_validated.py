"""The clock by which each batch was validated first: validated again after a kill, it has the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

_TABLE = sa.Table(
    "first_clocks",
    METADATA,
    sa.Column("pipeline", sa.String, primary_key=True),
    sa.Column("batch", sa.String, primary_key=True),
    sa.Column("rules", sa.String, primary_key=True),
    sa.Column("at", sa.String, nullable=False),
)


def first_validated_at(
    settings: Settings, pipeline: str, rules: str, batches: Sequence[str], now: datetime
) -> dict[str, datetime]:
    """The clocks that batches are to be validated by, under some rules: their first ones, or now.

    Args:
        settings: Say where the state is.
        pipeline: The pipeline.
        rules: Digest of what batches are validated by.
        batches: Their hashes.
        now: The run's clock. The pipeline's lock is held.
    """
    mine = (_TABLE.c.pipeline == pipeline) & (_TABLE.c.rules == rules) & _TABLE.c.batch.in_(batches)
    with connect(settings).begin() as connection:
        known = dict(connection.execute(sa.select(_TABLE.c.batch, _TABLE.c.at).where(mine)).tuples().all())
        fresh = [one for one in dict.fromkeys(batches) if one not in known]
        if fresh:
            timestamp = now.astimezone(UTC).isoformat()
            rows = [{"pipeline": pipeline, "batch": one, "rules": rules, "at": timestamp} for one in fresh]
            connection.execute(sa.insert(_TABLE), rows)
    return {one: datetime.fromisoformat(known[one]) if one in known else now for one in batches}
