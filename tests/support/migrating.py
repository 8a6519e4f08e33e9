"""What tests of migrations share: the difference between tables and migrations, and a migration of the future."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import tasks.stores
from tasks.stores.state.database import METADATA
from tasks.stores.state.migrations import upgrade
from tasks.stores.state.schema import HEAD, VERSION_TABLE

FUTURE = f"{int(HEAD) + 1:04}"
_SCRIPT = f"""
import sqlalchemy as sa
from alembic import op

revision = "{FUTURE}"
down_revision = "{HEAD}"


def upgrade():
    op.add_column("people", sa.Column("team", sa.String(20), nullable=True))
    op.execute("UPDATE people SET team = 'none'")
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
    op.create_index("ix_people_team", "people", ["team"])
"""  # noqa: S608  # our own numbers


def differences(connection: sa.Connection) -> list[Any]:
    """How the tables of a database differ from those that the stores use; their own migration would do this."""
    for module in pkgutil.walk_packages(tasks.stores.__path__, "tasks.stores."):
        if ".migrations." not in module.name:  # alembic itself runs those
            importlib.import_module(module.name)
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    return found


def both(config: Config, versions: Path) -> Config:
    """Alembic's configuration with another folder of migrations beside our own."""
    own = Path(upgrade.__file__).parent / "versions"
    config.set_main_option("version_locations", f"{own}{os.pathsep}{versions}")
    config.set_main_option("path_separator", "os")
    return config


def with_future(folder: Path) -> Path:
    """The folder of migrations as a newer version has it: with one more."""
    versions = folder / "versions"
    versions.mkdir()
    (versions / f"r{FUTURE}_later.py").write_text(_SCRIPT, encoding="utf-8")
    return versions
