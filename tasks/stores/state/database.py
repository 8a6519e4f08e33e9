"""The database of what needs transactions: SQLite in the state folder, PostgreSQL for a team."""

from __future__ import annotations

import sqlite3
import time
from functools import cache

import sqlalchemy as sa

from tasks.errors import PerennialError, UsageError
from tasks.stores.settings import Settings
from tasks.stores.state.schema import ensure_current

# The stores' tables as the code uses them; tasks/stores/migrations makes them.
METADATA = sa.MetaData()
_BUSY_SECONDS = 30
_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg"}
# A server that is gone without a word is noticed within half a minute, not after the kernel's quarter of an hour.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class DatabaseError(PerennialError):
    """The state's database can't be reached."""


def connect(settings: Settings) -> sa.Engine:
    """An engine on the state's database, which has the schema that the stores work with.

    Raises:
        UsageError: the address is no address of SQLite or PostgreSQL, or the database's schema is of a newer version.
        DatabaseError: the database gives no answer; any later use of the engine may raise it too.
    """
    engine = _engine(settings.audit_url)
    ensure_current(engine)
    return engine


@cache
def _engine(url: str) -> sa.Engine:
    address = _address(url)
    wanted = {name: value for name, value in _PATIENCE.items() if name not in address.query}
    remote = address.get_backend_name() == "postgresql"
    # No pool: connections must not be carried into a forked process, and these stores write a few lines a run.
    engine = sa.create_engine(address, poolclass=sa.NullPool, connect_args=wanted if remote else {})
    if remote:
        sa.event.listen(engine, "handle_error", _raise_unreachable)
    else:
        sa.event.listen(engine, "connect", _configure_sqlite)
    return engine


def _address(url: str) -> sa.URL:
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError(_EXPECTED.format(found="no address of a database")) from None
    backend, _, driver = address.drivername.partition("+")
    if backend not in _DRIVERS or driver not in ("", _DRIVERS[backend]):
        raise UsageError(_EXPECTED.format(found=f"{address.drivername}://"))
    return address.set(drivername=f"{backend}+{_DRIVERS[backend]}")


_EXPECTED = (
    "PERENNIAL_STATE_URL: found {found}; expected postgresql+psycopg://USER:PASSWORD@HOST:5432/NAME or sqlite:///FILE."
)


def _raise_unreachable(context: sa.ExceptionContext) -> None:
    """Turn a failure to reach PostgreSQL into an error that a person can act on; others stay as they are."""
    unreachable = context.connection is None or context.is_disconnect
    if context.engine is None or not unreachable or not isinstance(context.sqlalchemy_exception, sa.exc.DBAPIError):
        return
    url = context.engine.url
    problem = " ".join(str(context.original_exception).split()) or "no reason was given"
    raise DatabaseError(
        f"PostgreSQL of PERENNIAL_STATE_URL (host {url.host}, port {url.port or 5432}, database {url.database}) can't "
        f"be reached: {problem}. Start it or correct the address, then run this again: it does what is left."
    ) from context.sqlalchemy_exception


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. Of processes that do it first at once SQLite fails some without waiting."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return
