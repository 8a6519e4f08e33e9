"""A database that rows are fetched from, by a watermark. Its address comes from the environment, and is never shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from configs.source import SqlQuery
from tasks.errors import PerennialError, UsageError
from tasks.stores.state.watermarks import Watermark

_AT_ONCE = 10_000
_PATIENCE = {"connect_timeout": 10, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
_EXPECTED = "expected the database's SQLAlchemy address, such as postgresql+psycopg://USER:PASSWORD@HOST:5432/NAME"


class SourceDatabaseError(PerennialError):
    """A database that can't be reached, or gave up on the way."""


class SourceDatabase:
    """The rows of one query.

    Args:
        key: Where the configuration tells of it, for example `source.sql`.
        sql: Connection, query and watermark.

    Raises:
        UsageError: here, there is no address or none that can be used; any look, the query can't be run as it is.
        SourceDatabaseError: any look, the database can't be reached.
    """

    def __init__(self, key: str, sql: SqlQuery) -> None:
        self._key, self._sql = key, sql
        self._url = _address(key, sql.connection)
        options = _PATIENCE if self._url.drivername == "postgresql+psycopg" else {}
        try:
            self._engine = sa.create_engine(
                self._url,
                poolclass=sa.NullPool,
                hide_parameters=True,
                connect_args={name: value for name, value in options.items() if name not in self._url.query},
            )
        except (sa.exc.NoSuchModuleError, ImportError) as error:
            raise UsageError(
                f"{key}.connection: {sql.connection} needs a library that is not installed: {error}."
            ) from None
        # A text is taken as it stands: its colons name no parameters, and a comment at its end ends with the line.
        text = sa.text(re.sub(":", r"\\:", sql.query.strip().rstrip(";")) + "\n")
        self._rows = text.columns(sa.column(sql.watermark)).subquery("perennial")
        self._watermark = self._rows.c[sql.watermark]

    def check(self) -> None:
        """That the query can be run and has the watermark, and no two columns of one name."""
        with self._connected() as connection:
            names = list(connection.execute(sa.select(sa.text("*")).select_from(self._rows).where(sa.false())).keys())
        if self._sql.watermark not in names:
            raise UsageError(
                f"{self._key}.watermark: found {self._sql.watermark!r}; expected a column of the query: "
                f"{', '.join(names)}."
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{self._key}.query: found {twice[0]!r} more than once; name its columns one by one.")

    def newest(self, after: Watermark | None, until: Watermark | None = None) -> Watermark | None:
        """The greatest watermark after one, up to and with another; None where there is none."""
        query = sa.select(sa.func.max(self._watermark)).where(*self._between(after, until))
        with self._connected() as connection:
            return self._check_type(connection.execute(query).scalar())

    def cut(self, after: Watermark | None, until: Watermark, rows: int) -> Watermark:
        """The last watermark of a range that has at most so many rows, or the first one where that has more."""
        inside = self._between(after, until)
        beyond = sa.select(self._watermark).where(*inside).order_by(self._watermark).offset(rows).limit(1)
        with self._connected() as connection:
            first_beyond = self._check_type(connection.execute(beyond).scalar())
            if first_beyond is None:
                return until
            before = sa.select(sa.func.max(self._watermark)).where(*inside, self._watermark < first_beyond)
            found = self._check_type(connection.execute(before).scalar())
        return first_beyond if found is None else found

    def count_without_watermark(self) -> int:
        """How many rows have no watermark: they are never fetched."""
        query = sa.select(sa.func.count()).select_from(self._rows).where(self._watermark.is_(None))
        with self._connected() as connection:
            return int(connection.execute(query).scalar_one())

    def rows(
        self, after: Watermark | None, until: Watermark
    ) -> Iterator[tuple[Sequence[str], Sequence[Sequence[Any]]]]:
        """The rows of a range by watermark, some at a time, with the names of their columns. Memory stays bounded."""
        wanted = sa.select(sa.text("*")).select_from(self._rows)
        query = wanted.where(*self._between(after, until)).order_by(self._watermark)
        with self._connected() as connection:
            found = connection.execution_options(stream_results=True, yield_per=_AT_ONCE).execute(query)
            names = list(found.keys())
            for some in found.partitions(_AT_ONCE):
                yield names, some

    def _between(self, after: Watermark | None, until: Watermark | None) -> list[sa.ColumnElement[bool]]:
        bounds: list[sa.ColumnElement[bool]] = [self._watermark.is_not(None)]
        if after is not None:
            bounds.append(self._watermark > sa.literal(after))
        if until is not None:
            bounds.append(self._watermark <= sa.literal(until))
        return bounds

    def _check_type(self, found: Any) -> Watermark | None:
        """A watermark of a type that has an order."""
        if found is None or (isinstance(found, Watermark) and not isinstance(found, bool) and found == found):
            return found
        description = f"a value of type {type(found).__name__}" if found == found else "NaN"
        raise UsageError(f"{self._key}.watermark: found {description}; expected numbers, times, dates or text.")

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A connection that only reads; what goes wrong is reported in our words, without the address."""
        try:
            with self._engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execution_options(postgresql_readonly=True)
                yield connection
        except sa.exc.DBAPIError as error:
            if _unreachable(error):
                raise SourceDatabaseError(
                    f"{self._key}: the database of {self._sql.connection} can't be reached ({self._reason(error)}). "
                    "Start it or correct the address, then run this again: what has landed is still there."
                ) from error
            raise UsageError(
                f"{self._key}.query: the database of {self._sql.connection} refused it: {self._reason(error)}. "
                "Correct the query or the watermark."
            ) from None

    def _reason(self, error: sa.exc.DBAPIError) -> str:
        """What the database said, in a line, without what only the address knows."""
        message = (str(error.orig).strip().splitlines() or ["no reason was given"])[0][:300].rstrip(".")
        secrets = (self._url.render_as_string(hide_password=False), self._url.password or "")
        for secret in filter(None, secrets):
            message = message.replace(secret, "***")
        return message


def _unreachable(error: sa.exc.DBAPIError) -> bool:
    """Whether a failure is the database's or the network's, rather than the query's."""
    state, code = getattr(error.orig, "sqlstate", None), getattr(error.orig, "sqlite_errorname", "")
    if error.connection_invalidated or state is not None:
        return error.connection_invalidated or str(state)[:2] in ("08", "28", "3D", "53", "57", "40")
    if code:  # SQLITE_ERROR is what it says of a wrong query
        return code not in ("SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_RANGE")
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)


def _address(key: str, name: str) -> sa.URL:
    address = os.environ.get(name, "").strip()
    if not address:
        raise UsageError(f"{key}.connection: found no environment variable {name}; {_EXPECTED}.")
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        raise UsageError(f"{key}.connection: found no address in {name}; {_EXPECTED}.") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        file = str(url.database)
        if not file.startswith("file:") and not Path(file).is_file():  # SQLite would make an empty one
            raise SourceDatabaseError(f"{key}: the database of {name} can't be reached: its file is not there.")
    return url


def watermark_kind(mark: Watermark) -> str:
    """What a watermark can be compared with: those of its kind."""
    if isinstance(mark, int | float | Decimal):
        return "a number"
    if isinstance(mark, datetime):
        return "a time without a zone" if mark.tzinfo is None else "a time with a zone"
    return "a date" if isinstance(mark, date) else "text"
