"""How one version differs from another: data, configuration, code, packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import JsonValue

from perennial.reporting.changes.candidates import EvaluatedVersion
from perennial.reporting.changes.records import (
    AddedFile,
    CodeChange,
    DataChange,
    DriftSummary,
    FieldChange,
    PackageChange,
    VersionChange,
)
from tasks.provenance.commits import commits_between
from tasks.records.data import BatchRecord
from tasks.records.provenance import StageDependencies
from tasks.records.stages import TRAINING_STAGES, TrainingStage

_CHANGE_KINDS = {(True, True): "changed", (False, True): "added", (True, False): "not used any more"}


def version_change(
    before: EvaluatedVersion | None,
    now: EvaluatedVersion,
    why: str,
    ledger: Sequence[BatchRecord],
    drift: DriftSummary | None,
    *,
    newest: bool,
) -> VersionChange:
    """What is different in a version.

    Args:
        before: The version that it is compared with; None: there was none.
        now: The version.
        why: Why it is compared with that one.
        ledger: Every batch ever taken.
        drift: What was found before the version was trained.
        newest: Whether it is the newest: files rejected since are reported with it.
    """
    missing = () if before is None else tuple(_missing(before, now))
    lost = {step for step in TRAINING_STAGES if before and not (step in before.manifests and step in now.manifests)}
    return VersionChange(
        against=None if before is None else before.version,
        why=why,
        data=_data(before, now, ledger, drift, newest=newest),
        config=() if before is None else _config(before, now, lost),
        code=None if before is None else _code(before, now, lost),
        packages=() if before is None else _packages(before, now, lost),
        unknown=missing,
    )


def _missing(before: EvaluatedVersion, now: EvaluatedVersion) -> Iterator[str]:
    for one in (before, now):
        for reason in one.missing:
            yield f"{one.name}: {reason}"


def _data(
    before: EvaluatedVersion | None,
    now: EvaluatedVersion,
    ledger: Sequence[BatchRecord],
    drift: DriftSummary | None,
    *,
    newest: bool,
) -> DataChange:
    model, known = now.candidate.model, 0 if before is None else before.candidate.model.through_seq
    added = [one for one in ledger if one.verdict == "accepted" and known < one.seq <= model.through_seq]
    # Nothing is trained on these: they belong to the time between.
    later = [one for one in ledger if one.verdict == "rejected" and (before is None or one.ingested_at > before.at)]
    rejected = [one for one in later if newest or one.ingested_at <= now.at]
    observations = [one for one in added if one.feed == "observations"]
    return DataChange(
        files=tuple(_file(one) for one in added),
        rows=sum(one.accepted - one.superseded for one in observations),
        labels=sum(one.accepted for one in added if one.feed == "labels"),
        refused=tuple(f"{one.path}: {'; '.join(one.reasons)}" for one in rejected),
        first=min((one.event_time_min for one in observations if one.event_time_min), default=None),
        last=max((one.event_time_max for one in observations if one.event_time_max), default=None),
        train_rows=model.train_rows,
        holdout_rows=now.candidate.verdict.metrics.rows,
        before_train_rows=None if before is None else before.candidate.model.train_rows,
        before_holdout_rows=None if before is None else before.candidate.verdict.metrics.rows,
        drift=drift,
    )


def _file(one: BatchRecord) -> AddedFile:
    return AddedFile(path=one.path, feed=one.feed, rows=one.accepted, first=one.event_time_min, last=one.event_time_max)


def _config(
    before: EvaluatedVersion, now: EvaluatedVersion, lost: set[TrainingStage]
) -> tuple[FieldChange, ...] | None:
    """Fields of the stages that are known of both; None where no stage is."""
    if len(lost) == len(TRAINING_STAGES):
        return None
    found = {}
    for was, is_now in _stage_dependencies(before, now, lost):
        found.update({one.field: one for one in field_changes(was.config, is_now.config)})
    return tuple(found[name] for name in sorted(found))


def _stage_dependencies(
    before: EvaluatedVersion, now: EvaluatedVersion, lost: set[TrainingStage]
) -> Iterator[tuple[StageDependencies, StageDependencies]]:
    """Stage by stage: one that was taken from an earlier run is of the code of then."""
    for step in TRAINING_STAGES:
        if step not in lost:
            yield before.manifests[step].parts, now.manifests[step].parts


def field_changes(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Iterator[FieldChange]:
    """Each field, by dotted path, that differs. A field left out and one that is null are the same."""
    for name in sorted(before.keys() | now.keys()):
        was, is_now = before.get(name), now.get(name)
        if was == is_now or _container(name, was, now) or _container(name, is_now, before):
            continue
        kind: Literal["changed", "added", "left out"] = "changed"
        if was is None or is_now is None:
            kind = "added" if was is None else "left out"
        yield FieldChange(field=name, kind=kind, before=was, now=is_now)


def _container(name: str, value: JsonValue, other: Mapping[str, JsonValue]) -> bool:
    """Whether it is an empty list or section that holds something in the other: its fields are described."""
    return value in ([], {}) and any(one.startswith((f"{name}[", f"{name}.")) for one in other)


def _code(before: EvaluatedVersion, now: EvaluatedVersion, lost: set[TrainingStage]) -> CodeChange | None:
    if len(lost) == len(TRAINING_STAGES):
        return None
    changed: dict[str, str] = {}
    for was, is_now in _stage_dependencies(before, now, lost):
        for path in was.code.keys() | is_now.code.keys():
            if was.code.get(path) != is_now.code.get(path):
                changed[path] = _CHANGE_KINDS[path in was.code, path in is_now.code]
    paths = sorted(changed)
    old, new = (str(_fact(one, "commit") or "") for one in (before, now))
    between = commits_between(old, new, paths) if old != new else None
    return CodeChange(
        modules=tuple(f"{path} {changed[path]}" for path in paths),
        before=old,
        now=new,
        commits=between or (),
    )


def _packages(
    before: EvaluatedVersion, now: EvaluatedVersion, lost: set[TrainingStage]
) -> tuple[PackageChange, ...] | None:
    """Every package where both trainings noted them, else those that the stages depend on."""
    if len(lost) == len(TRAINING_STAGES):
        return None
    found: dict[str, tuple[JsonValue, JsonValue]] = {}
    whole = [_fact(one, "packages") for one in (before, now)]
    if isinstance(whole[0], dict) and isinstance(whole[1], dict):
        found |= {name: (whole[0].get(name), whole[1].get(name)) for name in whole[0].keys() | whole[1].keys()}
    matter: set[str] = set()
    for was, is_now in _stage_dependencies(before, now, lost):
        matter |= was.libraries.keys() | is_now.libraries.keys()
        found |= {
            name: (was.libraries.get(name), is_now.libraries.get(name)) for name in matter if _differ(name, was, is_now)
        }
    changed = [
        PackageChange(name=name, before=_text(old), now=_text(new), matters=name in matter)
        for name, (old, new) in sorted(found.items())
        if old != new
    ]
    return tuple(sorted(changed, key=lambda one: not one.matters))


def _differ(name: str, was: StageDependencies, is_now: StageDependencies) -> bool:
    return was.libraries.get(name) != is_now.libraries.get(name)


def _text(version: JsonValue) -> str | None:
    return None if version is None else str(version)


def _fact(version: EvaluatedVersion, name: str) -> JsonValue:
    training = version.manifests.get("training")
    return None if training is None else training.facts.get(name)
