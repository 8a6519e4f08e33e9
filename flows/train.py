"""Observations become a judged candidate; a stage on which nothing changed is not run again."""

from __future__ import annotations

from datetime import datetime

from prefect import flow
from pydantic import JsonValue

from configs.schema import PipelineConfig
from flows.context import open_pipeline, writing
from flows.events import emit
from flows.openlineage import lineage_run
from flows.progress import Stage
from flows.stages import Steps
from tasks.evaluation.probe import CleanProcess, clean_process
from tasks.evaluation.task import evaluate, submit_candidate
from tasks.features.stored import champion_columns, missing_reason
from tasks.features.task import training_set
from tasks.lifecycle.dependencies import evaluation_parts, features_parts, training_parts
from tasks.provenance import fingerprints
from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate, TrainingOutcome, Verdict
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies
from tasks.records.stages import StageName, TrainingStage
from tasks.release.task import ready_candidates, register
from tasks.stores.environment import git_commit, packages
from tasks.stores.lake.tables import Lake
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import actor, clock
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import incumbent
from tasks.training.task import fit


class _Training:
    """One training: what its stages give each other. The model lock is held."""

    def __init__(self, config: PipelineConfig, settings: Settings, steps: Steps) -> None:
        self.config, self.settings, self.steps = config, settings, steps
        self.tracking = Tracking(settings, config.name)
        self.champion = self.tracking.champion()
        self.features = self.training = StageDependencies()

    def make_set(self) -> TrainingSetRef:
        steps = self.steps
        with steps.show("features") as running:
            if steps.skips("features"):
                made, self.features = steps.take_last("features", TrainingSetRef, missing_reason, running)
            else:
                made = self._make_set(running)
            running.note = f"{made.train_rows} training rows, {made.holdout_rows} holdout rows"
            return made

    def _make_set(self, running: Stage) -> TrainingSetRef:
        config, lake = self.config, Lake(self.settings, self.config)
        with writing(self.settings, config.name, "data"):  # never between a batch's rows and its line in the ledger
            ledger = lake.ledger()
            dataset = lake.dataset(ledger)
        self.features = features_parts(config, dataset.digest, champion_columns(config, self.champion))
        force = "features" in self.steps.force
        facts: dict[str, JsonValue] = {
            "batches": sum(one.verdict == "accepted" for one in ledger),
            "rows": dataset.rows,
            "labelled": dataset.labelled,
        }
        return self.steps.take(
            "features",
            self.features,
            TrainingSetRef,
            missing_reason,
            lambda: training_set(config, dataset, self.champion, self.features, force=force),
            StageData(dataset=dataset, champion=self.champion),
            running,
            facts,
        )

    def fit(self, made: TrainingSetRef, probe: CleanProcess) -> ModelRef:
        config, steps = self.config, self.steps
        with steps.show("training") as running:
            if steps.skips("training"):
                model, self.training = steps.take_last("training", ModelRef, self.tracking.missing_reason, running)
            else:
                parts = self.training = training_parts(config, made)

                def make() -> ModelRef:
                    probe.start()
                    return fit(config, made, self.features, parts, fingerprints.recipe(config), steps.moment)

                about: dict[str, JsonValue] = {"train_rows": made.train_rows, "commit": git_commit()}
                about["packages"] = {**packages()}
                work = StageData(training_set=made)
                model = steps.take(
                    "training", parts, ModelRef, self.tracking.missing_reason, make, work, running, about
                )
            running.note = config.training.estimator.rpartition(".")[2]
            return self.tracking.with_local_files(model)

    def judge(self, made: TrainingSetRef, model: ModelRef, probe: CleanProcess) -> Candidate:
        config, steps = self.config, self.steps
        with steps.show("evaluation") as running:
            held_against = self.rival(model)
            version = None if held_against is None else held_against.version
            parts = evaluation_parts(config, model, made.digest, version, steps.moment)
            verdict = steps.take(
                "evaluation",
                parts,
                Verdict,
                lambda _: "",
                lambda: evaluate(config, made, model, held_against, self.training, parts, probe, steps.moment),
                StageData(training_set=made, model=model, champion=held_against),
                running,
            )
            running.note = "; ".join(verdict.reasons) or "every gate passed"
            return Candidate(
                model=model,
                verdict=verdict,
                evaluation=parts.fingerprint,
                recipes={
                    "features": self.features.static_fingerprint,
                    "training": self.training.static_fingerprint,
                    "evaluation": parts.static_fingerprint,
                },
            )

    def rival(self, model: ModelRef) -> ModelRef | None:
        """What a model is compared with: the champion; for the champion itself, the one that it took the place of."""
        champion = None if self.champion is None else self.champion.version
        version = incumbent(Audit(self.settings), self.config.name, model.run_id, champion)
        return self.champion if version == champion else self.tracking.model(version) if version else None


@flow(name="train", flow_run_name="train-{pipeline}")
def train(
    pipeline: str,
    now: datetime | None = None,
    start_from: TrainingStage = "features",
    until: StageName = "release",
    force: tuple[TrainingStage, ...] = (),
) -> TrainingOutcome:
    """Make a training set, fit a model, evaluate it by the gates and register it. It waits for the deploy flow.

    A stage on which nothing changed since an earlier run is not run again: its outcome of then is taken.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        start_from: Stages before it are not looked at: what they gave last is taken.
        until: The last stage that runs. Before `release`, the candidate is not submitted.
        force: Stages that run though nothing changed.
    """
    config, settings = open_pipeline(pipeline)
    moment = clock(now)
    Lake(settings, config).create()
    with lineage_run(settings, pipeline), writing(settings, pipeline, "model"), clean_process() as probe:
        run = _Training(config, settings, Steps(config, settings, moment, start_from, force))
        made = run.make_set()
        if until == "features":
            return TrainingOutcome()
        model = run.fit(made, probe)
        if until == "training":
            return TrainingOutcome()
        candidate = run.judge(made, model, probe)
        new = until == "release" and submit_candidate(candidate, moment, actor())
        for _, waiting in ready_candidates(config, moment) if until == "release" else ():
            version, registered = register(config, waiting)
            if registered:
                emit(settings, "perennial.model.registered", pipeline, {"version": version})
    return TrainingOutcome(verdict=candidate.verdict, submitted=new)
