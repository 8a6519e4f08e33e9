"""The Prefect task of the stage features."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.context import StageContext
from tasks.features.page import training_set_page
from tasks.features.stage import FeaturesInputs, run_features
from tasks.records.base import artifact_key
from tasks.records.data import TrainingSetRef
from tasks.retry import RETRIES


@task(name="training-set", cache_policy=NO_CACHE, **RETRIES)
def features(context: StageContext, inputs: FeaturesInputs) -> TrainingSetRef:
    """`run_features`, and its page."""
    made = run_features(context, inputs)
    page = training_set_page(context.config, made)
    create_markdown_artifact(page, key=artifact_key(context.pipeline, "features"), description="training set")
    return made
