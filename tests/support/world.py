"""A home with a small pipeline, and generated rows for it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tasks.stores.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from configs.schema import PipelineConfig
    from tasks.records.report import LifecycleReport

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("bus", "rail", "tram")


@dataclass(frozen=True)
class World:
    """A home and a folder of pipeline YAMLs, both in the environment."""

    home: Path
    configs: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    def pipeline(self, name: str, changes: Mapping[str, Any] | None = None, *, drop: str = "") -> PipelineConfig:
        """Write a small pipeline's YAML, changed as given (mappings are merged), less the dotted field `drop`."""
        from configs.load import read

        document = merged({**deepcopy(REGRESSION), "name": name, "source": {"landing": name}}, changes or {})
        if drop:
            *parents, last = drop.split(".")
            inside = document
            for parent in parents:
                inside = inside[parent]
            del inside[last]
        path = self.configs / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return read(path)

    def config(self, name: str) -> PipelineConfig:
        from configs.load import read

        return read(self.configs / f"{name}.yaml")

    def landing(self, name: str) -> Path:
        return self.home / "landing" / name

    def land(self, folder: str, file: str, content: pd.DataFrame | str | bytes) -> Path:
        """Put a file into a landing folder in one move: a frame by its ending, text or bytes as they are."""
        return write(self.landing(folder) / file, content)

    def run(self, name: str) -> LifecycleReport:
        """A run in this process, without Prefect."""
        from tests.support.direct import lifecycle

        return lifecycle(name)

    def flow(self, name: str) -> LifecycleReport:
        """A run as a flow of Prefect."""
        from flows.lifecycle import lifecycle

        return lifecycle(name)

    def row_ids(self, name: str, table: Any = "observations") -> list[int]:
        """Identities of the rows in a lake table, sorted, repeats kept."""
        from tasks.stores.lake.schemas import ROW_ID
        from tasks.stores.lake.tables import Lake

        return sorted(Lake(self.settings, self.config(name)).read(table, [ROW_ID]).column(ROW_ID).to_pylist())

    def ledger(self, name: str) -> dict[str, Any]:
        """The ledger's batches by path."""
        from tasks.stores.lake.tables import Lake

        return {batch.path: batch for batch in Lake(self.settings, self.config(name)).ledger()}

    def alias(self, name: str) -> int | None:
        """The version that MLflow's alias champion points to."""
        from tasks.stores.registry.tracking import Tracking

        return Tracking(self.settings, name).champion_version()


def make_world(home: Path, configs: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in given folders; the environment points to it until the monkeypatch is undone."""
    configs.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_CONFIGS", str(configs))
    monkeypatch.setenv("PERENNIAL_ACTOR", "tests")
    return World(home, configs)


# A fast pipeline: keyed rows with an event time, a random split, Ridge.
REGRESSION: dict[str, Any] = {
    "name": "",
    "description": "Minutes of a trip, for tests.",
    "owner": "tests@perennial.invalid",
    "task": "regression",
    "seed": 3,
    "source": {"landing": ""},
    "contract": {
        "key": ["id"],
        "event_time": "at",
        "target": "y",
        "columns": {
            "id": {"type": "integer"},
            "at": {"type": "timestamp"},
            "x1": {"type": "number", "minimum": -1000, "maximum": 1000},
            "x2": {"type": "number", "nullable": True},
            "kind": {"type": "string", "allowed": list(KINDS)},
            "y": {"type": "number"},
        },
    },
    "features": {"numeric": ["x1", "x2"], "categorical": ["kind"]},
    "split": {"kind": "random", "holdout": 0.3},
    "training": {"estimator": "sklearn.linear_model.Ridge", "parameters": {"alpha": 1.0}},
    "evaluation": {"primary": "mae", "comparison": {"resamples": 200, "min_rows": 30, "margin": 0.02}},
    "compliance": {"min_training_rows": 50},
    "monitoring": {"window_batches": 1, "min_rows": 50},
}
NEVER_RETRAIN: dict[str, Any] = {"retrain": {"new_rows": 1_000_000, "on_drift": False}}


def merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, mappings merged, everything else (and an estimator's `parameters`) replaced."""
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(base.get(name), dict) and name != "parameters"
        base[name] = merged(base[name], value) if both else deepcopy(value)
    return base


def trips(first: int, rows: int, *, seed: int, shift: float = 0.0, weak: bool = False) -> pd.DataFrame:
    """Generated rows, `id` from `first` on, an hour apart. y follows x1, x2 and kind; `weak`: hardly, and wrongly."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    ids = np.arange(first, first + rows)
    x1, x2 = rng.normal(shift, 1.0, rows), rng.normal(0.0, 1.0, rows)
    kind = rng.integers(0, len(KINDS), rows)
    truth = 3.0 * x1 - 2.0 * x2 + kind
    y = (0.8 * x1 + rng.normal(0.0, 0.5, rows)) if weak else (truth + rng.normal(0.0, 0.3, rows))
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(ids, unit="h")
    names = [KINDS[code] for code in kind]
    return pd.DataFrame({"id": ids, "at": at, "x1": x1, "x2": x2, "kind": names, "y": y})


def write(path: Path, content: pd.DataFrame | str | bytes) -> Path:
    """Write a file in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    if isinstance(content, bytes):
        draft.write_bytes(content)
    elif isinstance(content, str):
        draft.write_text(content, encoding="utf-8")
    elif path.suffix == ".parquet":
        content.to_parquet(draft, index=False)
    elif path.suffix == ".jsonl":
        content.to_json(draft, orient="records", lines=True, date_format="iso", date_unit="us", double_precision=15)
    else:
        content.to_csv(draft, index=False)
    draft.replace(path)
    return path
