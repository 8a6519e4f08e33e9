"""What refers to versions of the lake's tables, so that upkeep keeps them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate
from tasks.records.model import ModelRef

Referred = Literal["observations", "labels"]


class Reference(NamedTuple):
    """One referrer and the version that it refers to; None where it is not known, so that all must be kept."""

    table: Referred
    version: int | None
    why: str


def of_models(models: Iterable[ModelRef]) -> Iterator[Reference]:
    """What registered models were trained on."""
    for model in models:
        yield from _of(model.observations, model.labels, f"model version {model.version}")


def of_candidates(waiting: Iterable[tuple[int, Candidate]]) -> Iterator[Reference]:
    """What candidates were trained on that wait to be released, or for a person."""
    for _, candidate in waiting:
        model = candidate.model
        yield from _of(model.observations, model.labels, f"the waiting candidate of run {model.run_id[:8]}")


def of_training_sets(stored: Iterable[TrainingSetRef]) -> Iterator[Reference]:
    """What stored training sets were made of."""
    for one in stored:
        yield from _of(one.dataset.observations, one.dataset.labels, "the stored training set")


def _of(observations: int | None, labels: int | None, why: str) -> Iterator[Reference]:
    yield Reference("observations", observations, why)
    # A model that tells no version of the observations tells none of the labels either: there may be one.
    if labels is not None or observations is None:
        yield Reference("labels", labels, why)


def by_version(references: Iterable[Reference], table: str) -> dict[int, tuple[str, ...]]:
    """Who refers to which versions of a table."""
    found: dict[int, list[str]] = defaultdict(list)
    for one in references:
        if one.table == table and one.version is not None:
            found[one.version].append(one.why)
    return {version: tuple(dict.fromkeys(why)) for version, why in sorted(found.items())}


def unknown(references: Iterable[Reference], table: str) -> tuple[str, ...]:
    """Who refers to a version of a table that is not known."""
    return tuple(one.why for one in references if one.table == table and one.version is None)
