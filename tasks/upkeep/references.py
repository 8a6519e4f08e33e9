"""References to versions of the lake's tables, which upkeep keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate
from tasks.records.model import ModelRef

ReferencedTable = Literal["observations", "labels"]


class Reference(NamedTuple):
    """A reference to a table version; None: unknown, so that all versions are kept."""

    table: ReferencedTable
    version: int | None
    reason: str


def model_references(models: Iterable[ModelRef]) -> Iterator[Reference]:
    """Yield the references of registered models."""
    for model in models:
        yield from _references(model.observations, model.labels, f"model version {model.version}")


def candidate_references(waiting: Iterable[tuple[int, Candidate]]) -> Iterator[Reference]:
    """Yield the references of candidates that wait for release or approval."""
    for _, candidate in waiting:
        model = candidate.model
        yield from _references(model.observations, model.labels, f"the waiting candidate of run {model.run_id[:8]}")


def training_set_references(stored: Iterable[TrainingSetRef]) -> Iterator[Reference]:
    """Yield the references of stored training sets."""
    for training_set in stored:
        yield from _references(
            training_set.dataset.observations, training_set.dataset.labels, "the stored training set"
        )


def _references(observations: int | None, labels: int | None, reason: str) -> Iterator[Reference]:
    yield Reference("observations", observations, reason)
    # A model without a version of the observations has none of the labels either, although it may use labels.
    if labels is not None or observations is None:
        yield Reference("labels", labels, reason)


def reasons_by_version(references: Iterable[Reference], table: str) -> dict[int, tuple[str, ...]]:
    """Return the reasons to keep versions of a table, by version."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for reference in references:
        if reference.table == table and reference.version is not None:
            reasons[reference.version].append(reference.reason)
    return {version: tuple(dict.fromkeys(reason)) for version, reason in sorted(reasons.items())}


def unknown_versions(references: Iterable[Reference], table: str) -> tuple[str, ...]:
    """Return the reasons of references with an unknown version of a table."""
    return tuple(reference.reason for reference in references if reference.table == table and reference.version is None)
