"""The recipe of each stage: the fields, modules and libraries that its outcome depends on, found out by themselves."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.records.base import digest
from tasks.records.provenance import StageDependencies, flat
from tasks.records.stages import TRAINING_STAGES, TrainingStage
from tasks.stores import environment

_ENTRIES: Mapping[TrainingStage, tuple[str, ...]] = {
    "features": ("tasks.features.stage",),
    "training": ("tasks.training.stage",),
    "evaluation": ("tasks.evaluation.stage",),
}
_REGISTRIES: Mapping[TrainingStage, str] = {"evaluation": "tasks.evaluation.gates"}
_LIBRARIES: Mapping[TrainingStage, tuple[str, ...]] = {
    "features": ("numpy", "pandas", "pyarrow"),
    "training": ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops"),
    "evaluation": ("numpy", "pandas", "scikit-learn", "scipy"),
}
# What stages say to each other and how they reach their stores is no part of what they work out.
_PURE_STORES = ("tasks.stores.files.hashing", "tasks.stores.registry.models")
_PACKAGES = frozenset({"tasks", "configs"})
_OTHERS = (
    "tasks.stores",
    "tasks.records",
    "tasks.provenance",
    "tasks.context",
    "tasks.progress",
    "tasks.events",
    "tasks.errors",
    "tasks.retry",
)


def stage_dependencies(
    config: PipelineConfig, step: TrainingStage, inputs: Mapping[str, JsonValue] | None = None
) -> StageDependencies:
    """What a stage's outcome depends on, with what it is given.

    Raises:
        UsageError: a module that it would import can't be read.
    """
    fields: Mapping[TrainingStage, Callable[[PipelineConfig], dict[str, JsonValue]]] = {
        "features": _features,
        "training": _training,
        "evaluation": _evaluation,
    }
    code = _closure((*_ENTRIES[step], *_registered(step)), _is_stage_code, environment.ROOT)
    libraries = environment.library_versions(_LIBRARIES[step])
    if step == "training":
        own, packages = _configured_imports(config)
        code, libraries = code | own, libraries | packages
    return StageDependencies(config=fields[step](config), code=code, libraries=libraries, inputs=dict(inputs or {}))


def recipe(config: PipelineConfig) -> str:
    """Digest of all that decides what a model is and how it is evaluated, but the data."""
    return digest([stage_dependencies(config, step).static_fingerprint for step in TRAINING_STAGES])


def _features(config: PipelineConfig) -> dict[str, JsonValue]:
    return {
        **_section(config, "split"),
        "contract.event_time": config.contract.event_time,
        "contract.target": config.contract.target,
        "labels": "in files of their own" if config.labels is not None else "with the observations",
        **_columns(config, [*config.training_columns, config.contract.target]),
    }


def _training(config: PipelineConfig) -> dict[str, JsonValue]:
    return {
        **_section(config, "features"),
        **_section(config, "training"),
        "evaluation.primary": config.evaluation.primary,  # the baseline is the best constant for it
        "seed": config.seed,
        "task": config.task,
        **_columns(config, config.feature_columns),
    }


def _evaluation(config: PipelineConfig) -> dict[str, JsonValue]:
    whole: dict[str, JsonValue] = {"owner": config.owner, "seed": config.seed, "task": config.task}
    return {**_section(config, "evaluation"), **_section(config, "compliance"), **whole}


def _section(config: PipelineConfig, name: str) -> dict[str, JsonValue]:
    return flat(config.model_dump(mode="json", include={name}))


def _columns(config: PipelineConfig, names: tuple[str, ...] | list[str]) -> dict[str, JsonValue]:
    """Type and nullability of columns: nothing else of a contract reaches a frame."""
    known = config.contract.columns
    return {f"contract.columns.{name}": _kind(known[name].type, known[name].nullable) for name in names}


def _kind(kind: str, nullable: bool) -> str:
    return f"{kind}, nullable" if nullable else kind


# ------------------------------------------------------------------------------------------------ code
def _registered(step: TrainingStage) -> tuple[str, ...]:
    """Modules that a registry finds by their folder: no import names them."""
    folder = _REGISTRIES.get(step)
    if folder is None:
        return ()
    paths = environment.ROOT.joinpath(*folder.split(".")).glob("*.py")
    return tuple(f"{folder}.{path.stem}" for path in sorted(paths) if path.stem != "__init__")


def _is_stage_code(module: str) -> bool:
    """Whether a module is pure code of a stage: neither Prefect's tasks, nor pages, nor stores, nor records."""
    if module in _PURE_STORES:
        return True
    others = module.endswith((".task", ".page")) or f"{module}.".startswith(tuple(f"{name}." for name in _OTHERS))
    return module.startswith("tasks.") and not others


def _closure(entries: tuple[str, ...], wanted: Callable[[str], bool], root: Path) -> dict[str, str]:
    """Digests of some modules below a root and of all wanted ones that they import, themselves or through others."""
    found: dict[str, str] = {}
    waiting = list(entries)
    tops = _PACKAGES | {entry.partition(".")[0] for entry in entries}
    while waiting:
        path = _file(root, waiting.pop())
        if path is None or (name := path.relative_to(root).as_posix()) in found:
            continue
        stamp = path.stat()
        found[name], imported = _read(path, stamp.st_mtime_ns, stamp.st_size, tops)
        waiting += [module for module in imported if wanted(module)]
    return dict(sorted(found.items()))


def _file(root: Path, module: str) -> Path | None:
    """A module's file; None where the name is that of something within a module."""
    place = root.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _read(path: Path, _mtime_ns: int, _size: int, tops: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """A module's digest, and all names that it imports: modules, and what may be a module within one."""
    found, tree = environment.read_module(path, tops)
    return found, tuple(_imports(tree, path))


def _imports(tree: ast.Module, path: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # from . import x
                folder = path.parents[node.level - 1]
                inside = [one.name for one in (folder, *folder.parents) if (one / "__init__.py").is_file()]
                base = ".".join([*reversed(inside), *([base] if base else [])])
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


# ------------------------------------------------------------------------------------------------ what the YAML names
def _configured_imports(config: PipelineConfig) -> tuple[dict[str, str], dict[str, str]]:
    """The code and the packages behind the import paths of a configuration."""
    paths = [one.transformer for one in config.features.custom]
    paths += _estimators({"estimator": config.training.estimator, "parameters": config.training.parameters})
    code: dict[str, str] = {}
    packages: dict[str, str] = {}
    for path in paths:
        top = path.partition(".")[0]
        root = _root(top)
        if root is not None:
            module = path.rpartition(".")[0]
            code |= _closure((module,), lambda name, top=top: name == top or name.startswith(f"{top}."), root)  # type: ignore[misc]
        elif top != "sklearn" and top not in sys.stdlib_module_names:
            packages |= environment.library_versions(packages_distributions().get(top, ()))
    return code, packages


def _estimators(value: JsonValue) -> Iterator[str]:
    """Import paths in a configuration's parameters, however deep."""
    if isinstance(value, dict):
        if isinstance(path := value.get("estimator"), str):
            yield path
        for inner in value.values():
            yield from _estimators(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _estimators(inner)


def _root(top: str) -> Path | None:
    """The folder that a package of one's own lies in; None where it is installed, or not there at all."""
    spec = find_spec(top)
    if spec is None or spec.origin in ("built-in", "frozen"):
        return None
    found = next(iter(spec.submodule_search_locations or ()), spec.origin)
    if found is None:
        return None
    place = Path(found).resolve()
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib", "platstdlib")}
    return None if any(place.is_relative_to(one) for one in installed) else place.parent
