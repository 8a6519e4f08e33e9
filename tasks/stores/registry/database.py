"""MLflow's database where that is an SQLite file: made whole or not at all."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from tasks.stores.locks.file import exclusive


def make_database(uri: str) -> None:
    """Make MLflow's SQLite file unless it is there; other databases, and servers, are left alone.

    MLflow makes its tables in many steps that are no transaction. Of two processes that do so at once one fails, and
    one that is killed meanwhile leaves a file on which every later one fails. Here they are made under a lock, in a
    draft that then gets the file's name.
    """
    path = _file(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent, f".{path.name}"):
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.draft")
        for left in path.parent.glob(f"{draft.name}*"):  # with its journal, by a process that was killed
            left.unlink()
        make_tables(draft)
        draft.replace(path)


def make_tables(path: Path) -> None:
    """Make a new SQLite file with MLflow's tables, by all its migrations."""
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{path}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    store.engine.dispose()


def _file(uri: str) -> Path | None:
    if not uri.startswith("sqlite"):
        return None
    database = sa.make_url(uri).database
    return None if not database or database == ":memory:" else Path(database).absolute()
