"""A version that is rolled out is watched, step by step, until it is champion or moved back."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.context import stage_context
from tasks.context import StageContext, writing
from tasks.progress import say
from tasks.records.base import Record
from tasks.records.decision import Promotion
from tasks.records.rollout import RolloutDecision
from tasks.release.registry_moves import OUTCOMES
from tasks.release.rollout import check
from tasks.release.stage import release_context
from tasks.release.task import apply_rollout_decision, publish_rollout
from tasks.retry import passes
from tasks.stores.lake.tables import Lake
from tasks.stores.lineage.emitter import StageRun as Stage
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import clock
from tasks.stores.state import rollouts
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollout_checks import save_check
from tasks.stores.state.rollouts import Ending, Rollout, RolloutOutcome

_IDLE = 4.0  # of the time that a look reads: looks at very many records take no more than a fifth of a processor
_PAGE_SECONDS = 60.0
_PATIENCE = 5  # looks that fail one after the other


class RolloutReport(Record):
    """What a run saw of a rollout last.

    Attributes:
        version: The version; None where none is rolled out.
        text: Where it is, or how it ended, in words.
        checks: What the last look found.
    """

    pipeline: str
    outcome: Literal["rolling_out", "nothing_to_do"] | RolloutOutcome
    version: int | None
    champion: int | None
    text: str
    reasons: tuple[str, ...] = ()
    decision: RolloutDecision | None = None


class _Watch:
    """The rollout of one pipeline, as one run sees it."""

    def __init__(self, context: StageContext) -> None:
        self.context, self.config, self.settings = context, context.config, context.settings
        self.audit, self.lake = Audit(self.settings), Lake(self.settings, self.config)
        self.decision: RolloutDecision | None = None
        self.text, self.shown, self.read = "", 0.0, 0.0

    def under_way(self) -> Rollout | None:
        """The rollout that is open. Whoever is about to begin one is waited for."""
        with writing(self.settings, self.config.name, "alias"):
            return rollouts.active(self.audit, self.config.name)

    def look(self, rollout: Rollout) -> Rollout:
        """One look, and what it leads to; the rollout as it is now."""
        now = clock(None)
        context = replace(self.context, now=now)
        tracking = Tracking(self.settings, self.config.name)
        started = time.monotonic()
        self.decision = check.evaluate_rollout(self.config, tracking, self.audit, self.lake, rollout, now)
        self.read = time.monotonic() - started
        save_check(self.settings, rollout, self.decision, now)
        with writing(self.settings, self.config.name, "alias"), self._ending(tracking, rollout, now) as stage:
            if self.decision.action == "go_on":  # no task: looks may be very many
                after = check.apply_decision(release_context(context), rollout, self.decision, now, context.actor)
            else:
                after = apply_rollout_decision(context, rollout, self.decision)
            if stage is not None and after.ending is not None:
                stage.add_output(_promotion(after, after.ending))
        self.show(after)
        return after

    def _ending(
        self, tracking: Tracking, rollout: Rollout, now: datetime
    ) -> AbstractContextManager[Stage] | nullcontext[None]:
        """Tells of the block as of a release, if the rollout is about to end."""
        if self.decision is None or self.decision.action in ("go_on", "advance"):
            return nullcontext()
        return emit_stage(self.config, "release", StageData(model=tracking.model(rollout.version)), at=now)

    def show(self, rollout: Rollout) -> None:
        """Tell of a look: in the log where something changed, as a page also from time to time."""
        reasons = rollout.ending.reasons if rollout.ending else self.decision.reasons if self.decision else ()
        text = f"{rollout.description}: {'; '.join(reasons)}"
        if rollout.description != self.text or time.monotonic() - self.shown > _PAGE_SECONDS:
            say(text)
            publish_rollout(self.config, rollout, self.decision)
            self.text, self.shown = rollout.description, time.monotonic()


@flow(name="rollout", flow_run_name="rollout-{pipeline}")
def rollout(pipeline: str, once: bool = False) -> State[RolloutReport]:
    """Watch the version that is rolled out until it is champion or moved back.

    Each look reads what it answered in its step, beside the champion's answers for the same rows, and compares it with
    the rules of the pipeline's `rollout`: it goes on, takes the next step, or goes back.

    Args:
        pipeline: The pipeline's name.
        once: Whether to look once only, and leave the rest to the next run.
    """
    with stage_context(pipeline, tables=False) as context:
        watch = _Watch(context)
        last = _watched(watch, once=once)
    return _ended(_report(pipeline, watch, last))


def _watched(watch: _Watch, *, once: bool) -> Rollout | None:
    """Look until the rollout ends; the rollout as it was seen last."""
    found, failed = watch.under_way(), 0
    last = found
    while found is not None and found.closed is None:
        try:
            found = last = watch.look(found)
            failed = 0
        except Exception as error:
            failed += 1
            if failed >= _PATIENCE or not passes(error):
                raise
            say(f"looked in vain, and try again: {error}")
        if once:
            break
        if found.closed is None:
            time.sleep(max(found.plan.look_seconds, _IDLE * watch.read))
    return last


def _promotion(rollout: Rollout, ending: Ending) -> Promotion:
    champion = rollout.version if ending.outcome == "promoted" else rollout.champion
    return Promotion(
        outcome=OUTCOMES[ending.outcome],
        version=rollout.version,
        champion=champion,
        previous=rollout.champion,
        reasons=ending.reasons,
    )


def _report(pipeline: str, watch: _Watch, rollout: Rollout | None) -> RolloutReport:
    if rollout is None:
        champion = watch.audit.champion(pipeline)
        text = f"no version of {pipeline} is rolled out"
        return RolloutReport(pipeline=pipeline, outcome="nothing_to_do", version=None, champion=champion, text=text)
    reasons = rollout.ending.reasons if rollout.ending else watch.decision.reasons if watch.decision else ()
    return RolloutReport(
        pipeline=pipeline,
        outcome=rollout.ending.outcome if rollout.ending else "rolling_out",
        version=rollout.version,
        champion=watch.audit.champion(pipeline),
        text=rollout.description,
        reasons=reasons,
        decision=watch.decision,
    )


def _ended(report: RolloutReport) -> State[RolloutReport]:
    name = report.outcome.replace("_", " ").capitalize()
    text = "; ".join((report.text, *report.reasons))[:500]
    return Completed(name=name, message=text, data=report)
