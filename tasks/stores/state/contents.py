"""Files whose content is known from elsewhere: read once, and not again while they stay as they are."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tasks.records.data import Feed
from tasks.stores.landing.folder import FileStat
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

_contents = sa.Table(
    "contents",
    METADATA,
    sa.Column("pipeline", sa.String(63), primary_key=True),
    sa.Column("feed", sa.String(20), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
)


class Content(NamedTuple):
    """What a file held when it was read, and whether a run has reported it."""

    sha256: str
    reported: bool


class Contents:
    """What files of one feed hold, by path, size and time of change. Only the newest look at each path is kept.

    Args:
        settings: Where the state is.
        pipeline: Whose files.
        feed: Which of its feeds.
    """

    def __init__(self, settings: Settings, pipeline: str, feed: Feed) -> None:
        self._engine = connect(settings)
        self._own = {"pipeline": pipeline, "feed": feed}

    def known(self) -> dict[FileStat, Content]:
        """Every file that was noted."""
        query = sa.select(_contents).filter_by(**self._own)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {FileStat(row.path, row.size, row.mtime_ns): Content(row.sha256, row.told) for row in rows}

    def record(self, file: FileStat, sha256: str, *, reported: bool) -> None:
        """Remember what a file holds."""
        now = {"size": file.size, "mtime_ns": file.mtime_ns, "sha256": sha256, "told": reported}
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        query = insert(_contents).values(**self._own, path=file.path, **now)
        with self._engine.begin() as connection:
            connection.execute(query.on_conflict_do_update(index_elements=["pipeline", "feed", "path"], set_=now))
