"""Prefect tasks of the stage validation."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.contract import Expectation
from tasks.context import StageContext
from tasks.records.base import artifact_key
from tasks.records.data import StagedBatch
from tasks.retry import RETRIES
from tasks.validation import stage
from tasks.validation.page import batches_page
from tasks.validation.stage import CommittedBatches


@task(name="validate", task_run_name="validate-{batches[0].file.path}", cache_policy=NO_CACHE, **RETRIES)
def validate(
    context: StageContext, batches: Sequence[StagedBatch], expectations: Sequence[Expectation]
) -> CommittedBatches:
    """Validate staged batches of one feed and commit the results; and the page."""
    committed = stage.validate(context, batches, expectations)
    accepted = sum(record.verdict == "accepted" for record in committed.batches)
    create_markdown_artifact(
        batches_page(context.pipeline, [*zip(committed.batches, committed.expectations, strict=True)]),
        key=artifact_key(context.pipeline, "validate"),
        description=f"{accepted} of {len(batches)} files accepted",
    )
    return committed


refer_to_champion = task(name="refer-to-champion", cache_policy=NO_CACHE, **RETRIES)(stage.refer_to_champion)
data_docs = task(name="data-docs", cache_policy=NO_CACHE, **RETRIES)(stage.data_docs)
