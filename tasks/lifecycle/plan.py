"""What a run does, stage by stage, and why: asked by `perennial plan`, and by the run itself. No Prefect, no MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, Literal, TypeVar

from configs.schema import PipelineConfig
from tasks.context import StageContext
from tasks.errors import UsageError
from tasks.features.stored import champion_columns, missing_reason
from tasks.lifecycle.dependencies import (
    evaluation_parts,
    features_parts,
    missing_files,
    missing_files_of_model,
    training_parts,
    validation_config,
)
from tasks.lifecycle.up_to_date import fetchable, landed, undeployed
from tasks.monitoring import retraining
from tasks.monitoring.verdicts import newest_drift, newest_performance
from tasks.provenance import fingerprints
from tasks.records.base import Record, StoredRecord
from tasks.records.data import BatchRecord, TrainingSetRef
from tasks.records.decision import RetrainDecision, Verdict, WatchState
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest, StageDependencies, changes, config_changes
from tasks.records.stages import STAGES, TRAINING_STAGES, StageName, StartFrom, TrainingStage
from tasks.stores.lake.tables import Lake, dataset_digest
from tasks.stores.settings import Settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit
from tasks.stores.state.manifests import Manifests

_SHOWN = 5
_SAME = "same data, configuration and code"
Output = TypeVar("Output", bound=StoredRecord)


class StagePlan(Record):
    """What a run would do about a stage. `depends`: that shows once the stages before it ran.

    Attributes:
        last: When it last ran, by that run's clock.
        seconds: What it took then.
    """

    stage: StageName
    action: Literal["run", "reuse", "depends"]
    reasons: tuple[str, ...]
    last: datetime | None = None
    seconds: float | None = None


class Plan(Record):
    """What `perennial run` would do now."""

    pipeline: str
    stages: tuple[StagePlan, ...]

    @property
    def idle(self) -> bool:
        """Whether no stage would run."""
        return all(one.action != "run" for one in self.stages)


@dataclass(frozen=True)
class PlannedStage(Generic[Output]):
    """What a run does about a stage of a training.

    Attributes:
        plan: The action, and why.
        dependencies: What the output depends on; empty where an earlier stage runs first.
        output: What an earlier run returned, where that is reused.
        as_of: That run's clock.
    """

    plan: StagePlan
    dependencies: StageDependencies
    output: Output | None = None
    as_of: datetime | None = None


def plan(config: PipelineConfig, settings: Settings, moment: datetime) -> Plan:
    """What a run would do now: each stage as the `Planner` decides it, without running any."""
    planner = Planner(StageContext(config, settings, moment, actor=""))
    ingestion = planner.ingestion()
    ingests = ingestion.action == "run"
    decision = planner.decision_so_far() if planner.accepted else None
    if decision is None or (ingests and not decision.due):
        rest = planner.unknown(decision, ingests=ingests)
    elif decision.due:
        rest = _training(planner, decision)
    else:
        rest = planner.not_due(decision)
    return Plan(pipeline=config.name, stages=(ingestion, *rest))


def _training(planner: Planner, decision: RetrainDecision) -> list[StagePlan]:
    """The stages of a training and the release, each upon what is known of the one before."""
    planner.start_from = planner.first_stage(decision)
    features = planner.features(dataset_digest(planner.ledger), planner.champion_model(), decision.reasons)
    training = planner.training(features.output)
    evaluation = planner.evaluation(features.output, training.output)
    model = training.output
    new = model is None or evaluation.output is None or not planner.is_submitted(model, evaluation.dependencies)
    return [features.plan, training.plan, evaluation.plan, planner.release(submitted=new)]


class Planner:
    """Decides, for each stage in turn, whether it runs and why, by what the stages before it returned.

    Args:
        context: The run's context.
        start_from: The first stage that is considered: what those before it returned last is taken as it is.
        force: Stages that run though nothing that they depend on changed.
        missing_model: Says what is missing of a model's files; by default as far as this disk tells.
    """

    def __init__(
        self,
        context: StageContext,
        start_from: StartFrom = "features",
        force: Sequence[TrainingStage] = (),
        missing_model: Callable[[ModelRef], str] | None = None,
    ) -> None:
        self.context, self.config, self.settings = context, context.config, context.settings
        self.start_from, self.force = start_from, force
        self._missing_model = missing_model or partial(missing_files_of_model, settings=context.settings)
        self.lake, self.audit = Lake(self.settings, self.config), Audit(self.settings)
        self.manifests = Manifests(self.settings, self.config.name)
        self.ledger = self.lake.ledger()
        self.last = candidates.newest(self.audit, self.config.name)
        self.champion = self.audit.champion(self.config.name)

    @property
    def accepted(self) -> bool:
        """Whether any file was accepted."""
        return any(one.verdict == "accepted" for one in self.ledger)

    # -------------------------------------------------------------------------------------------- ingestion
    def ingestion(self) -> StagePlan:
        """Whether files or rows wait."""
        files, rows = landed(self.config, self.settings), fetchable(self.config, self.settings)
        message = []
        if files:
            names = [one.split(":", 2)[2].rsplit(":", 2)[0] for one in files]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            message.append(f"{_count(len(names), 'file')} landed: {', '.join(names[:_SHOWN])}{more}")
        if rows:
            message.append("the database has new rows")
        before = self.manifests.newest("ingestion")
        if message and before is not None:
            message += config_changes(before.parts.config, validation_config(self.config))
        if message:
            return self._plan("ingestion", "run", *message)
        known = f"; {_count(len(self.ledger), 'file')} known" if self.ledger else ""
        return self._plan("ingestion", "reuse", f"nothing landed that is new{known}")

    # -------------------------------------------------------------------------------------------- the policy
    def decision_so_far(self) -> RetrainDecision:
        """What the retrain policy says of the data that are in, by the newest verdicts of monitoring."""
        last = self.last
        labelled = 0 if last is None else last.model.labelled
        drift: WatchState = "unknown"
        performance: WatchState = "unknown"
        if last is None or dataset_digest(self.ledger) != last.model.dataset_digest:
            labelled = self.lake.dataset(self.ledger).labelled
            newest = newest_drift(self.lake), newest_performance(self.lake)
            drift = newest[0].state if newest[0] is not None else "unknown"
            performance = newest[1].state if newest[1] is not None else "unknown"
        return retraining.decision(
            self.config,
            self.settings,
            labelled=labelled,
            drift=drift,
            performance=performance,
            recipe="",
            now=self.context.now,
        )

    def first_stage(self, decision: RetrainDecision) -> TrainingStage:
        """Where a training starts: all stages are considered, unless only the gates changed while too few rows wait."""
        gone = missing_files(self.manifests, self._missing_model)
        return "evaluation" if decision.start_from == "evaluation" and not gone else "features"

    def unknown(self, decision: RetrainDecision | None, *, ingests: bool) -> list[StagePlan]:
        """The stages after ingestion, where what it brings decides."""
        policy = self.config.retrain
        needed = f"{policy.new_rows} new labelled rows make a new model due (retrain.new_rows)"
        if not ingests:
            message = "no row has come in yet"
        elif decision is None or self.last is None:
            message = "what ingestion brings: the first labelled rows make a model due"
        elif policy.new_share:
            message = (
                f"what ingestion brings: {needed}, and {policy.new_share:.0%} of those trained on (retrain.new_share)"
            )
        else:
            message = f"what ingestion brings: {needed}; {decision.new_rows} wait already"
        return [self._plan(stage, "depends", message) for stage in STAGES[1:]]

    def not_due(self, decision: RetrainDecision) -> list[StagePlan]:
        """The stages after ingestion, where the policy asks for no new model."""
        same = self.last is not None and dataset_digest(self.ledger) == self.last.model.dataset_digest
        message = _SAME if same else decision.reasons[0]
        action: Literal["depends", "reuse"] = "depends" if self.last is None else "reuse"
        return [*(self._plan(stage, action, message) for stage in TRAINING_STAGES), self.release(submitted=False)]

    # -------------------------------------------------------------------------------------------- the training
    def features(
        self, dataset: str, champion: ModelRef | None, reasons: Sequence[str] = ()
    ) -> PlannedStage[TrainingSetRef]:
        """Whether the training set is assembled.

        Args:
            dataset: Digest of the accepted data.
            champion: The champion, whose columns are a part of the training set.
            reasons: Why a training is due, where nothing else tells why the stage runs.
        """
        if self._is_before_start("features"):
            return self._newest("features", TrainingSetRef, missing_reason)
        dependencies = features_parts(self.config, dataset, champion_columns(self.config, champion))
        return self._planned(
            "features",
            dependencies,
            TrainingSetRef,
            missing_reason,
            _SAME,
            lambda before: self._features_changes(before, dependencies) or list(reasons),
        )

    def training(self, training_set: TrainingSetRef | None) -> PlannedStage[ModelRef]:
        """Whether a model is fitted, on a training set; without one, as that stage runs."""
        if self._is_before_start("training"):
            return self._newest("training", ModelRef, self._missing_model)
        if training_set is None:
            return self._follows("training", "features runs")
        dependencies = training_parts(self.config, training_set)
        return self._planned(
            "training",
            dependencies,
            ModelRef,
            self._missing_model,
            "same training set, configuration and code",
            lambda before: [*changes(before.parts, dependencies)] or ["another training set"],
        )

    def evaluation(self, training_set: TrainingSetRef | None, model: ModelRef | None) -> PlannedStage[Verdict]:
        """Whether a model is evaluated; without one, as it is fitted first."""
        if training_set is None or model is None:
            return self._follows("evaluation", "training runs")
        dependencies = evaluation_parts(
            self.config, model, training_set.digest, self.compared_version(model), self.context.now
        )
        return self._planned(
            "evaluation",
            dependencies,
            Verdict,
            lambda _: "",
            "same model, champion, configuration and code",
            lambda before: [*changes(before.parts, dependencies), *_inputs(before.parts, dependencies)],
        )

    def compared_version(self, model: ModelRef) -> int | None:
        """What a model is compared with: the champion; for the champion itself, the version that it replaced."""
        return candidates.incumbent(self.audit, self.config.name, model.run_id, self.champion)

    def release(self, *, submitted: bool) -> StagePlan:
        """Whether candidates are released: those that wait, and one that this run submits."""
        waiting = undeployed(self.config, self.settings, self.context.now)
        if waiting:
            return self._plan("release", "run", f"{_count(len(waiting), 'candidate')} to be released")
        if submitted:
            return self._plan("release", "run", "a candidate is submitted")
        message = "no champion yet" if self.champion is None else f"version {self.champion} is champion"
        return self._plan("release", "reuse", message)

    def is_submitted(self, model: ModelRef, evaluation: StageDependencies) -> bool:
        """Whether a model was submitted upon the same evaluation before."""
        return candidates.known(self.audit, model, evaluation.fingerprint)

    def champion_model(self) -> ModelRef | None:
        """The champion as the audit knows it."""
        found = candidates.evaluated(self.audit, self.config.name)
        mine = [one.model for _, one, _, version in found if version is not None and version == self.champion]
        return mine[-1] if mine else None

    # -------------------------------------------------------------------------------------------- one stage
    def _planned(
        self,
        stage: TrainingStage,
        dependencies: StageDependencies,
        kind: type[Output],
        missing: Callable[[Output], str],
        same: str,
        differences: Callable[[Manifest], list[str]],
    ) -> PlannedStage[Output]:
        """Reuse what the stage returned when it last ran on just the same, if that is still there; else run it."""
        if stage in self.force:
            return PlannedStage(self._plan(stage, "run", "it is forced"), dependencies)
        found = self.manifests.find(stage, dependencies.fingerprint)
        if found is not None:
            output = self.manifests.output(found, kind)
            lacking = missing(output)
            if not lacking:
                return PlannedStage(self._plan(stage, "reuse", same), dependencies, output, found.at)
            return PlannedStage(self._plan(stage, "run", lacking), dependencies)
        before = self.manifests.newest(stage)
        reasons = ["it never ran"] if before is None else differences(before)
        return PlannedStage(self._plan(stage, "run", *reasons), dependencies)

    def _newest(
        self, stage: TrainingStage, kind: type[Output], missing: Callable[[Output], str]
    ) -> PlannedStage[Output]:
        """Reuse what a stage returned last, whatever changed since.

        Raises:
            UsageError: there is nothing to reuse.
        """
        found = self.manifests.newest(stage)
        lacking = "it never ran"
        if found is not None:
            output = self.manifests.output(found, kind)
            lacking = missing(output)
            if not lacking:
                reason = f"the run starts from {self.start_from}"
                return PlannedStage(self._plan(stage, "reuse", reason), found.parts, output, found.at)
        raise UsageError(
            f"{self.config.name} can't start from {self.start_from}: there is no result of {stage} to take ({lacking})."
            f" Start from {stage}."
        )

    def _follows(self, stage: TrainingStage, reason: str) -> PlannedStage[Output]:
        """A stage runs as the one before it does; with what changed for itself."""
        before = self.manifests.newest(stage)
        own = changes(before.parts, fingerprints.stage_dependencies(self.config, stage)) if before is not None else ()
        return PlannedStage(self._plan(stage, "run", *own, reason), StageDependencies())

    def _is_before_start(self, stage: StageName) -> bool:
        return self.start_from in STAGES and STAGES.index(stage) < STAGES.index(self.start_from)

    def _plan(self, stage: StageName, action: Literal["run", "reuse", "depends"], *reasons: str) -> StagePlan:
        last = self.manifests.newest(stage)
        return StagePlan(
            stage=stage,
            action=action,
            reasons=reasons,
            last=None if last is None else last.at,
            seconds=None if last is None else last.cost.seconds,
        )

    def _features_changes(self, before: Manifest, now: StageDependencies) -> list[str]:
        """What is another for the training set than the last time."""
        message = [*changes(before.parts, now)]
        if before.parts.inputs["dataset"] != now.inputs["dataset"]:
            message.append(self._new_batches(self.manifests.output(before, TrainingSetRef)))
        if before.parts.inputs["champion_columns"] != now.inputs["champion_columns"]:
            message.append("the champion takes other columns")
        return message

    def _new_batches(self, before: TrainingSetRef) -> str:
        new = [one for one in self.ledger if one.verdict == "accepted" and one.seq > before.dataset.through_seq]
        feeds = {"observations": "observations", "labels": "labels"}
        message = [_added(name, [one for one in new if one.feed == feed]) for feed, name in feeds.items()]
        return ", ".join(one for one in message if one) or "other files are accepted"


def _inputs(before: StageDependencies, now: StageDependencies) -> list[str]:
    """What an evaluation is given that is another than the last time."""
    message = {"model": "another model", "holdout": "another holdout", "too_old": "the data's age"}
    found = [words for name, words in message.items() if before.inputs.get(name) != now.inputs.get(name)]
    if before.inputs.get("champion") != now.inputs.get("champion"):
        found.append(f"compared with: {_named(before.inputs.get('champion'))} → {_named(now.inputs.get('champion'))}")
    return found


def _named(version: object) -> str:
    return "the baseline" if version is None else f"version {version}"


def _added(feed: str, batches: Sequence[BatchRecord]) -> str:
    rows = sum(one.accepted - one.superseded for one in batches)
    return f"{feed}: +{_count(len(batches), 'batch', 'es')}, {rows:+,} rows" if batches else ""


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else plural}"
