"""Judged candidates become versions; one that passed, and was approved where a person is asked, becomes champion."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import JsonValue

from configs.schema import PipelineConfig
from flows.context import open_pipeline, writing
from flows.events import emit, following, teller
from flows.openlineage import lineage_run
from flows.stages import keep
from tasks.records.decision import Candidate, Outcome, Promotion
from tasks.records.provenance import StageDependencies, flat
from tasks.release.task import apply_promotion, close_promotion, ready_candidates, recover, register
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.runtime import actor, clock
from tasks.stores.settings import Settings
from tasks.stores.state import rollouts
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.manifests import Manifests
from tasks.stores.state.outbox import EventName
from tasks.stores.usage import Meter

_EVENTS: dict[Outcome, EventName] = {
    "promoted": "perennial.model.promoted",
    "kept_champion": "perennial.model.rejected",
    "awaiting_approval": "perennial.approval.requested",
    "rolling_out": "perennial.rollout.started",
}


@flow(name="deploy", flow_run_name="deploy-{pipeline}")
def deploy(pipeline: str, now: datetime | None = None) -> Promotion | None:
    """Register the candidates that wait, oldest first, and promote what passed; what became of the newest.

    Where the pipeline asks for a person's approval, a version that passed waits for it, and a later run carries the
    answer out. Where it has the steps of a rollout, a version that may take a champion's place is rolled out first.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
    """
    config, settings = open_pipeline(pipeline)
    moment = clock(now)
    done: list[Promotion] = []
    with lineage_run(settings, pipeline), writing(settings, pipeline, "model") as lock:
        with writing(settings, pipeline, "alias"):
            recover(config, moment, teller(settings, pipeline))
        while candidates := ready_candidates(
            config, moment
        ):  # again: a request supersedes an older one, which then is ready
            for candidate in candidates:
                lock.check()  # it may be held since before a long training
                with emit_stage(config, "release", StageData(model=candidate[1].model), at=moment) as stage:
                    done.append(_deploy(config, settings, *candidate, moment))
                    stage.add_output(done[-1])
                if done[-1].outcome == "rolling_out":
                    break  # the others wait for what becomes of it
    if not any(one.outcome == "rolling_out" for one in done):
        done += _pending(settings, pipeline, moment)
    if not done:
        return None
    newest = max(done, key=lambda one: one.version)
    text = newest.outcome.replace("_", " ").capitalize()
    state: State[Promotion] = Completed(name=text, message="; ".join(newest.reasons)[:500], data=newest)
    return cast("Promotion", state)  # Prefect ends the run in this state, and gives its data to who called the flow


def _deploy(
    config: PipelineConfig, settings: Settings, intent: int, candidate: Candidate, moment: datetime
) -> Promotion:
    """One candidate, as far as it can come now. Events are reported before it is concluded: rather twice than never."""
    meter = Meter()
    version, new = register(config, candidate)
    if new:
        with following():
            emit(settings, "perennial.model.registered", config.name, {"version": version})
    # A person has the whole time to answer, also where the run's clock is set back.
    deadline = max(moment, clock(None)) + timedelta(hours=config.approval.deadline_hours)
    with writing(settings, config.name, "alias"):
        promotion, request = apply_promotion(config, intent, candidate, version, moment, deadline, actor())
        payload: dict[str, JsonValue] = {
            "version": version,
            "champion": promotion.champion,
            "reasons": [*promotion.reasons],
        }
        if promotion.champion != promotion.version or promotion.previous != promotion.version:  # not judged again
            emit(settings, _EVENTS[promotion.outcome], config.name, payload)
        close_promotion(config, intent, candidate, promotion, request, moment, actor())
    parts = StageDependencies(
        config=flat(config.model_dump(mode="json", include={"approval"})),
        inputs={"model": candidate.model.run_id, "evaluation": candidate.evaluation, "champion": promotion.previous},
    )
    keep(Manifests(settings, config.name), "release", parts, promotion, meter, moment)
    return promotion


def _pending(settings: Settings, pipeline: str, moment: datetime) -> list[Promotion]:
    """Versions that are rolled out or wait for a person, as a run tells them that can't do more about them."""
    rollout = rollouts.active(Audit(settings), pipeline)
    if rollout is not None:
        kept, text = rollout.champion, rollout.status
        return [
            Promotion(outcome="rolling_out", version=rollout.version, champion=kept, previous=kept, reasons=(text,))
        ]
    return [
        Promotion(
            outcome="awaiting_approval",
            version=request.version,
            champion=request.champion,
            previous=request.champion,
            reasons=(request.pending_message(),),
        )
        for request in Approvals(settings).pending(pipeline, moment)
    ]
