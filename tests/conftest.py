"""What tests share: one real Prefect server for the whole session, homes, a small pipeline, generated rows.

Nothing heavy is imported here, and the server starts with the first test that asks for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flows.system.session import prefect_session
from tasks.stores.settings import QUIET, Settings, prepare

if TYPE_CHECKING:
    import pandas as pd

    from configs.schema import PipelineConfig
    from tasks.refs import LifecycleReport

os.environ.update(QUIET)
for _name in [name for name in os.environ if name.startswith(("PERENNIAL_", "PREFECT_", "MLFLOW_TRACKING"))]:
    if _name not in QUIET:
        del os.environ[_name]  # the developer's own server, home and registry are not for tests

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("bus", "rail", "tram")


# ------------------------------------------------------------------------------------------------ the server
@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Prefect server, started as the product starts it; flows and subprocesses find it by env."""
    settings = Settings(home=tmp_path_factory.mktemp("server"))
    prepare(settings)
    loaded = "prefect" in sys.modules
    with prefect_session(settings):
        url = os.environ["PREFECT_API_URL"]
        from prefect import settings as prefect_settings

        own: dict[Any, Any] = {}
        if loaded:  # by a test module that imported a flow while it was collected: Prefect read its settings then
            own = {prefect_settings.PREFECT_API_URL: url, prefect_settings.PREFECT_HOME: settings.prefect_home}
        with prefect_settings.temporary_settings(own):
            yield url


# ------------------------------------------------------------------------------------------------ homes and pipelines
@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PERENNIAL_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    return folder


@dataclass(frozen=True)
class World:
    """A home and a folder of pipeline YAMLs, both in the environment."""

    home: Path
    configs: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    def pipeline(self, name: str, changes: Mapping[str, Any] | None = None, *, drop: str = "") -> PipelineConfig:
        """Write a small pipeline's YAML, changed as told (mappings are merged), less the dotted field `drop`."""
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
        """A lifecycle run in this process."""
        from flows.lifecycle import lifecycle

        return lifecycle(name)

    def row_ids(self, name: str, table: Any = "observations") -> list[int]:
        """Identities of the rows in a lake table, sorted, repeats kept."""
        from tasks.stores.lake import Lake
        from tasks.stores.tables import ROW_ID

        return sorted(Lake(self.settings, self.config(name)).read(table, [ROW_ID]).column(ROW_ID).to_pylist())

    def ledger(self, name: str) -> dict[str, Any]:
        """The ledger's batches by path."""
        from tasks.stores.lake import Lake

        return {batch.path: batch for batch in Lake(self.settings, self.config(name)).ledger()}

    def alias(self, name: str) -> int | None:
        """The version that MLflow's alias champion points to."""
        from tasks.stores.tracking import Tracking

        return Tracking(self.settings, name).champion_version()


@pytest.fixture
def world(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A home and an empty configs folder for one test."""
    return make_world(home, tmp_path / "configs", monkeypatch)


def make_world(home: Path, configs: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in given folders; the environment points to it until the monkeypatch is undone."""
    configs.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_CONFIGS", str(configs))
    monkeypatch.setenv("PERENNIAL_ACTOR", "tests")
    return World(home, configs)


@pytest.fixture(scope="module")
def module_world(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[World]:
    """One home for a whole module, with the session's server: for tests that look at one longer story."""
    base = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        yield make_world(base / "home", base / "configs", patch)


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
    "policy": {"min_training_rows": 50},
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


# ------------------------------------------------------------------------------------------------ the command line
@dataclass(frozen=True)
class Said:
    """What the command line answered."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything beside it is an error."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


Cli = Callable[..., Said]


def showing(*heavy: str) -> str:
    """A program: the command line with its arguments, then a line with its exit code and which of these it loaded."""
    return (
        "import sys\n"
        "from flows.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        f"print(code, *sorted(loaded & {set(heavy)!r}))\n"
    )


@pytest.fixture
def cli(server: str, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process, with the session's server."""

    def call(*words: str) -> Said:
        from flows.cli import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capfd.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else int(code is not None), out, err)

    return call


def perennial(*words: str, home: Path, configs: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, without the session's server: it starts one itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    own = {**QUIET, "PERENNIAL_HOME": str(home), "PERENNIAL_CONFIGS": str(configs), **(env or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=ROOT,
        env={**inherited, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
