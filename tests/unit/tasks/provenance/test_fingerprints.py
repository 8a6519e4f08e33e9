"""Recipes: each stage depends on its own fields, modules and libraries, and on nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.provenance import fingerprints
from tasks.records.stages import TRAINING_STAGES
from tasks.stores import environment
from tests.support.world import ROOT

BASE: dict[str, Any] = {
    "name": "demand",
    "description": "x",
    "task": "regression",
    "source": {"landing": "demand"},
    "contract": {"target": "y", "key": ("id",), "columns": {n: {"type": "number"} for n in ("id", "x", "y")}},
    "features": {"numeric": ("x",)},
    "split": {"kind": "random"},
    "training": {"estimator": "sklearn.linear_model.Ridge", "parameters": {"alpha": 1.0}},
    "evaluation": {"primary": "mae"},
}


def config(**changes: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({**BASE, **changes})


def changed(**changes: Any) -> list[str]:
    """The stages whose recipes a change of the configuration changes."""
    before, now = config(), config(**changes)
    return [
        step
        for step in TRAINING_STAGES
        if fingerprints.stage_dependencies(before, step).static_fingerprint
        != fingerprints.stage_dependencies(now, step).static_fingerprint
    ]


def columns(**changes: dict[str, Any]) -> dict[str, Any]:
    found = {name: {"type": "number"} for name in ("id", "x", "y")} | changes
    return {"target": "y", "key": ("id",), "columns": found}


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, []),
        ({"split": {"kind": "random", "holdout": 0.3}}, ["features"]),
        ({"contract": columns(y={"type": "number", "nullable": True})}, ["features"]),
        ({"contract": columns(x={"type": "number", "nullable": True})}, ["features", "training"]),
        ({"training": {"estimator": "sklearn.linear_model.Ridge", "parameters": {"alpha": 2.0}}}, ["training"]),
        ({"training": {"estimator": "sklearn.linear_model.Lasso"}}, ["training"]),
        ({"features": {"numeric": ("x",), "scale": True}}, ["training"]),
        ({"seed": 1}, ["training", "evaluation"]),
        ({"evaluation": {"primary": "rmse"}}, ["training", "evaluation"]),  # the baseline is fitted for it
        ({"evaluation": {"primary": "mae", "bounds": ({"metric": "mae", "maximum": 3.0},)}}, ["evaluation"]),
        ({"compliance": {"min_training_rows": 7}}, ["evaluation"]),
        ({"owner": "ana"}, ["evaluation"]),
    ],
    ids=str,
)
def test_a_field_changes_the_recipes_of_the_stages_that_it_matters_to(
    changes: dict[str, Any], stages: list[str]
) -> None:
    assert changed(**changes) == stages


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "another"},
        {"retrain": {"new_rows": 9}},
        {"monitoring": {"min_rows": 99, "sample_rows": 200}},
        {"upkeep": {"keep_days": 3.0}},
        {"approval": {"required": True}},
        {"validation": {"max_quarantined_share": 0.5}},
        {"source": {"landing": "elsewhere"}},
        {
            "contract": columns(
                id={"type": "number", "description": "Which", "unit": "m"}, x={"type": "number", "minimum": 0}
            )
        },
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_field_that_matters_to_none_changes_none(changes: dict[str, Any]) -> None:
    assert changed(**changes) == []


def test_code_is_found_by_what_is_imported() -> None:
    found = {step: set(fingerprints.stage_dependencies(config(), step).code) for step in TRAINING_STAGES}
    assert found["features"] == {
        "tasks/features/split.py",
        "tasks/features/stage.py",
        "tasks/features/stored.py",
        "tasks/features/training_set.py",
        "tasks/stores/files/hashing.py",
    }
    assert {"tasks/training/fit.py", "tasks/features/definitions.py", "tasks/features/frame.py"} <= found["training"]
    assert {
        "tasks/evaluation/gates/q02_comparison.py",
        "tasks/statistics/metrics.py",
        "tasks/statistics/intervals.py",
    } <= found["evaluation"]
    everything = set().union(*found.values())
    assert not [name for name in everything if name.endswith(("task.py", "page.py")) or "tracking" in name]
    assert not everything & {"tasks/records/data.py", "tasks/errors.py", "tasks/stores/lake/tables.py"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose code can be changed."""
    for path in (ROOT / "tasks").rglob("*.py"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    return tmp_path


def changed_by(checkout: Path, module: str, text: str) -> list[str]:
    before = {step: fingerprints.stage_dependencies(config(), step).static_fingerprint for step in TRAINING_STAGES}
    path = checkout / module
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return [
        step
        for step in TRAINING_STAGES
        if fingerprints.stage_dependencies(config(), step).static_fingerprint != before[step]
    ]


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("tasks/features/split.py", ["features", "evaluation"]),
        ("tasks/features/training_set.py", ["features", "evaluation"]),
        ("tasks/stores/files/hashing.py", ["features", "evaluation"]),
        ("tasks/features/definitions.py", ["training"]),
        ("tasks/training/fit.py", ["training"]),
        ("tasks/statistics/intervals.py", ["evaluation"]),
        ("tasks/evaluation/gates/q01_quality.py", ["evaluation"]),
        ("tasks/training/task.py", []),
        ("tasks/evaluation/page.py", []),
        ("tasks/stores/lake/tables.py", []),
        ("tasks/monitoring/decide.py", []),
    ],
)
def test_a_line_of_code_changes_the_stages_that_run_it(checkout: Path, module: str, stages: list[str]) -> None:
    assert changed_by(checkout, module, "\n\n# a comment alone changes nothing\n") == []
    assert changed_by(checkout, module, "\n\n_MORE = 1\n") == stages


