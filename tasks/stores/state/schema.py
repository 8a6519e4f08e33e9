"""The schema of the state's database, by the number that it holds: current, to be migrated, or refused.

The number is read by one SELECT; alembic is imported only where a migration is due.
"""

from __future__ import annotations

import sqlalchemy as sa

from tasks.errors import UsageError

# Of our own name: other programs may number their tables in the same PostgreSQL database.
VERSION_TABLE = "perennial_schema"
# Every migration of tasks/stores/state/migrations/versions, oldest first; the last is what this code works with.
REVISIONS = ("0001", "0002")
HEAD = REVISIONS[-1]

_NUMBER = sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # a constant
_current: set[str] = set()


def ensure_current(engine: sa.Engine) -> None:
    """Bring a database to the schema that this code works with. Asked once a process and database.

    Raises:
        UsageError: a newer version wrote it; a version before the first numbered schema made it; or its user may not
            migrate it.
    """
    address = engine.url.render_as_string(hide_password=False)
    if address in _current:
        return
    found = _stored(engine)
    refuse_unknown(found, engine.url)
    if found != HEAD:
        from tasks.stores.state.migrations.upgrade import upgrade

        upgrade(engine)
    _current.add(address)


def number(connection: sa.Connection) -> str | None:
    """The schema that a database says it has; None before any."""
    return connection.execute(_NUMBER).scalar() if sa.inspect(connection).has_table(VERSION_TABLE) else None


def refuse_unknown(found: str | None, url: sa.URL) -> None:
    """Refuse a schema that this code does not know.

    Raises:
        UsageError: it is none of REVISIONS.
    """
    if found is not None and found not in REVISIONS:
        raise UsageError(
            f"The state database {url.render_as_string()} has schema {found}; this version of Perennial knows schemas "
            f"up to {HEAD}: a newer version has migrated it. Nothing was changed. Upgrade Perennial, or use another "
            "PERENNIAL_HOME (PERENNIAL_STATE_URL, where that is set)."
        )


def _stored(engine: sa.Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return connection.execute(_NUMBER).scalar()
    except sa.exc.DBAPIError:
        # A new transaction: PostgreSQL's ended with the error. Another process may have made the table meanwhile.
        with engine.connect() as connection:
            return number(connection)
