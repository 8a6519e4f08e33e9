"""Rows of a database become files that land, each row once, also after a kill at any moment.

A range of watermarks is noted before its file is written and noted as done once the file is in its place. A run that
finds a range which was begun does that very range again, into a file of the same name, unless the file is there.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from configs.schema import PipelineConfig
from configs.source import SqlQuery
from tasks.errors import UsageError
from tasks.ingestion.discover import feeds
from tasks.records.data import Feed
from tasks.stores.landing.folder import Warn
from tasks.stores.landing.source_database import SourceDatabase, watermark_kind
from tasks.stores.settings import Settings
from tasks.stores.state.watermarks import PendingRange, Watermark, Watermarks, encoded

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:(?P<gap>[ T])\d\d:\d\d(?::\d\d)?(?P<parts>\.\d+)?(?P<zone>Z|\+00:?00)?)?")
_SLUG = 40


class SqlFeed:
    """A feed whose rows come from a database.

    Args:
        config: The pipeline.
        settings: Where the state is.
        feed: Which feed; its source has `sql`.
        now: The run's clock.
    """

    def __init__(self, config: PipelineConfig, settings: Settings, feed: Feed, now: datetime) -> None:
        source = feeds(config)[feed]
        if source.sql is None:
            raise ValueError(f"{feed} of {config.name} has no sql")
        self._key = f"{'source' if feed == 'observations' else feed}.sql"
        self._sql: SqlQuery = source.sql
        self._folder = Path(settings.landing(source.landing))
        self._marker = source.marker if source.ready == "marker" else ""
        self._now, self._zone = now, ZoneInfo(config.contract.timezone)
        self._marks = Watermarks(settings, config.name, feed, self._sql.watermark)

    def waiting(self) -> str:
        """What is new, as text that changes with it: a range begun, or the newest watermark; nothing where none is."""
        intent = self._marks.intent()
        if intent is not None:
            return intent.file
        until = self._until(SourceDatabase(self._key, self._sql), self._marks.last())
        return "" if until is None else encoded(until)

    def settle(self) -> None:
        """Note a range as done whose file a killed run had put into its place already. The data lock is held."""
        intent = self._marks.intent()
        if intent is not None and (self._folder / intent.file).exists():
            self._arrived(intent)

    def fetch(self, tell: Warn) -> None:
        """Fetch what is new into files that land. The data lock is held, and the landing folder is there.

        Args:
            tell: Told of each file, and of rows that are never fetched.

        Raises:
            UsageError: the address or the query is wrong.
            SourceDatabaseError: the database can't be reached; what came before has landed.
        """
        self.settle()
        database = SourceDatabase(self._key, self._sql)
        database.check()
        intent = self._marks.intent()
        if intent is not None:
            self._land(database, intent, tell)
        last = self._marks.last()
        until = self._until(database, last)
        if until is not None or last is None:
            self._tell_lost(database, tell)
        while until is not None and last != until:
            part = database.cut(last, until, self._sql.max_rows)
            intent = PendingRange(last, part, file_name(last, part))
            self._marks.begin(intent.until, intent.file)
            self._land(database, intent, tell)
            last = part

    def _until(self, database: SourceDatabase, last: Watermark | None) -> Watermark | None:
        """The watermark to fetch up to; None where nothing is new."""
        newest = database.newest(last)
        if newest is None:
            return None
        if last is not None and watermark_kind(last) != watermark_kind(newest):
            raise UsageError(
                f"{self._key}.watermark: found {watermark_kind(newest)}, and what was fetched before ended at "
                f"{watermark_kind(last)}. "
                "Give the query a column of another name for it."
            )
        limit = self._limit(newest)
        return newest if limit is None else database.newest(last, limit)

    def _limit(self, newest: Watermark) -> Watermark | None:
        """The youngest watermark to be taken now; None where it tells no time.

        Of dates, and of times that are yet to come, only those that are over: more rows of them may follow.
        """
        latest = self._now - timedelta(seconds=self._sql.lag_seconds)
        local = latest.astimezone(self._zone)
        if isinstance(newest, datetime):
            return latest if newest.tzinfo else local.replace(tzinfo=None)
        if isinstance(newest, date):
            return local.date() - timedelta(days=1)
        told = _ISO.fullmatch(newest) if isinstance(newest, str) else None
        if told is None:
            if self._sql.lag_seconds:
                raise UsageError(
                    f"{self._key}.lag_seconds: found a watermark that is {watermark_kind(newest)}; expected one "
                    "in time, "
                    "or no lag_seconds."
                )
            return None
        if told["gap"] is None:
            return (local.date() - timedelta(days=1)).isoformat()
        moment = (latest.astimezone(UTC) if told["zone"] else local).replace(tzinfo=None)
        return moment.isoformat(told["gap"], "microseconds" if told["parts"] else "seconds") + (told["zone"] or "")

    def _tell_lost(self, database: SourceDatabase, tell: Warn) -> None:
        lost = database.count_without_watermark()
        if lost:
            rows = "1 row is" if lost == 1 else f"{lost} rows are"
            tell(f"{self._key}: {rows} not fetched, having no {self._sql.watermark}")

    def _land(self, database: SourceDatabase, intent: PendingRange, tell: Warn) -> None:
        """Put the file of a range into its place, whole."""
        draft = self._folder / f".{intent.file}.part"
        rows = 0
        with draft.open("wb") as out:
            for names, some in database.rows(intent.last, intent.until):
                out.writelines(_line(dict(zip(names, row, strict=True))) for row in some)
                rows += len(some)
            out.flush()
            os.fsync(out.fileno())
        if not rows:  # they were changed since the range was chosen, and have other watermarks now
            draft.unlink()
            self._marks.done(intent.until)
            return
        draft.replace(self._folder / intent.file)
        self._arrived(intent)
        more = f", more than max_rows: they share one {self._sql.watermark}" if rows > self._sql.max_rows else ""
        tell(f"{self._key}: {rows} row{'' if rows == 1 else 's'} fetched as {intent.file}{more}")

    def _arrived(self, intent: PendingRange) -> None:
        """The file of a range is in its place: mark it, where markers are asked for, and note the range as done."""
        if self._marker:
            (self._folder / f"{intent.file}{self._marker}").touch()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._marks.done(intent.until)


def sql_feeds(config: PipelineConfig, settings: Settings, now: datetime) -> dict[Feed, SqlFeed]:
    """A pipeline's feeds whose rows come from a database."""
    return {
        feed: SqlFeed(config, settings, feed, now) for feed, source in feeds(config).items() if source.sql is not None
    }


