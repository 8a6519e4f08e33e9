"""One run of a pipeline: its stages in their order, each as the planner decides, and the report."""

from __future__ import annotations

from tasks.context import Execute, StageContext, direct, writing
from tasks.errors import DataRejectedError, PerennialError, UsageError
from tasks.events import following
from tasks.lifecycle.ingestion import run_ingestion
from tasks.lifecycle.plan import Planner
from tasks.lifecycle.training import TrainingRequest, train
from tasks.lifecycle.up_to_date import mark_up_to_date
from tasks.monitoring.stage import (
    DecisionInputs,
    MonitoringInputs,
    run_decision,
    run_monitoring,
    stored_drift,
    stored_performance,
)
from tasks.progress import collecting, say, stage
from tasks.provenance.fingerprints import recipe
from tasks.records.base import Record
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
from tasks.release.stage import run_release
from tasks.scoring.stage import ScoringInputs, run_scoring
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import candidates
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit

_RETRAINING = (*TRAINING_STAGES, "release")


class LifecycleError(PerennialError):
    """A run that failed, with its report as far as it came. The champion is as before."""

    def __init__(self, report: LifecycleReport, exit_code: int) -> None:
        super().__init__("; ".join(report.reasons))
        self.report = report
        self.exit_code = exit_code


class RunRequest(Record):
    """What of a run is asked for.

    Attributes:
        start_from: `ingestion`: everything. `decision`: score, look for drift, and retrain if the policy says so.
            `features`, `training`, `evaluation`: do not ask the policy; what the stages before returned last is taken
            as it is. `release`: only release what was evaluated before.
        only: Paths below the landing folder that are ingested; all that landed by default.
        until: The last stage that runs. Before `release`, no candidate is submitted.
        force: Stages that run though nothing that they depend on changed. Others are reused where nothing did.
    """

    start_from: StartFrom = "ingestion"
    only: tuple[str, ...] | None = None
    until: StageName = "release"
    force: tuple[TrainingStage, ...] = ()

    def check(self) -> None:
        """Refuse what can't be meant.

        Raises:
            UsageError: the last stage comes before the first, or a forced one is not between them.
        """
        start_from, until = self.start_from, self.until
        if start_from in STAGES and STAGES.index(start_from) > STAGES.index(until):
            raise UsageError(f"a run from {start_from} until {until} has no stage; they come as {', '.join(STAGES)}.")
        first = STAGES.index(start_from) if start_from in STAGES else 0
        for name in self.force:
            if not first <= STAGES.index(name) <= STAGES.index(until):
                raise UsageError(
                    f"{name} can't be forced in a run from {start_from} until {until}: it is not part of it."
                )


def run_lifecycle(context: StageContext, request: RunRequest, execute: Execute = direct) -> LifecycleReport:
    """Ingest what landed, score and monitor it, and, if the policy says so, train, evaluate and release.

    Args:
        context: The run's context.
        request: What of it is asked for.
        execute: Calls the stages.

    Raises:
        UsageError: the request can't be meant.
        LifecycleError: a stage failed; the report says how far the run came.
    """
    request.check()
    run = _Run(context, request, execute)
    try:
        with collecting() as run.stages, writing(context.settings, context.pipeline, "model"), following():
            run.execute_stages()
    except Exception as error:
        code = error.exit_code if isinstance(error, UsageError) else 1
        raise LifecycleError(run.failure(error), code) from error
    return run.report()


