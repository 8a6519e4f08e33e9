"""MLflow's file is whole or not there: a half-made one is never used, and one that is there is left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tasks.stores.registry.database import make_database


@pytest.mark.usefixtures("mlflow_migrations")
def test_what_a_killed_process_left_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "state" / "mlflow.db"
    path.parent.mkdir()
    draft = path.with_name(".mlflow.db.draft")
    with sqlite3.connect(draft) as half:  # as it is after a kill between two of MLflow's migrations
        half.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    half.close()
    draft.with_name(f"{draft.name}-journal").write_bytes(b"torn")

    make_database(f"sqlite:///{path}")
    assert sorted(one.name for one in path.parent.iterdir()) == [".mlflow.db.lock", "mlflow.db"]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}")
    client.create_registered_model("demand")
    assert [one.name for one in client.search_registered_models()] == ["demand"]

    stamp = path.stat()
    make_database(f"sqlite:///{path}")
    assert path.stat() == stamp


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "postgresql+psycopg://u@h/mlflow", "sqlite://"])
def test_other_databases_and_servers_are_left_alone(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_database(uri)
    assert list(tmp_path.iterdir()) == []
