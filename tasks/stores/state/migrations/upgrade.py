"""Migrates the state's database to the newest schema: one process at a time, all of it or nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tasks.errors import UsageError
from tasks.stores.state import schema

_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtext('perennial: schema'))")
_MAY_NOT = "42501"  # insufficient_privilege


def upgrade(engine: sa.Engine) -> None:
    """Run the migrations that are due, in one transaction: of a killed process nothing is left.

    Raises:
        UsageError: another process brought the database to a schema that is not known here; or its user may not.
    """
    with engine.connect() as connection:
        found = None
        try:
            _lock(connection)
            found = schema.number(connection)
            schema.refuse_unknown(found, engine.url)
            if found != schema.HEAD:  # else another process was first
                config = configuration()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            connection.commit()
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") != _MAY_NOT:
                raise
            raise UsageError(_may_not(engine.url, found)) from error


def configuration() -> Config:
    """Alembic's configuration: the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _lock(connection: sa.Connection) -> None:
    """Begin a transaction that only one process has at a time."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK)
        return
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"found a connection of {type(driver).__name__}, expected one of sqlite3")
    driver.isolation_level = None  # else sqlite3 begins a transaction only before the first row that is written
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _may_not(url: sa.URL, found: str | None) -> str:
    was = "no numbered schema" if found is None else f"schema {found}"
    return (
        f"The state database {url.render_as_string()} has {was}, and this version of Perennial works with schema "
        f"{schema.HEAD}, but {url.username} may not change tables. Run any command, such as `perennial status`, once "
        "as the user who owns them, then this again."
    )