class _Run:
    """One run: what each stage returned, for the report."""

    def __init__(self, context: StageContext, request: RunRequest, execute: Execute) -> None:
        self.context, self.request, self.execute = context, request, execute
        self.config, self.settings = context.config, context.settings
        self.stages: list[StageRecord] = []
        self.ingested = IngestReport(pipeline=context.pipeline)
        self.drift: DriftVerdict | None = None
        self.performance: PerformanceVerdict | None = None
        self.decision: RetrainDecision | None = None
        self.verdict: Verdict | None = None
        self.promotion: Promotion | None = None
        self.data_error = ""
        self.scored = 0

    def execute_stages(self) -> None:
        """Every stage from the first on."""
        start_from, until, force = self.request.start_from, self.request.until, self.request.force
        if start_from == "ingestion":
            self.ingest()
        else:
            Lake(self.settings, self.config).create()
        if until == "ingestion":
            return
        if until == "release":
            self.recover()
        if start_from == "ingestion" or start_from == "decision":  # one by one: the type checker follows them
            self.score_and_monitor()
            decision = self.decide()
            if decision.due:
                self.retrain(self.first_stage(decision))
            elif force:
                self.retrain(next(name for name in TRAINING_STAGES if name in force))
            if until == "release":
                mark_up_to_date(self.config, self.settings, at=self.context.now, actor=self.context.actor)
        elif start_from != "release":
            self.retrain(start_from)

    def ingest(self) -> None:
        with stage("ingestion") as running:
            Lake(self.settings, self.config).create()
            self.ingested = self.execute(run_ingestion, self.context, self.request.only)
            accepted, rejected = self.ingested.accepted, self.ingested.rejected
            rows = sum(batch.accepted for batch in accepted)
            running.note = f"{len(accepted)} files accepted ({rows} rows), {len(rejected)} rejected"
            running.skipped = not self.ingested.batches

    def recover(self) -> None:
        """Finish what a killed run left: candidates that were evaluated and not released."""
        audit, pipeline = Audit(self.settings), self.context.pipeline
        waiting = candidates.ready(audit, Approvals(self.settings), pipeline, self.context.now)
        if waiting or candidates.pending_moves(audit, pipeline):
            with stage("recovery") as running:
                self.promotion = self.execute(run_release, self.context)
                self.verdict = waiting[-1][1].verdict if waiting else None
                running.note = "released what an earlier run had evaluated"

    def score_and_monitor(self) -> None:
        """Score what is new with the present champion, then check drift, and predictions whose labels came."""
        champion = Tracking(self.settings, self.context.pipeline).champion()
        if champion is None:
            return
        with stage("scoring") as running:
            self.scored = self.execute(run_scoring, self.context, ScoringInputs(model=champion)).rows
            running.note, running.skipped = f"{self.scored} rows", not self.scored
        # By the state, not by what this run ingested: a killed run, or labels that come later, lose no verdict.
        self.drift = self.execute(stored_drift, self.context, champion)
        self.performance = self.execute(stored_performance, self.context, champion)
        if self.drift is None or self.performance is None:
            with stage("monitoring") as running:
                inputs = MonitoringInputs(champion=champion, again=False)
                found = self.execute(run_monitoring, self.context, inputs)
                self.drift, self.performance = found.drift, found.performance
                running.note = _monitored(found)

    def decide(self) -> RetrainDecision:
        with stage("decision") as running:
            lake = Lake(self.settings, self.config)
            inputs = DecisionInputs(
                labelled=lake.dataset(lake.ledger()).labelled,
                drift="unknown" if self.drift is None else self.drift.state,
                performance="unknown" if self.performance is None else self.performance.state,
                recipe=recipe(self.config),
            )
            self.decision = self.execute(run_decision, self.context, inputs)
            running.note = "; ".join(self.decision.reasons)
            return self.decision

    def first_stage(self, decision: RetrainDecision) -> TrainingStage:
        first = Planner(self.context).first_stage(decision)
        if decision.start_from == "evaluation" and first != "evaluation":
            say(f"the run starts from {first}: files of the last training set or model are missing")
        return first

    def retrain(self, start_from: TrainingStage) -> None:
        """Train and release. Data that no model can be fitted on leave the champion as it is."""
        request = TrainingRequest(start_from=start_from, until=self.request.until, force=self.request.force)
        try:
            trained = self.execute(train, self.context, request)
        except DataRejectedError as error:
            self.data_error = str(error)
            return
        self.verdict = trained.verdict
        if self.request.until != "release":
            return
        with stage("release") as running:
            self.promotion = self.execute(run_release, self.context)
            running.skipped = self.promotion is None
            running.note = "nothing waited" if self.promotion is None else _promotion_note(self.promotion)

    # -------------------------------------------------------------------------------------------- the report
    def champion(self) -> int | None:
        return Audit(self.settings).champion(self.context.pipeline)

    def report(self) -> LifecycleReport:
        outcome, reasons = self.outcome()
        verdict, promotion = self.verdict, self.promotion
        return LifecycleReport(
            pipeline=self.context.pipeline,
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
        if self.request.until == "release" or outcome == "data_rejected":
            return outcome, reasons
        evaluated = self.verdict.reasons or ("every gate passed",) if self.verdict is not None else ()
        return "stopped", (f"stopped after {self.request.until}, as asked", *evaluated)

    def _outcome(self) -> tuple[Outcome, tuple[str, ...]]:
        rejected = tuple(f"{one.path}: {'; '.join(one.reasons)}" for one in self.ingested.rejected)
        if self.data_error:
            return "data_rejected", (self.data_error, *rejected)
        if self.promotion is not None:
            return self.promotion.outcome, self.promotion.reasons
        if rejected and not self.ingested.accepted:
            return "data_rejected", rejected
        reasons = () if self.decision is None else self.decision.reasons
        if self.ingested.accepted and self.champion() is not None:
            return "kept_champion", reasons
        if self.verdict is not None and all(one.state != "done" for one in self.stages if one.name in _RETRAINING):
            reasons = ("every stage is as before: nothing that it depends on changed",)
        elif self.decision is None:
            reasons = ("nothing waits to be released",)
        return "nothing_to_do", reasons if self.landed() else (f"nothing has landed in {self.landing()} yet",)

    def landing(self) -> str:
        return str(self.settings.landing(self.config.source.landing))

    def landed(self) -> bool:
        return bool(Lake(self.settings, self.config).ledger())


def _monitored(found: MonitorReport) -> str:
    drift, performance = found.drift, found.performance
    return f"drift {drift.state}: {drift.reasons[0]}; performance {performance.state}: {performance.reasons[0]}"


def _promotion_note(promotion: Promotion) -> str:
    text = {"promoted": "is champion", "awaiting_approval": "waits for a person", "rolling_out": "is rolled out"}
    if promotion.outcome == "kept_champion" and promotion.champion == promotion.version:
        return promotion.reasons[0]
    return f"version {promotion.version} {text.get(promotion.outcome, 'was rejected')}"
