"""The stages of a training: the training set, the model, its evaluation; each runs, or is reused, as planned."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from tasks.context import Execute, StageContext, direct, writing
from tasks.evaluation import probe
from tasks.evaluation.probe import CleanProcess
from tasks.evaluation.stage import EvaluationInputs, run_evaluation, submit_candidate
from tasks.features.stage import FeaturesInputs, run_features
from tasks.lifecycle.plan import Output, PlannedStage, Planner
from tasks.progress import Stage, say, stage
from tasks.provenance import fingerprints
from tasks.provenance.manifests import store_manifest
from tasks.records.base import Record
from tasks.records.data import TrainingSetRef
from tasks.records.decision import Candidate, TrainingOutcome, Verdict
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies
from tasks.records.stages import StageName, TrainingStage
from tasks.stores.environment import git_commit, packages
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.registry.tracking import Tracking
from tasks.stores.usage import Meter
from tasks.training.stage import TrainingInputs, run_training


class TrainingRequest(Record):
    """What of a training is asked for.

    Attributes:
        start_from: Stages before it are not considered: what they returned last is taken.
        until: The last stage that runs. Before `release`, the candidate is not submitted.
        force: Stages that run though nothing changed.
    """

    start_from: TrainingStage = "features"
    until: StageName = "release"
    force: tuple[TrainingStage, ...] = ()


def reuse(context: StageContext, stage: StageName, reason: str) -> None:  # shown by Prefect's task
    """A stage's earlier output is taken: a flow shows it as a task run in the state `Cached`."""


def train(context: StageContext, request: TrainingRequest, execute: Execute = direct) -> TrainingOutcome:
    """Make a training set, fit a model, evaluate it by the gates, and submit it for release.

    A stage on which nothing changed since an earlier run is not run again: its output of then is taken.
    """
    with writing(context.settings, context.pipeline, "model"), probe.clean_process() as process:
        run = _Training(context, request, execute)
        training_set = run.make_features()
        if request.until == "features":
            return TrainingOutcome()
        model = run.make_model(training_set, process)
        if request.until == "training":
            return TrainingOutcome()
        candidate = run.evaluate(training_set, model)
        new = request.until == "release" and execute(submit_candidate, context, candidate)
    return TrainingOutcome(verdict=candidate.verdict, submitted=new)


class _Training:
    """One training: what its stages return to each other. The model lock is held."""

    def __init__(self, context: StageContext, request: TrainingRequest, execute: Execute) -> None:
        self.context, self.request, self.execute = context, request, execute
        self.tracking = Tracking(context.settings, context.pipeline)
        self.champion = self.tracking.champion()
        self.features = self.training = StageDependencies()
        with writing(context.settings, context.pipeline, "data"):  # never between a batch's rows and its ledger entry
            self.planner = Planner(context, request.start_from, request.force, self.tracking.missing_reason)
            self.planner.champion = None if self.champion is None else self.champion.version  # as MLflow has it now
            self.dataset = self.planner.lake.dataset(self.planner.ledger)

    def make_features(self) -> TrainingSetRef:
        context, request, dataset = self.context, self.request, self.dataset
        with stage("features") as running:
            planned = self.planner.features(dataset.digest, self.champion)
            self.features = planned.dependencies
            inputs = FeaturesInputs(
                dataset=dataset,
                champion=self.champion,
                dependencies=planned.dependencies,
                force="features" in request.force,
            )
            facts: dict[str, JsonValue] = {
                "batches": sum(one.verdict == "accepted" for one in self.planner.ledger),
                "rows": dataset.rows,
                "labelled": dataset.labelled,
            }
            made = self._run(
                planned,
                running,
                StageData(dataset=dataset, champion=self.champion),
                lambda: self.execute(run_features, context, inputs),
                facts,
            )
            running.note = f"{made.train_rows} training rows, {made.holdout_rows} holdout rows"
            return made

    def make_model(self, training_set: TrainingSetRef, process: CleanProcess) -> ModelRef:
        context, config = self.context, self.context.config
        with stage("training") as running:
            planned = self.planner.training(training_set)
            self.training = planned.dependencies

            def make() -> ModelRef:
                process.start()  # its imports run while the model is fitted
                inputs = TrainingInputs(
                    training_set=training_set,
                    features=self.features,
                    training=planned.dependencies,
                    recipe=fingerprints.recipe(config),
                )
                return self.execute(run_training, context, inputs)

            facts: dict[str, JsonValue] = {"train_rows": training_set.train_rows, "commit": git_commit()}
            facts["packages"] = {**packages()}
            model = self._run(planned, running, StageData(training_set=training_set), make, facts)
            running.note = config.training.estimator.rpartition(".")[2]
            return self.tracking.with_local_files(model)

    def evaluate(self, training_set: TrainingSetRef, model: ModelRef) -> Candidate:
        with stage("evaluation") as running:
            planned = self.planner.evaluation(training_set, model)
            champion = self._compared_with(model)
            inputs = EvaluationInputs(
                training_set=training_set,
                model=model,
                champion=champion,
                training=self.training,
                evaluation=planned.dependencies,
            )
            verdict: Verdict = self._run(
                planned,
                running,
                StageData(training_set=training_set, model=model, champion=champion),
                lambda: self.execute(run_evaluation, self.context, inputs),
            )
            running.note = "; ".join(verdict.reasons) or "every gate passed"
            return Candidate(
                model=model,
                verdict=verdict,
                evaluation=planned.dependencies.fingerprint,
                recipes={
                    "features": self.features.static_fingerprint,
                    "training": self.training.static_fingerprint,
                    "evaluation": planned.dependencies.static_fingerprint,
                },
            )

    def _compared_with(self, model: ModelRef) -> ModelRef | None:
        version = self.planner.compared_version(model)
        if self.champion is not None and version == self.champion.version:
            return self.champion
        return self.tracking.model(version) if version else None

    def _run(
        self,
        planned: PlannedStage[Output],
        running: Stage,
        data: StageData,
        make: Callable[[], Output],
        facts: dict[str, JsonValue] | None = None,
    ) -> Output:
        """Take the output of an earlier run, or run the stage and store its manifest, as planned."""
        context, name = self.context, planned.plan.stage
        if planned.output is not None:
            running.reused = True
            self.execute(reuse, context, name, f"{_as_of(planned)}, {'; '.join(planned.plan.reasons)}")
            return planned.output
        say(f"{name} runs: {'; '.join(planned.plan.reasons)}")
        meter = Meter()
        with emit_stage(context.config, name, data, at=context.now) as stage_run:
            output = make()
            store_manifest(context, name, planned.dependencies, output, meter, facts)
            stage_run.add_output(output)
        return output


def _as_of(planned: PlannedStage[Output]) -> str:
    return "" if planned.as_of is None else f"as of {planned.as_of:%Y-%m-%d %H:%M} UTC"
