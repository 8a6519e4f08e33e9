"""Prefect tasks of training."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.context import StageContext
from tasks.records.base import artifact_key
from tasks.records.model import ModelRef
from tasks.retry import RETRIES
from tasks.stores.settings import Settings
from tasks.training.page import fitted_page
from tasks.training.reproduction import Reproduction, headline, page
from tasks.training.stage import TrainingInputs, run_training


@task(name="fit", cache_policy=NO_CACHE, **RETRIES)
def fit(context: StageContext, inputs: TrainingInputs) -> ModelRef:
    """`run_training`, and its page."""
    model = run_training(context, inputs)
    key = artifact_key(context.pipeline, "training")
    create_markdown_artifact(fitted_page(context.config, model), key=key, description="fitted")
    return model


@task(name="reproduce", cache_policy=NO_CACHE, **RETRIES)
def reproduce_version(settings: Settings, pipeline: str, version: int | None) -> Reproduction:
    """Rebuild a version, the champion by default, and compare the two. Nothing is stored."""
    from tasks.training.rebuild import load_recorded, reproduce

    return reproduce(settings, load_recorded(settings, pipeline, version))


@task(name="publish-reproduction", cache_policy=NO_CACHE, **RETRIES)
def publish_reproduction(reproduction: Reproduction) -> None:
    """Publish the page of the run."""
    key = artifact_key(reproduction.pipeline, "reproduce")
    create_markdown_artifact(page(reproduction), key=key, description=headline(reproduction))
