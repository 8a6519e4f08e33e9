"""Observations become a judged candidate."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import actor, clock, open_pipeline, writing
from flows.events import emit
from flows.progress import stage
from tasks.deployment.task import ready, register
from tasks.evaluation.probe import clean_process
from tasks.evaluation.task import judge
from tasks.features.task import training_set
from tasks.refs import RetrainFrom, Verdict
from tasks.stores.environment import recipe
from tasks.stores.lake import Lake
from tasks.stores.tracking import Tracking
from tasks.training.task import fit


@flow(name="train", flow_run_name="train-{pipeline}")
def train(pipeline: str, now: datetime | None = None, start_from: RetrainFrom = "features") -> Verdict:
    """Make a training set, fit a candidate, hold it against the gates and register it. It waits for the deploy flow.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        start_from: `training` takes the training set of the last time, if the data are still the same.
    """
    config, settings = open_pipeline(pipeline)
    moment = clock(now)
    lake = Lake(settings, config)
    lake.create()
    with writing(settings, pipeline, "model"), clean_process() as probe:
        with stage("features") as running:
            champion = Tracking(settings, pipeline).champion()
            with writing(settings, pipeline, "data"):  # never between a batch's rows and its line in the ledger
                dataset = lake.dataset(lake.ledger())
            made = training_set(config, dataset, champion, reuse=start_from == "training")
            running.note = f"{made.train_rows} training rows, {made.holdout_rows} holdout rows"
        with stage("train") as running:
            model = fit(config, made, recipe(config), moment)
            running.note = config.training.estimator.rpartition(".")[2]
        with stage("evaluate") as running:
            verdict = judge(config, made, model, champion, probe, moment, actor())
            running.note = "; ".join(verdict.reasons) or "every gate passed"
        for _, candidate in ready(config, moment):
            version, new = register(config, candidate)
            if new:
                emit(settings, "perennial.model.registered", pipeline, {"version": version})
    return verdict
