"""Whether what a model was made from is here as it was then: configuration, packages, code, data. Nothing is built."""

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
from tasks.training.proof import Check, Kind

_DIRTY = "-dirty"


def configuration(made_of: Provenance) -> tuple[PipelineConfig | None, Check]:
    """The recorded configuration, and whether it is valid still; None where it is not."""
    try:
        # By way of JSON, which has lists for tuples: the sections are strict.
        config = PipelineConfig.model_validate_json(json.dumps(made_of.config))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in wrong["loc"])
        found = f"{place}: {wrong['msg']}, by the code of now"
        return None, _check("configuration", "configuration", found, code_of_then(made_of))
    return config, _check("configuration", "configuration", "", "", "valid as it was recorded")


def environment(made_of: Provenance) -> Check:
    """Whether Python's minor version and the libraries that matter are those of then."""
    before = made_of.features.libraries | made_of.training.libraries
    changed = [*library_changes(before, {name: _installed(name) for name in before})]
    then, now = minor(made_of.python), minor(platform.python_version())
    if then != now:
        changed.insert(0, f"Python {then} → {now}")
    equal = ", ".join([f"Python {then}", *(f"{name} {number}" for name, number in sorted(before.items()))])
    return _check("packages", "packages", "; ".join(changed), code_of_then(made_of), equal)


def code(made_of: Provenance, config: PipelineConfig) -> Check:
    """Whether each module that matters is as it was, comments and docstrings aside."""
    changed: dict[str, None] = {}
    for step, before in (("features", made_of.features), ("training", made_of.training)):
        now: StageDependencies = fingerprints.stage_dependencies(
            config, "features" if step == "features" else "training"
        )
        changed |= dict.fromkeys(code_changes(before.code, now.code))
    modules = len({*made_of.features.code, *made_of.training.code})
    told = f" (made by commit {made_of.commit or 'unknown'}, here is {git_commit() or 'unknown'})" if changed else ""
    return _check("code", "code", "; ".join(changed) + told, code_of_then(made_of), f"all {modules} modules")


def data(made_of: Provenance, config: PipelineConfig, settings: Settings) -> Iterator[Check]:
    """Whether the accepted files are those of then, and their rows can still be read as they were."""
    lake, then = Lake(settings, config), made_of.dataset
    known = [one for one in lake.ledger() if one.verdict == "accepted" and one.seq <= then.through_seq]
    batches = f"{len(known)} accepted files, through number {then.through_seq}"
    same = lake.dataset(known).digest == then.digest if known else False
    yield _check(
        "files",
        "data",
        "" if same else f"{batches}: not those that it was made of, as the ledger of {lake.url('batches')} has it",
        f"Restore the lake's folder {lake.url('batches')} from a copy of then.",
        batches,
    )
    yield _versions(lake, then)


def _versions(lake: Lake, then: DatasetRef) -> Check:
    remedy = f"Restore the lake's folder {lake.url('observations').rpartition('/')[0]} from a copy of then."
    wanted = {"observations": then.observations} | ({} if then.labels is None else {"labels": then.labels})
    for table, number in wanted.items():
        try:
            opened = lake.open("labels" if table == "labels" else "observations", number)
        except PerennialError as error:
            return _check("rows", "data", str(error), remedy)
        if opened is None or number is None:
            return _check("rows", "data", f"table {table} is not there: {lake.url('observations')}", remedy)
    told = ", ".join(f"{table} as of version {number}" for table, number in wanted.items())
    return _check("rows", "data", "", "", f"{told} can be read")


def code_of_then(made_of: Provenance) -> str:
    """How a person gets the code and the packages that a model was made with."""
    commit = made_of.commit.removesuffix(_DIRTY)
    if not commit:
        return "The commit that it was made by was not recorded: install its packages as recorded in provenance.json."
    changed = " Its code had changes that were not committed: they must be made again." * (commit != made_of.commit)
    return (
        f"Get code and packages of then: git worktree add ../perennial-{commit[:12]} {commit}, then `make setup` in "
        f"that folder, and run its .venv/bin/perennial with the same PERENNIAL_HOME.{changed}"
    )


def _check(name: str, kind: Kind, differs: str, remedy: str, equal: str = "") -> Check:
    if differs:
        return Check(name=name, kind=kind, outcome="differs", found=differs, remedy=remedy)
    return Check(name=name, kind=kind, outcome="equal", found=equal)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not there"


def minor(number: str) -> str:
    """A version's first two numbers."""
    return ".".join(number.split(".")[:2])
