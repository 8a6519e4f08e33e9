"""The whole life of one model, wired: ingestion, scoring, monitoring, decision, training, release."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from configs.schema import PipelineConfig
from flows.context import open_pipeline, writing
from flows.deploy import deploy
from flows.events import following
from flows.ingest import ingest
from flows.monitor import monitor
from flows.openlineage import lineage_run
from flows.page import report_page
from flows.progress import collecting, say, stage
from flows.score import score
from flows.train import train
from tasks.errors import DataRejectedError, PerennialError, UsageError
from tasks.lifecycle.dependencies import gone
from tasks.lifecycle.up_to_date import mark_up_to_date
from tasks.monitoring.task import decide_retrain, stored_drift, stored_performance
from tasks.provenance.fingerprints import recipe
from tasks.records.base import artifact_key
from tasks.records.data import IngestReport
from tasks.records.decision import (
    DriftVerdict,
    MonitorReport,
    Outcome,
    PerformanceVerdict,
    Promotion,
    RetrainDecision,
    Verdict,
)
from tasks.records.report import LifecycleReport, StageRecord
from tasks.records.stages import STAGES, TRAINING_STAGES, StageName, StartFrom, TrainingStage
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import actor, clock
from tasks.stores.settings import Settings
from tasks.stores.state import candidates
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.manifests import Manifests

_RENEWAL = (*TRAINING_STAGES, "release")


class LifecycleError(PerennialError):
    """A run that failed, with its report as far as it came. The champion is as before."""

    def __init__(self, report: LifecycleReport, exit_code: int) -> None:
        super().__init__("; ".join(report.reasons))
        self.report = report
        self.exit_code = exit_code


class _Life:
    """One run: what each stage brought, for the report."""

    def __init__(
        self,
        config: PipelineConfig,
        settings: Settings,
        moment: datetime,
        only: tuple[str, ...] | None,
        until: StageName,
        force: tuple[TrainingStage, ...],
    ) -> None:
        self.config, self.settings, self.moment, self.only = config, settings, moment, only
        self.until, self.force = until, force
        self.stages: list[StageRecord] = []
        self.ingested = IngestReport(pipeline=config.name)
        self.drift: DriftVerdict | None = None
        self.performance: PerformanceVerdict | None = None
        self.decision: RetrainDecision | None = None
        self.verdict: Verdict | None = None
        self.promotion: Promotion | None = None
        self.refused = ""
        self.scored = 0

    @property
    def name(self) -> str:
        return self.config.name

    def champion(self) -> int | None:
        return Audit(self.settings).champion(self.name)

    def live(self, start_from: StartFrom) -> None:
        """Everything from a stage on."""
        if start_from == "ingestion":
            self.ingest()
        if self.until == "ingestion":
            return
        if self.until == "release":
            self.recover()
        if start_from == "ingestion" or start_from == "decision":  # one by one: the type checker follows them
            self.watch()
            decision = self.decide()
            if decision.due:
                self.renew(self.first(decision))
            elif self.force:
                self.renew(next(step for step in TRAINING_STAGES if step in self.force))
            if self.until == "release":
                mark_up_to_date(self.config, self.settings, at=self.moment, actor=actor())
        elif start_from != "release":
            Lake(self.settings, self.config).create()
            self.renew(start_from)

    def ingest(self) -> None:
        with stage("ingestion") as running:
            self.ingested = ingest(self.name, self.moment, self.only)
            accepted, rejected = self.ingested.accepted, self.ingested.rejected
            rows = sum(batch.accepted for batch in accepted)
            running.note = f"{len(accepted)} files accepted ({rows} rows), {len(rejected)} rejected"
            running.skipped = not self.ingested.batches

    def recover(self) -> None:
        """Finish what a killed run left: candidates that were judged and not released."""
        audit = Audit(self.settings)
        waiting = candidates.ready(audit, Approvals(self.settings), self.name, self.moment)
        if waiting or candidates.pending_moves(audit, self.name):
            with stage("recovery") as running:
                self.promotion = deploy(self.name, self.moment)
                self.verdict = waiting[-1][1].verdict if waiting else None
                running.note = "released what an earlier run had judged"

    def watch(self) -> None:
        """Score what is new with the champion as it is, then look for drift, and at predictions whose labels came."""
        champion = Tracking(self.settings, self.name).champion()
        if champion is None:
            return
        with stage("scoring") as running:
            self.scored = score(self.name, now=self.moment).rows
            running.note, running.skipped = f"{self.scored} rows", not self.scored
        # By the state, not by what this run took in: a killed run, or labels that come later, lose no verdict.
        self.drift = stored_drift(self.config, champion)
        self.performance = stored_performance(self.config, champion)
        if self.drift is None or self.performance is None:
            with stage("monitoring") as running:
                found = monitor(self.name, self.moment, again=False)
                self.drift, self.performance = found.drift, found.performance
                running.note = _watched(found)

    def decide(self) -> RetrainDecision:
        with stage("decision") as running:
            lake = Lake(self.settings, self.config)
            dataset = lake.dataset(lake.ledger())
            drift = "unknown" if self.drift is None else self.drift.state
            performance = "unknown" if self.performance is None else self.performance.state
            self.decision = decide_retrain(self.config, dataset, drift, performance, recipe(self.config), self.moment)
            running.note = "; ".join(self.decision.reasons)
            return self.decision

    def first(self, decision: RetrainDecision) -> TrainingStage:
        """The stage to start from: all are looked at, unless only the gates changed while too few rows wait."""
        if decision.start_from != "evaluation":
            return "features"
        missing = gone(Manifests(self.settings, self.name), self.settings)
        if missing:
            say(f"a model is trained anew: {missing}")
        return "features" if missing else "evaluation"

    def renew(self, start_from: TrainingStage) -> None:
        """Train and release. Data that no model can be fitted on leave the champion as it is."""
        try:
            trained = train(self.name, self.moment, start_from, self.until, self.force)
        except DataRejectedError as error:
            self.refused = str(error)
            return
        self.verdict = trained.verdict
        if self.until != "release":
            return
        with stage("release") as running:
            self.promotion = deploy(self.name, self.moment)
            running.skipped = self.promotion is None
            running.note = "nothing waited" if self.promotion is None else _note(self.promotion)

    def report(self) -> LifecycleReport:
        outcome, reasons = self.outcome()
        verdict, promotion = self.verdict, self.promotion
        return LifecycleReport(
            pipeline=self.name,
            outcome=outcome,
            reasons=reasons,
            version=None if promotion is None else promotion.version,
            champion=self.champion(),
            metrics={} if verdict is None else verdict.metrics.values,
            baseline={} if verdict is None else verdict.baseline.values,
            champion_metrics={} if verdict is None or not verdict.champion_metrics else verdict.champion_metrics.values,
            gates=() if verdict is None else verdict.gates,
            drift=self.drift,
            performance=self.performance,
            ingest=self.ingested,
            scored=self.scored,
            stages=tuple(self.stages),
        )

    def failure(self, error: Exception) -> LifecycleReport:
        known = isinstance(error, PerennialError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        return self.report().model_copy(update={"outcome": "failed", "reasons": (text,)})

    def outcome(self) -> tuple[Outcome, tuple[str, ...]]:
        outcome, reasons = self._outcome()
        if self.until == "release" or outcome == "data_rejected":
            return outcome, reasons
        judged = self.verdict.reasons or ("every gate passed",) if self.verdict is not None else ()
        return "stopped", (f"stopped after {self.until}, as asked", *judged)

    def _outcome(self) -> tuple[Outcome, tuple[str, ...]]:
        rejected = tuple(f"{one.path}: {'; '.join(one.reasons)}" for one in self.ingested.rejected)
        if self.refused:
            return "data_rejected", (self.refused, *rejected)
        if self.promotion is not None:
            return self.promotion.outcome, self.promotion.reasons
        if rejected and not self.ingested.accepted:
            return "data_rejected", rejected
        reasons = () if self.decision is None else self.decision.reasons
        if self.ingested.accepted and self.champion() is not None:
            return "kept_champion", reasons
        if self.verdict is not None and all(one.state != "done" for one in self.stages if one.name in _RENEWAL):
            reasons = ("every stage is as before: nothing that it depends on changed",)
        elif self.decision is None:
            reasons = ("nothing waits to be released",)
        return "nothing_to_do", reasons if self.landed() else (f"nothing has landed in {self.landing()} yet",)

    def landing(self) -> str:
        return str(self.settings.landing(self.config.source.landing))

    def landed(self) -> bool:
        return bool(Lake(self.settings, self.config).ledger())


def _watched(found: MonitorReport) -> str:
    drift, performance = found.drift, found.performance
    return f"drift {drift.state}: {drift.reasons[0]}; performance {performance.state}: {performance.reasons[0]}"


def _note(promotion: Promotion) -> str:
    text = {"promoted": "is champion", "awaiting_approval": "waits for a person", "rolling_out": "is rolled out"}
    if promotion.outcome == "kept_champion" and promotion.champion == promotion.version:
        return promotion.reasons[0]
    return f"version {promotion.version} {text.get(promotion.outcome, 'was rejected')}"


def _refuse_idle(force: tuple[TrainingStage, ...], start_from: StartFrom, until: StageName) -> None:
    """Refuse to force a stage that the run does not come to."""
    first = STAGES.index(start_from) if start_from in STAGES else 0
    for step in force:
        if not first <= STAGES.index(step) <= STAGES.index(until):
            raise UsageError(f"{step} can't be forced in a run from {start_from} until {until}: it is not part of it.")


def lifecycle(
    pipeline: str,
    now: datetime | None = None,
    start_from: StartFrom = "ingestion",
    only: tuple[str, ...] | None = None,
    until: StageName = "release",
    force: tuple[TrainingStage, ...] = (),
) -> LifecycleReport:
    """The whole life of a pipeline, once: see `lifecycle_flow`."""
    return cast("LifecycleReport", lifecycle_flow(pipeline, now, start_from, only, until, force))


@flow(name="lifecycle", flow_run_name="lifecycle-{pipeline}")
def lifecycle_flow(
    pipeline: str,
    now: datetime | None = None,
    start_from: StartFrom = "ingestion",
    only: tuple[str, ...] | None = None,
    until: StageName = "release",
    force: tuple[TrainingStage, ...] = (),
) -> State[LifecycleReport]:
    """Take in what landed, score and watch it, and, if the policy says so, train, judge and promote.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        start_from: `ingestion`: everything. `decision`: score, look for drift, and retrain if the policy says so.
            `features`, `training`, `evaluation`: do not ask the policy; what the stages before gave last is taken as it
            is. `release`: only release what was judged before.
        only: Paths below the landing folder that are taken in; all that landed by default.
        until: The last stage that runs. Before `release`, no candidate is submitted.
        force: Stages that run though nothing that they depend on changed. Others are reused where nothing did.
    """
    if start_from in STAGES and STAGES.index(start_from) > STAGES.index(until):
        raise UsageError(f"a run from {start_from} until {until} has no stage; they come as {', '.join(STAGES)}.")
    _refuse_idle(force, start_from, until)
    config, settings = open_pipeline(pipeline)
    life = _Life(config, settings, clock(now), only, until, force)
    try:
        with (
            lineage_run(settings, pipeline),
            collecting() as life.stages,
            writing(settings, pipeline, "model"),
            following(),
        ):
            life.live(start_from)
    except Exception as error:
        code = error.exit_code if isinstance(error, UsageError) else 1
        raise LifecycleError(life.failure(error), code) from error
    report = life.report()
    create_markdown_artifact(report_page(report), key=artifact_key(pipeline, "lifecycle"), description=report.outcome)
    text = report.outcome.replace("_", " ").capitalize()
    return Completed(name=text, message="; ".join(report.reasons)[:500], data=report)
