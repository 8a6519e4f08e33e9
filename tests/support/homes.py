"""Homes that are trained once a session and copied for those who change them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tasks.stores.locks.file import exclusive
from tests.support.world import World, make_world


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of a test session."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "homes"
    folder.mkdir(exist_ok=True)
    return folder


def copied_tables(folder: Path, make: Callable[[Path], None]) -> Callable[[Path], None]:
    """What copies the file that `make` makes, once for all processes that share a folder."""
    original = folder / "mlflow.db"

    def copy(path: Path) -> None:
        with exclusive(folder, "mlflow"):
            if not original.exists():
                make(folder / "mlflow.draft")
                (folder / "mlflow.draft").replace(original)
        shutil.copyfile(original, path)

    return copy


class Homes:
    """Trained homes by the function that trains them.

    Args:
        folder: Where they are kept; shared by the processes of a session.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def copy(self, train: Callable[[World], object], to: Path, patch: pytest.MonkeyPatch) -> World:
        """A copy of the home that `train` makes, in the folder `to`; the environment points to it.

        The first who asks trains, others wait for it.
        """
        original = self._folder / train.__name__
        with exclusive(self._folder, train.__name__):
            if not (original / "complete").exists():
                shutil.rmtree(original, ignore_errors=True)
                with pytest.MonkeyPatch.context() as own:
                    train(make_world(original / "home", original / "configs", own))
                (original / "complete").touch()
        shutil.copytree(original, to, dirs_exist_ok=True)
        relocate(to / "home", str(original / "home"), str(to / "home"))
        return make_world(to / "home", to / "configs", patch)


def relocate(home: Path, before: str, after: str) -> None:
    """Let a copied home name itself, not the one that it was copied from, where MLflow and manifests name folders."""
    for database in (home / "state").glob("*.db"):
        with closing(sqlite3.connect(database)) as connection, connection:
            for table, column in _text_columns(connection):
                connection.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE "{column}" LIKE ?',  # noqa: S608  # names from the schema
                    (before, after, f"%{before}%"),
                )
    for path in (home / "state").rglob("ref.json"):  # of training sets
        path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")


def _text_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        (table, name)
        for table in tables
        for _, name, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")')
        if kind.upper().startswith(("VARCHAR", "TEXT", "JSON", "CLOB"))
    ]