def file_name(last: Watermark | None, until: Watermark) -> str:
    """Name of the file of a range: the same range, the same name; another one, another."""
    ends = f"{'start' if last is None else _slug(last)}-{_slug(until)}"
    if isinstance(until, str):  # texts may look alike once they are made fit for a name
        told = f"{'' if last is None else encoded(last)}\0{encoded(until)}"
        ends = f"{ends}-{sha256(told.encode()).hexdigest()[:12]}"
    return f"sql-{ends}.jsonl"


def _slug(mark: Watermark) -> str:
    if isinstance(mark, datetime):
        moment = mark.astimezone(UTC) if mark.tzinfo else mark
        return moment.strftime("%Y%m%dT%H%M%S.%f") + ("Z" if mark.tzinfo else "")
    return re.sub(r"[^A-Za-z0-9.]", "_", str(mark))[:_SLUG] if isinstance(mark, str) else _number(mark)


def _number(mark: Watermark) -> str:
    return str(mark).replace("-", "m" if not isinstance(mark, date) else "").replace("+", "")


def _line(row: Mapping[str, Any]) -> bytes:
    """A row as a line of JSON. No value loses anything."""
    try:
        text = json.dumps(row, default=_plain, allow_nan=False, separators=(",", ":"))
    except ValueError:  # NaN or an infinity
        text = json.dumps(_without_nan(row), default=_plain, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def _plain(value: object) -> object:
    """What JSON has no type for: decimals as numbers where those are exact, else as text; times as ISO 8601."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return _told(float(value)) if not value.is_snan() else "NaN"
        near = float(value)
        return near if math.isfinite(near) and Decimal(repr(near)) == value else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return str(value)


def _without_nan(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return _told(value)
    if isinstance(value, Mapping):
        return {name: _without_nan(one) for name, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value


def _told(value: float) -> str:
    """NaN or an infinity as text: the contract judges it."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
