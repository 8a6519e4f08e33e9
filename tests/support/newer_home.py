"""A home as a newer version leaves it: every stored record has one more field, at any depth, and a higher number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from tasks.records.base import StoredRecord
from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate, DriftVerdict, PerformanceVerdict, Promotion, RetrainDecision, Verdict
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest, Provenance
from tasks.release.registry_moves import Back
from tasks.stores.state.rollouts import Ending, Rollout, RolloutStart
from tests.support.stored import newer

Kinds = Mapping[str, type[StoredRecord]]
OUTPUTS: Kinds = {"features": TrainingSetRef, "training": ModelRef, "evaluation": Verdict, "release": Promotion}
DECISIONS: Kinds = {
    "drift": DriftVerdict,
    "performance": PerformanceVerdict,
    "promotion": Promotion,
    "retrain": RetrainDecision,
    "rollback": Back,
    "rollout": Rollout,
    "verdict": Verdict,
}
TAG = "perennial.model"
FILES: Kinds = {"provenance.json": Provenance, "ref.json": TrainingSetRef, "verdict.json": Verdict}


def rewrite(home: Path) -> dict[str, int]:
    """Store every record anew as a newer version does; how many of each kind."""
    counts: dict[str, int] = {}

    def later(kind: type[StoredRecord], text: str) -> dict[str, Any]:
        counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
        return newer(kind.model_validate_json(text))

    with closing(sqlite3.connect(home / "state" / "audit.db")) as database, database:
        _manifests(database, later)
        _audit(database, later)
    with closing(sqlite3.connect(home / "state" / "mlflow.db")) as database, database:
        tags = database.execute("SELECT rowid, value FROM model_version_tags WHERE key = ?", (TAG,)).fetchall()
        for number, text in tags:
            update = "UPDATE model_version_tags SET value = ? WHERE rowid = ?"
            database.execute(update, (json.dumps(later(ModelRef, text)), number))
    for path in (one for name in FILES for one in home.rglob(name)):
        path.write_text(json.dumps(later(FILES[path.name], path.read_text(encoding="utf-8"))), encoding="utf-8")
    for path in sorted((home / "lake").glob("*/*")):
        _table(path, later)
    return counts


Later = Callable[[type[StoredRecord], str], dict[str, Any]]


def _manifests(database: sqlite3.Connection, later: Later) -> None:
    for number, stage, text in database.execute("SELECT id, stage, manifest FROM manifests").fetchall():
        document = later(Manifest, text)
        if stage in OUTPUTS:
            document["output"] = later(OUTPUTS[stage], json.dumps(json.loads(text)["output"]))
        database.execute("UPDATE manifests SET manifest = ? WHERE id = ?", (json.dumps(document), number))


def _audit(database: sqlite3.Connection, later: Later) -> None:
    for number, action, phase, text in database.execute("SELECT id, action, phase, details FROM audit").fetchall():
        details = {**json.loads(text), "of_a_newer_version": 1}
        if "candidate" in details and action == "candidate":
            details["candidate"] = later(Candidate, json.dumps(details["candidate"]))
        elif "ending" in details:
            details["ending"] = later(Ending, json.dumps(details["ending"]))
        elif (action, phase) == ("rollout", "intent"):
            details = later(RolloutStart, text)
        elif action == "rollback":
            details = later(Back, text)
        database.execute("UPDATE audit SET details = ? WHERE id = ?", (json.dumps(details), number))


def _table(path: Path, later: Later) -> None:
    """One more column, and, of decisions, the records."""
    rows = pa.table(DeltaTable(path).to_pyarrow_table())
    if path.name == "decisions":
        kinds, texts = rows.column("kind").to_pylist(), rows.column("record").to_pylist()
        records = [json.dumps(later(DECISIONS[kind], text)) for kind, text in zip(kinds, texts, strict=True)]
        rows = rows.set_column(rows.schema.get_field_index("record"), "record", pa.array(records, pa.string()))
    if path.name not in ("observations", "labels") and rows.num_rows:
        more = pa.array(["x"] * rows.num_rows, pa.string())
        write_deltalake(path, rows.append_column("_of_a_newer_version", more), mode="overwrite", schema_mode="merge")
