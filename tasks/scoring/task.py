"""Prefect tasks of the stage scoring."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.context import StageContext
from tasks.records.base import artifact_key
from tasks.records.data import StagedBatch
from tasks.records.model import ModelRef
from tasks.records.report import ScoreReport
from tasks.retry import RETRIES
from tasks.scoring import stage
from tasks.scoring.page import score_page
from tasks.scoring.stage import ScoringInputs
from tasks.stores.landing.addresses import Address


@task(name="score-new", cache_policy=NO_CACHE, **RETRIES)
def score_new(context: StageContext, inputs: ScoringInputs, folder: Path) -> ScoreReport:
    """Score observations that have no prediction yet; and the page."""
    return _published(context, stage.score_new(context, inputs, folder))


@task(name="score-file", cache_policy=NO_CACHE, **RETRIES)
def score_file(
    context: StageContext, model: ModelRef, batch: StagedBatch, output: Address | None, folder: Path
) -> ScoreReport:
    """Score a staged file; and the page."""
    return _published(context, stage.score_file(context, model, batch, output, folder))


def _published(context: StageContext, report: ScoreReport) -> ScoreReport:
    key = artifact_key(context.pipeline, "scoring")
    create_markdown_artifact(score_page(context.pipeline, report), key=key, description="scored")
    return report
