"""The database of what needs transactions: SQLite in the state folder, PostgreSQL for a team."""

from __future__ import annotations

from functools import cache

import sqlalchemy as sa

from tasks.stores.settings import Settings


def connect(settings: Settings, *tables: sa.Table) -> sa.Engine:
    """An engine on the state's database, in which the tables exist."""
    engine = _engine(settings.audit_url)
    # Not create_all: between its look and its CREATE another process may have made the table.
    with engine.begin() as connection:
        for table in tables:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda one: str(one.name)):
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
    return engine


@cache
def _engine(url: str) -> sa.Engine:
    # No pool: connections must not be carried into a forked process, and these stores write a few lines a run.
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the raw sqlite3 connection, untyped here
    cursor.execute("PRAGMA busy_timeout=30000")  # first: the next one may have to wait for a lock
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
