"""How far a database was fetched: the last watermark taken, and the range whose file is being put into place."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa

from tasks.records.data import Feed
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

Watermark = int | float | Decimal | datetime | date | str

_watermarks = sa.Table(
    "watermarks",
    METADATA,
    sa.Column("pipeline", sa.String(63), primary_key=True),
    sa.Column("feed", sa.String(20), primary_key=True),
    sa.Column("column", sa.String(200), primary_key=True),
    sa.Column("last", sa.Text, nullable=True),
    sa.Column("until", sa.Text, nullable=True),
    sa.Column("file", sa.Text, nullable=True),
)


class PendingRange(NamedTuple):
    """A range that was about to become a file: all rows after `last`, up to and with `until`."""

    last: Watermark | None
    until: Watermark
    file: str


class Watermarks:
    """How far one feed was fetched by one watermark column. The pipeline's data lock is held by who writes.

    Args:
        settings: Where the state is.
        pipeline: Whose feed.
        feed: Which of its feeds.
        column: The watermark; by another one nothing was fetched yet.
    """

    def __init__(self, settings: Settings, pipeline: str, feed: Feed, column: str) -> None:
        self._engine = connect(settings)
        self._own = {"pipeline": pipeline, "feed": feed, "column": column}

    def last(self) -> Watermark | None:
        """The watermark up to which every row has landed; None before the first."""
        row = self._row()
        return None if row is None or row.last is None else decoded(row.last)

    def intent(self) -> PendingRange | None:
        """The range that a run began to put into place and did not note as done."""
        row = self._row()
        if row is None or row.until is None:
            return None
        return PendingRange(None if row.last is None else decoded(row.last), decoded(row.until), row.file)

    def begin(self, until: Watermark, file: str) -> None:
        """Note, durably, that the rows after the last watermark up to `until` become this file."""
        self._write(self.last(), until, file)

    def done(self, until: Watermark) -> None:
        """Note that every row up to `until` has landed."""
        self._write(until, None, None)

    def _row(self) -> sa.Row[tuple[str, str, str, str | None, str | None, str | None]] | None:
        with self._engine.connect() as connection:
            return connection.execute(sa.select(_watermarks).filter_by(**self._own)).one_or_none()

    def _write(self, last: Watermark | None, until: Watermark | None, file: str | None) -> None:
        row = {
            **self._own,
            "last": None if last is None else encoded(last),
            "until": None if until is None else encoded(until),
            "file": file,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_watermarks).filter_by(**self._own))
            connection.execute(sa.insert(_watermarks).values(**row))


def encoded(mark: Watermark) -> str:
    """A watermark as JSON text that tells its type and all of its value."""
    if isinstance(mark, datetime | date):
        return json.dumps([type(mark).__name__, mark.isoformat()])
    return json.dumps([type(mark).__name__, repr(mark) if isinstance(mark, float) else str(mark)])


def decoded(text: str) -> Watermark:
    """What `encoded` made this text of."""
    kind, value = json.loads(text)
    types: dict[str, type[int] | type[float] | type[Decimal] | type[str]] = {
        "int": int,
        "float": float,
        "Decimal": Decimal,
        "str": str,
    }
    if kind in types:
        return types[kind](value)
    return datetime.fromisoformat(value) if kind == "datetime" else date.fromisoformat(value)