def test_a_module_newly_imported_counts_from_then_on(checkout: Path) -> None:
    (checkout / "tasks/training/more.py").write_text("X = 1\n", encoding="utf-8")
    assert changed_by(checkout, "tasks/training/more.py", "Y = 1\n") == []
    assert changed_by(checkout, "tasks/training/fit.py", "\n\nfrom tasks.training import more\n") == ["training"]
    assert changed_by(checkout, "tasks/training/more.py", "Z = 1\n") == ["training"]


def test_a_module_that_was_moved_changes_nothing(checkout: Path) -> None:
    before = {step: fingerprints.stage_dependencies(config(), step) for step in TRAINING_STAGES}
    (checkout / "tasks/features/split.py").rename(checkout / "tasks/features/splitting.py")
    for path in (checkout / "tasks").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("tasks.features.split ", "tasks.features.splitting "), encoding="utf-8")
    now = {step: fingerprints.stage_dependencies(config(), step) for step in TRAINING_STAGES}
    assert "tasks/features/splitting.py" in now["features"].code
    assert {step: one.fingerprint for step, one in now.items()} == {
        step: one.fingerprint for step, one in before.items()
    }


def test_a_library_counts_for_the_stages_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {step: fingerprints.stage_dependencies(config(), step) for step in TRAINING_STAGES}
    real = environment.library_versions

    def other(names: Any = environment.LIBRARIES) -> dict[str, str]:
        return {name: "0" if name == "pyarrow" else version for name, version in real(names).items()}

    monkeypatch.setattr(environment, "library_versions", other)
    now = {step: fingerprints.stage_dependencies(config(), step) for step in TRAINING_STAGES}
    assert [step for step in TRAINING_STAGES if now[step].static_fingerprint != before[step].static_fingerprint] == [
        "features",
        "training",
    ]


def own(parameters: dict[str, JsonValue] | None = None) -> PipelineConfig:
    return config(training={"estimator": "mine.models.Best", "parameters": parameters or {}})


def test_ones_own_estimator_counts_with_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "models.py").write_text("from .inner import half\nimport json\n\nclass Best: ...\n", encoding="utf-8")
    (package / "inner.py").write_text("def half(x):\n    return x / 2\n", encoding="utf-8")
    (package / "aside.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    before = fingerprints.stage_dependencies(own(), "training")
    assert {"mine/models.py", "mine/inner.py"} <= set(before.code)
    assert "mine/aside.py" not in before.code
    (package / "inner.py").write_text("def half(x):\n    return x / 2.0\n", encoding="utf-8")
    assert fingerprints.stage_dependencies(own(), "training").static_fingerprint != before.static_fingerprint
    assert "mine" not in sys.modules, "decided without importing it"


def test_an_installed_estimator_counts_by_its_version() -> None:
    found = fingerprints.stage_dependencies(config(training={"estimator": "skops.io.Thing"}), "training")
    assert found.libraries["skops"] == environment.library_versions(["skops"])["skops"]
    nested = {
        "estimator": "sklearn.model_selection.GridSearchCV",
        "parameters": {"estimator": {"estimator": "yaml.Best"}},
    }
    assert "pyyaml" in {
        name.lower() for name in fingerprints.stage_dependencies(config(training=nested), "training").libraries
    }


def test_a_module_that_is_no_python_is_told(checkout: Path) -> None:
    from tasks.errors import UsageError

    (checkout / "tasks/features/split.py").write_text("def (", encoding="utf-8")
    with pytest.raises(UsageError, match=r"split\.py: this module can't be read as Python"):
        fingerprints.stage_dependencies(config(), "features")
