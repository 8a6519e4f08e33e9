"""What a stage's outcome depends on, what it cost, and what a model was made from: records, and how two differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from tasks.records.base import Record, StoredRecord, digest
from tasks.records.data import DatasetRef, SplitRecord
from tasks.records.stages import StageName


class StageDependencies(Record):
    """What a stage's outcome depends on, by kind.

    Attributes:
        config: Fields of the pipeline's YAML that matter to the stage, by dotted path.
        code: Digest of each module that matters to it, by path. The path is for people: a digest covers the module's
            syntax tree and what it imports by content, so that a module that was moved changes nothing.
        libraries: Versions, by name.
        inputs: Identities of what other stages and the registry gave it, by name.
    """

    config: dict[str, JsonValue] = Field(default_factory=dict)
    code: dict[str, str] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    inputs: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Digest of everything: equal fingerprints, equal outcomes."""
        return digest(self._content())

    @property
    def static_fingerprint(self) -> str:
        """Digest of everything but the inputs."""
        return digest({name: value for name, value in self._content().items() if name != "inputs"})

    def _content(self) -> dict[str, JsonValue]:
        return {**self.model_dump(mode="json"), "code": sorted(self.code.values())}


class Cost(Record):
    """What a stage took.

    Attributes:
        seconds: Wall time.
        cpu_seconds: CPU time of the process and of its children that ended.
        peak_mebibytes: Most resident memory of the process while the stage ran.
    """

    seconds: float
    cpu_seconds: float
    peak_mebibytes: float


def _release(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest of schema 2 of one of schema 1, in which the stage release was called deployment."""
    return manifest | {"stage": "release"} if manifest.get("stage") == "deployment" else manifest


class Manifest(StoredRecord):
    """One run of one stage that ended well.

    Attributes:
        output: What it handed on, as JSON: a TrainingSetRef (features), a ModelRef (training), a Verdict (evaluation),
            a Promotion (release), counts (ingestion).
        facts: What a person wants to know of its inputs, beyond their identities: rows, batches.
        run: Id of the flow run in Prefect; empty outside of one.
        at: The run's clock.
    """

    schema_number: ClassVar[int] = 2
    upgrades: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {1: _release}

    pipeline: str
    stage: StageName
    fingerprint: str
    parts: StageDependencies
    output: dict[str, JsonValue]
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    run: str = ""
    at: datetime
    cost: Cost


class Provenance(StoredRecord):
    """All that a model was made from: enough to build it again and to prove it. Stored with the model's files.

    Attributes:
        config: The pipeline's whole configuration.
        dataset: Identity and table versions of the data.
        features: What the training set depended on.
        training: What the fitted model depended on.
        commit: The code's commit, `-dirty` where files were changed since; empty where it is not known.
        lock: Digest of requirements.lock.
        packages: Every installed distribution's version, by name.
        python, platform: As `platform` tells them.
        threads: Threads that BLAS and OpenMP had while it was fitted.
        clock: The run's clock.
        fitted: Digest of the fitted object, see `tasks.stores.registry.fitted`.
    """

    schema_number: ClassVar[int] = 2

    pipeline: str
    config: dict[str, JsonValue]
    dataset: DatasetRef
    split: SplitRecord
    train_rows: int
    holdout_rows: int
    features: StageDependencies
    training: StageDependencies
    commit: str
    lock: str
    packages: dict[str, str]
    python: str
    platform: str
    threads: int
    clock: datetime
    fitted: str


def flat(section: JsonValue, prefix: str = "") -> dict[str, JsonValue]:
    """A nested section as leaves by dotted path. Lists of plain values are leaves; what is empty is left out."""
    found: dict[str, JsonValue] = {}
    if isinstance(section, dict):
        for name, value in section.items():
            found |= flat(value, f"{prefix}.{name}" if prefix else name)
    elif isinstance(section, list) and any(isinstance(value, dict) for value in section):
        for number, value in enumerate(section):
            found |= flat(value, f"{prefix}[{number}]")
    elif section != []:
        found[prefix] = section
    return found


def config_changes(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Iterator[str]:
    """Each field that differs, as `path: old → new`."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"{name}: {shorten(before[name])} → left out"
        elif name not in before:
            yield f"{name}: left out → {shorten(now[name])}"
        elif before[name] != now[name]:
            yield f"{name}: {shorten(before[name])} → {shorten(now[name])}"


def code_changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Each module that differs."""
    changed = sorted(name for name in before.keys() & now.keys() if before[name] != now[name])
    for what, names in (
        ("code changed", changed),
        ("code added", sorted(now.keys() - before.keys())),
        ("code removed", sorted(before.keys() - now.keys())),
    ):
        if names:
            yield f"{what}: {', '.join(names)}"


def library_changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Each library whose version differs."""
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name} {before.get(name, 'not there')} → {now.get(name, 'not there')}"


def changes(before: StageDependencies, now: StageDependencies) -> tuple[str, ...]:
    """What differs between two recipes, in words. Inputs are left to who knows what they mean."""
    return (
        *config_changes(before.config, now.config),
        *code_changes(before.code, now.code),
        *library_changes(before.libraries, now.libraries),
    )


def shorten(value: JsonValue) -> str:
    """A value as text of at most 60 characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
