"""The stage validation: staged batches are checked by the contract and expectations, and committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.contract import Expectation
from tasks.context import StageContext
from tasks.progress import say
from tasks.records.base import Record
from tasks.records.data import BatchRecord, ExpectationResult, StagedBatch


class CommittedBatches(Record):
    """What became of batches that were validated together.

    Attributes:
        batches: The records in the ledger.
        expectations: The results of each batch's expectations, in the same order.
    """

    batches: tuple[BatchRecord, ...]
    expectations: tuple[tuple[ExpectationResult, ...], ...]


def validate(
    context: StageContext, batches: Sequence[StagedBatch], expectations: Sequence[Expectation]
) -> CommittedBatches:
    """Validate staged batches of one feed and commit the results, the ledger last. The data lock is held.

    Args:
        context: The run's context.
        batches: The batches.
        expectations: The configuration's expectations, with their references filled in.
    """
    from tasks.validation.commit import commit_batches

    committed = commit_batches(context.config, context.settings, batches, context.now, expectations)
    return CommittedBatches(
        batches=tuple(record for record, _ in committed), expectations=tuple(results for _, results in committed)
    )


def remove_staged(batches: Sequence[StagedBatch]) -> None:
    """Remove the staged files of batches that were committed."""
    for batch in batches:
        if batch.staged:
            Path(batch.staged).unlink(missing_ok=True)


def refer_to_champion(context: StageContext) -> tuple[Expectation, ...]:
    """Return the expectations, with distributions of the champion's training data as references."""
    import pandas as pd

    from tasks.stores.registry import models
    from tasks.stores.registry.tracking import Tracking
    from tasks.validation.reference import with_reference

    champion = Tracking(context.settings, context.pipeline).champion()
    sample = None
    if champion is not None:
        sample = pd.read_parquet(Path(champion.folder) / models.EXTRA / models.REFERENCE_FILE)
    filled, notes = with_reference(context.config.expectations, sample, context.config.contract.columns)
    for note in notes:
        say(note)
    return tuple(filled)


def data_docs(context: StageContext) -> str:
    """Build missing Data Docs pages of the newest batches; return the index page."""
    from tasks.validation.docs.site import build_docs

    built = build_docs(context.settings, context.config)
    for problem in built.problems:
        say(f"not rendered: {problem}")
    return built.index
