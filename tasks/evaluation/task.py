"""Prefect tasks of the stage evaluation."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.context import StageContext
from tasks.evaluation import stage
from tasks.evaluation.page import verdict_page
from tasks.evaluation.stage import EvaluationInputs
from tasks.records.base import artifact_key
from tasks.records.decision import Verdict
from tasks.retry import RETRIES


@task(name="evaluate", cache_policy=NO_CACHE, **RETRIES)
def evaluate(context: StageContext, inputs: EvaluationInputs) -> Verdict:
    """`run_evaluation`, and its page."""
    verdict = stage.run_evaluation(context, inputs)
    page = verdict_page(context.config, verdict)
    create_markdown_artifact(page, key=artifact_key(context.pipeline, "evaluation"), description=verdict.outcome)
    return verdict


submit_candidate = task(name="submit-candidate", cache_policy=NO_CACHE, **RETRIES)(stage.submit_candidate)
