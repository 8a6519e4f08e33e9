"""What a run would do, stage by stage, and why: decided by the stores alone, no pandas, MLflow or Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from configs.schema import PipelineConfig
from tasks.features.stored import champion_columns, missing_reason
from tasks.lifecycle.dependencies import evaluation_parts, features_parts, gone, judged_by, lacks_model, training_parts
from tasks.lifecycle.up_to_date import fetchable, landed, undeployed
from tasks.monitoring import retraining
from tasks.monitoring.verdicts import newest_drift, newest_performance
from tasks.provenance import fingerprints
from tasks.records.base import Record
from tasks.records.data import BatchRecord, TrainingSetRef
from tasks.records.decision import RetrainDecision
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest, StageDependencies, changes, config_changes
from tasks.records.stages import STAGES, TRAINING_STAGES, StageName
from tasks.stores.lake.tables import Lake, dataset_digest
from tasks.stores.settings import Settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit
from tasks.stores.state.manifests import Manifests

_SHOWN = 5


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


def plan(config: PipelineConfig, settings: Settings, moment: datetime) -> Plan:
    """Compare what each stage depended on when it last ran with the present."""
    return _Planner(config, settings, moment).plan()


class _Planner:
    def __init__(self, config: PipelineConfig, settings: Settings, moment: datetime) -> None:
        self.config, self.settings, self.moment = config, settings, moment
        self.lake, self.audit = Lake(settings, config), Audit(settings)
        self.manifests = Manifests(settings, config.name)
        self.ledger = self.lake.ledger()
        self.last = candidates.newest(self.audit, config.name)
        self.champion = self.audit.champion(config.name)
        self.stages: list[StagePlan] = []

    def plan(self) -> Plan:
        ingests = self.ingestion()
        accepted = [one for one in self.ledger if one.verdict == "accepted"]
        decision = self.decision() if accepted else None
        if decision is None or (ingests and not decision.due):
            self.rest(ingests, decision)
        elif decision.due:
            self.training(decision)
        else:
            self.calm(decision)
        return Plan(pipeline=self.config.name, stages=tuple(self.stages))

    def add(self, stage: StageName, action: Literal["run", "reuse", "depends"], *reasons: str) -> None:
        last = self.manifests.newest(stage)
        self.stages.append(
            StagePlan(
                stage=stage,
                action=action,
                reasons=reasons,
                last=None if last is None else last.at,
                seconds=None if last is None else last.cost.seconds,
            )
        )

    # -------------------------------------------------------------------------------------------- what comes in
    def ingestion(self) -> bool:
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
            message += config_changes(before.parts.config, judged_by(self.config))
        if message:
            self.add("ingestion", "run", *message)
            return True
        known = f"; {_count(len(self.ledger), 'file')} known" if self.ledger else ""
        self.add("ingestion", "reuse", f"nothing landed that is new{known}")
        return False

    # -------------------------------------------------------------------------------------------- the policy
    def decision(self) -> RetrainDecision:
        """What the retrain policy says of the data that are in."""
        last = self.last
        labelled = None if last is None else last.model.labelled
        drift = performance = None
        if last is None or dataset_digest(self.ledger) != last.model.dataset_digest:
            labelled = self.lake.dataset(self.ledger).labelled
            drift, performance = newest_drift(self.lake), newest_performance(self.lake)
        return retraining.decision(
            self.config,
            self.settings,
            labelled=labelled or 0,
            drift="unknown" if drift is None else drift.state,
            performance="unknown" if performance is None else performance.state,
            recipe="",
            now=self.moment,
        )

    def rest(self, ingests: bool, decision: RetrainDecision | None) -> None:
        """The stages after ingestion, where what it brings decides."""
        policy = self.config.retrain
        asked = f"{policy.new_rows} new labelled rows make a new model due (retrain.new_rows)"
        if not ingests:
            message = "no row has come in yet"
        elif decision is None or self.last is None:
            message = "what ingestion brings: the first labelled rows make a model due"
        elif policy.new_share:
            message = (
                f"what ingestion brings: {asked}, and {policy.new_share:.0%} of those trained on (retrain.new_share)"
            )
        else:
            message = f"what ingestion brings: {asked}; {decision.new_rows} wait already"
        for stage in STAGES[1:]:
            self.add(stage, "depends", message)

    def calm(self, decision: RetrainDecision) -> None:
        """The stages after ingestion, where the policy asks for no new model."""
        same = self.last is not None and dataset_digest(self.ledger) == self.last.model.dataset_digest
        message = "same data, configuration and code" if same else decision.reasons[0]
        for step in TRAINING_STAGES:
            self.add(step, "depends" if self.last is None else "reuse", message)
        self.release(runs=False)

    # -------------------------------------------------------------------------------------------- the training
    def training(self, decision: RetrainDecision) -> None:
        """The stages of a training, one upon the other: a stage runs where one before it does."""
        made = self.features(decision)
        model = self.fit(made)
        judged = self.judge(made, model)
        self.release(runs=model is None or not judged or not candidates.known(self.audit, model, judged))

    def features(self, decision: RetrainDecision) -> TrainingSetRef | None:
        before = self.manifests.newest("features")
        if before is not None and decision.start_from == "evaluation" and not gone(self.manifests, self.settings):
            self.add("features", "reuse", "only how models are judged changed")
            return self.manifests.output(before, TrainingSetRef)
        parts = features_parts(self.config, dataset_digest(self.ledger), champion_columns(self.config, self.reigning()))
        found = self.manifests.find("features", parts.fingerprint)
        ref = None if found is None else self.manifests.output(found, TrainingSetRef)
        missing = "" if ref is None else missing_reason(ref)
        if ref is not None and not missing:
            self.add("features", "reuse", "same data, configuration and code")
            return ref
        message = [missing] if missing else self.differences(before, parts)
        self.add("features", "run", *(message or decision.reasons))
        return None

    def differences(self, before: Manifest | None, now: StageDependencies) -> list[str]:
        """What is another for the training set than the last time."""
        if before is None:
            return ["it never ran"]
        message = [*changes(before.parts, now)]
        if before.parts.inputs["dataset"] != now.inputs["dataset"]:
            message.append(self.grown(self.manifests.output(before, TrainingSetRef)))
        if before.parts.inputs["champion_columns"] != now.inputs["champion_columns"]:
            message.append("the champion takes other columns")
        return message

    def grown(self, before: TrainingSetRef) -> str:
        new = [one for one in self.ledger if one.verdict == "accepted" and one.seq > before.dataset.through_seq]
        feeds = {"observations": "observations", "labels": "labels"}
        message = [_added(name, [one for one in new if one.feed == feed]) for feed, name in feeds.items()]
        return ", ".join(one for one in message if one) or "other files are accepted"

    def fit(self, made: TrainingSetRef | None) -> ModelRef | None:
        before = self.manifests.newest("training")
        if made is None:
            own = (
                []
                if before is None
                else [*changes(before.parts, fingerprints.stage_dependencies(self.config, "training"))]
            )
            self.add("training", "run", *own, "features runs")
            return None
        parts = training_parts(self.config, made)
        found = self.manifests.find("training", parts.fingerprint)
        model = None if found is None else self.manifests.output(found, ModelRef)
        missing = "" if model is None else lacks_model(model, self.settings)
        if model is not None and not missing:
            self.add("training", "reuse", "same training set, configuration and code")
            return model
        message = [missing] if missing else ["it never ran"] if before is None else [*changes(before.parts, parts)]
        self.add("training", "run", *(message or ["another training set"]))
        return None

    def judge(self, made: TrainingSetRef | None, model: ModelRef | None) -> str:
        """Fingerprint of a judgement that stands; empty where it runs."""
        before = self.manifests.newest("evaluation")
        if made is None or model is None:
            own = (
                []
                if before is None
                else [*changes(before.parts, fingerprints.stage_dependencies(self.config, "evaluation"))]
            )
            self.add("evaluation", "run", *own, "training runs")
            return ""
        rival = candidates.incumbent(self.audit, self.config.name, model.run_id, self.champion)
        parts = evaluation_parts(self.config, model, made.digest, rival, self.moment)
        found = self.manifests.find("evaluation", parts.fingerprint)
        if found is not None:
            self.add("evaluation", "reuse", "same model, champion, configuration and code")
            return parts.fingerprint
        message = ["it never ran"] if before is None else [*changes(before.parts, parts), *_inputs(before.parts, parts)]
        self.add("evaluation", "run", *message)
        return ""

    def release(self, *, runs: bool) -> None:
        waiting = undeployed(self.config, self.settings, self.moment)
        if waiting:
            self.add("release", "run", f"{_count(len(waiting), 'candidate')} to be released")
        elif runs:
            self.add("release", "run", "a candidate is submitted")
        else:
            message = "no champion yet" if self.champion is None else f"version {self.champion} is champion"
            self.add("release", "reuse", message)

    def reigning(self) -> ModelRef | None:
        """The champion as the audit knows it."""
        found = candidates.evaluated(self.audit, self.config.name)
        mine = [one.model for _, one, _, version in found if version is not None and version == self.champion]
        return mine[-1] if mine else None


def _inputs(before: StageDependencies, now: StageDependencies) -> list[str]:
    """What a judgement is given that is another than the last time."""
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
