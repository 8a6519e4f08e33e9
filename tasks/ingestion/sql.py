"""Export of database rows to landing files, exactly once, also after an interruption at any point.

A range of watermarks is recorded before its file is written, and as done once the file exists. A run that finds a
started range exports the same range again, to a file of the same name, unless the file exists.
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
        self._watermarks = Watermarks(settings, config.name, feed, self._sql.watermark)

    def pending(self) -> str:
        """What is new, as text that changes with it: a range begun, or the newest watermark; nothing where none is."""
        intent = self._watermarks.intent()
        if intent is not None:
            return intent.file
        until = self._upper_bound(SourceDatabase(self._key, self._sql), self._watermarks.last())
        return "" if until is None else encoded(until)

    def commit_range(self) -> None:
        """Note a range as done whose file a killed run had put into its place already. The data lock is held."""
        intent = self._watermarks.intent()
        if intent is not None and (self._folder / intent.file).exists():
            self._finish_range(intent)

    def fetch(self, emit: Warn) -> None:
        """Fetch what is new into files that land. The data lock is held, and the landing folder is there.

        Args:
            emit: Receives a message for each file, and of rows that are never fetched.

        Raises:
            UsageError: the address or the query is wrong.
            SourceDatabaseError: the database can't be reached; what came before has landed.
        """
        self.commit_range()
        database = SourceDatabase(self._key, self._sql)
        database.check()
        intent = self._watermarks.intent()
        if intent is not None:
            self._write_range(database, intent, emit)
        last = self._watermarks.last()
        until = self._upper_bound(database, last)
        if until is not None or last is None:
            self._report_missing_watermarks(database, emit)
        while until is not None and last != until:
            part = database.cut(last, until, self._sql.max_rows)
            intent = PendingRange(last, part, file_name(last, part))
            self._watermarks.begin(intent.until, intent.file)
            self._write_range(database, intent, emit)
            last = part

    def _upper_bound(self, database: SourceDatabase, last: Watermark | None) -> Watermark | None:
        """The watermark to fetch up to; None where nothing is new."""
        newest = database.newest(last)
        if newest is None:
            return None
        if last is not None and watermark_kind(last) != watermark_kind(newest):
            raise UsageError(
                f"{self._key}.watermark: found {watermark_kind(newest)}, and the last fetched one is "
                f"{watermark_kind(last)}. Give the query a column of another name for it."
            )
        limit = self._lag_limit(newest)
        return newest if limit is None else database.newest(last, limit)

    def _lag_limit(self, newest: Watermark) -> Watermark | None:
        """The youngest watermark to be taken now; None where it tells no time.

        Of dates, and of times that are yet to come, only those that are over: more rows of them may follow.
        """
        latest = self._now - timedelta(seconds=self._sql.lag_seconds)
        local = latest.astimezone(self._zone)
        if isinstance(newest, datetime):
            return latest if newest.tzinfo else local.replace(tzinfo=None)
        if isinstance(newest, date):
            return local.date() - timedelta(days=1)
        match = _ISO.fullmatch(newest) if isinstance(newest, str) else None
        if match is None:
            if self._sql.lag_seconds:
                raise UsageError(
                    f"{self._key}.lag_seconds: found a watermark that is {watermark_kind(newest)}; expected a time, "
                    "or no lag_seconds."
                )
            return None
        if match["gap"] is None:
            return (local.date() - timedelta(days=1)).isoformat()
        local_limit = (latest.astimezone(UTC) if match["zone"] else local).replace(tzinfo=None)
        return local_limit.isoformat(match["gap"], "microseconds" if match["parts"] else "seconds") + (
            match["zone"] or ""
        )

    def _report_missing_watermarks(self, database: SourceDatabase, emit: Warn) -> None:
        n_rows = database.count_without_watermark()
        if n_rows:
            rows = "1 row is" if n_rows == 1 else f"{n_rows} rows are"
            emit(f"{self._key}: {rows} not fetched: {self._sql.watermark} is missing")

    def _write_range(self, database: SourceDatabase, intent: PendingRange, emit: Warn) -> None:
        """Put the file of a range into its place, whole."""
        draft = self._folder / f".{intent.file}.part"
        rows = 0
        with draft.open("wb") as file:
            for names, values in database.rows(intent.last, intent.until):
                file.writelines(_line(dict(zip(names, row, strict=True))) for row in values)
                rows += len(values)
            file.flush()
            os.fsync(file.fileno())
        if not rows:  # they were changed since the range was chosen, and have other watermarks now
            draft.unlink()
            self._watermarks.done(intent.until)
            return
        draft.replace(self._folder / intent.file)
        self._finish_range(intent)
        more = f", more than max_rows: they have the same {self._sql.watermark}" if rows > self._sql.max_rows else ""
        emit(f"{self._key}: {rows} row{'' if rows == 1 else 's'} fetched as {intent.file}{more}")

    def _finish_range(self, intent: PendingRange) -> None:
        """The file of a range is in its place: mark it, where markers are asked for, and note the range as done."""
        if self._marker:
            (self._folder / f"{intent.file}{self._marker}").touch()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._watermarks.done(intent.until)


def sql_feeds(config: PipelineConfig, settings: Settings, now: datetime) -> dict[Feed, SqlFeed]:
    """A pipeline's feeds whose rows come from a database."""
    return {
        feed: SqlFeed(config, settings, feed, now) for feed, source in feeds(config).items() if source.sql is not None
    }


def file_name(last: Watermark | None, until: Watermark) -> str:
    """Name of the file of a range: the same range, the same name; another one, another."""
    stem = f"{'start' if last is None else _slug(last)}-{_slug(until)}"
    if isinstance(until, str):  # texts may look alike once they are made fit for a name
        watermark_range = f"{'' if last is None else encoded(last)}\0{encoded(until)}"
        stem = f"{stem}-{sha256(watermark_range.encode()).hexdigest()[:12]}"
    return f"sql-{stem}.jsonl"


def _slug(mark: Watermark) -> str:
    if isinstance(mark, datetime):
        timestamp = mark.astimezone(UTC) if mark.tzinfo else mark
        return timestamp.strftime("%Y%m%dT%H%M%S.%f") + ("Z" if mark.tzinfo else "")
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
            return _nonfinite_text(float(value)) if not value.is_snan() else "NaN"
        number = float(value)
        return number if math.isfinite(number) and Decimal(repr(number)) == value else str(value)
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
        return _nonfinite_text(value)
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def _nonfinite_text(value: float) -> str:
    """NaN or an infinity as text: the contract validates it."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
