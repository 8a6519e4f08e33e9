"""Checks that the recorded inputs of a model are available unchanged: configuration, packages, code and data."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from pydantic import ValidationError

from configs.schema import PipelineConfig
from tasks.errors import PerennialError
from tasks.provenance import fingerprints
from tasks.records.data import DatasetRef
from tasks.records.provenance import Provenance, StageDependencies, code_changes, library_changes
from tasks.stores.environment import git_commit
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.training.reproduction import Check, CheckKind

_DIRTY = "-dirty"


def check_configuration(provenance: Provenance) -> tuple[PipelineConfig | None, Check]:
    """Return the recorded configuration, or None, and the check that it is still valid."""
    try:
        # By way of JSON, which has lists for tuples: the sections are strict.
        config = PipelineConfig.model_validate_json(json.dumps(provenance.config))
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]
        location = ".".join(str(step) for step in first_error["loc"])
        problem = f"{location}: {first_error['msg']} (with the current code)"
        return None, _check_result("configuration", "configuration", problem, checkout_instructions(provenance))
    return config, _check_result("configuration", "configuration", "", "", "valid as recorded")


def check_environment(provenance: Provenance) -> Check:
    """Check Python's minor version and the relevant libraries."""
    recorded = provenance.features.libraries | provenance.training.libraries
    changed = [*library_changes(recorded, {name: _installed_version(name) for name in recorded})]
    recorded_python, python = minor_version(provenance.python), minor_version(platform.python_version())
    if recorded_python != python:
        changed.insert(0, f"Python {recorded_python} → {python}")
    summary = ", ".join(
        [f"Python {recorded_python}", *(f"{name} {number}" for name, number in sorted(recorded.items()))]
    )
    return _check_result("packages", "packages", "; ".join(changed), checkout_instructions(provenance), summary)


def check_code(provenance: Provenance, config: PipelineConfig) -> Check:
    """Check that the relevant modules are unchanged, except for comments and docstrings."""
    changed: dict[str, None] = {}
    for step, recorded in (("features", provenance.features), ("training", provenance.training)):
        current: StageDependencies = fingerprints.stage_dependencies(
            config, "features" if step == "features" else "training"
        )
        changed |= dict.fromkeys(code_changes(recorded.code, current.code))
    modules = len({*provenance.features.code, *provenance.training.code})
    commits = (
        (f" (trained with commit {provenance.commit or 'unknown'}, current commit {git_commit() or 'unknown'})")
        if changed
        else ""
    )
    return _check_result(
        "code", "code", "; ".join(changed) + commits, checkout_instructions(provenance), f"all {modules} modules"
    )


def check_data(provenance: Provenance, config: PipelineConfig, settings: Settings) -> Iterator[Check]:
    """Check that the accepted files are the recorded ones and that the table versions can be read."""
    lake, recorded = Lake(settings, config), provenance.dataset
    accepted = [
        record for record in lake.ledger() if record.verdict == "accepted" and record.seq <= recorded.through_seq
    ]
    batches = f"{len(accepted)} accepted files, through number {recorded.through_seq}"
    same = lake.dataset(accepted).digest == recorded.digest if accepted else False
    yield _check_result(
        "files",
        "data",
        "" if same else f"{batches}: not the recorded ones, according to the ledger of {lake.url('batches')} has it",
        f"Restore the lake's folder {lake.url('batches')} from a backup.",
        batches,
    )
    yield _check_table_versions(lake, recorded)


def _check_table_versions(lake: Lake, recorded: DatasetRef) -> Check:
    remedy = f"Restore the lake's folder {lake.url('observations').rpartition('/')[0]} from a backup."
    recorded_versions = {"observations": recorded.observations} | (
        {} if recorded.labels is None else {"labels": recorded.labels}
    )
    for table, number in recorded_versions.items():
        try:
            table_at_version = lake.open("labels" if table == "labels" else "observations", number)
        except PerennialError as error:
            return _check_result("rows", "data", str(error), remedy)
        if table_at_version is None or number is None:
            return _check_result("rows", "data", f"table {table} is missing: {lake.url('observations')}", remedy)
    versions = ", ".join(f"{table} as of version {number}" for table, number in recorded_versions.items())
    return _check_result("rows", "data", "", "", f"{versions} can be read")


def checkout_instructions(provenance: Provenance) -> str:
    """Return instructions to get the code and packages that a model was trained with."""
    commit = provenance.commit.removesuffix(_DIRTY)
    if not commit:
        return "The commit was not recorded: install the packages recorded in provenance.json."
    changed = " The code had uncommitted changes, which must be restored." * (commit != provenance.commit)
    return (
        f"Get the recorded code and packages: git worktree add ../perennial-{commit[:12]} {commit}, then "
        "`make setup` in "
        f"that folder, and run its .venv/bin/perennial with the same PERENNIAL_HOME.{changed}"
    )


def _check_result(name: str, kind: CheckKind, difference: str, remedy: str, summary: str = "") -> Check:
    if difference:
        return Check(name=name, kind=kind, outcome="differs", found=difference, remedy=remedy)
    return Check(name=name, kind=kind, outcome="equal", found=summary)


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def minor_version(number: str) -> str:
    """Return the first two numbers of a version."""
    return ".".join(number.split(".")[:2])
