"""The stage release: evaluated candidates become versions, and champion where they may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import JsonValue

from tasks.context import Execute, StageContext, direct, writing
from tasks.events import emit, following
from tasks.provenance.manifests import store_manifest
from tasks.records.decision import Candidate, Outcome, Promotion
from tasks.records.provenance import StageDependencies, flat
from tasks.records.rollout import RolloutDecision
from tasks.release import page, promotion, registry_moves
from tasks.release.registry_moves import ReleaseContext
from tasks.release.rollout import check
from tasks.stores.environment import git_commit, lock_digest
from tasks.stores.lake.schemas import decision_row
from tasks.stores.lake.tables import Lake
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import clock
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.approvals import ApprovalRequest, Approvals, audit_close, audit_request
from tasks.stores.state.audit import Audit
from tasks.stores.state.outbox import EventName
from tasks.stores.state.rollouts import Rollout
from tasks.stores.usage import Meter

_EVENTS: dict[Outcome, EventName] = {
    "promoted": "perennial.model.promoted",
    "kept_champion": "perennial.model.rejected",
    "awaiting_approval": "perennial.approval.requested",
    "rolling_out": "perennial.rollout.started",
}


def run_release(context: StageContext, execute: Execute = direct) -> Promotion | None:
    """Register the candidates that wait, oldest first, and promote what passed; what became of the newest.

    Where the pipeline asks for a person's approval, a version that passed waits for it, and a later run carries the
    answer out. Where it has the steps of a rollout, a version that may take a champion's place is rolled out first.
    """
    config, settings = context.config, context.settings
    done: list[Promotion] = []
    with writing(settings, config.name, "model") as lock:
        with writing(settings, config.name, "alias"):
            execute(recover, context)
        while waiting := execute(ready_candidates, context):  # again: a request supersedes an older one, which is ready
            for intent, candidate in waiting:
                lock.check()  # it may be held since before a long training
                with emit_stage(config, "release", StageData(model=candidate.model), at=context.now) as stage:
                    done.append(_release(context, intent, candidate, execute))
                    stage.add_output(done[-1])
                if done[-1].outcome == "rolling_out":
                    break  # the others wait for what becomes of it
    if not any(one.outcome == "rolling_out" for one in done):
        done += _pending_promotions(context)
    return max(done, key=lambda one: one.version, default=None)


def _release(context: StageContext, intent: int, candidate: Candidate, execute: Execute) -> Promotion:
    """One candidate, as far as it can come now. Events are sent before it is closed: rather twice than never."""
    config, settings, meter = context.config, context.settings, Meter()
    version, new = execute(register, context, candidate)
    if new:
        with following():
            emit(context, "perennial.model.registered", {"version": version})
    # A person has the whole time to answer, also where the run's clock is set back.
    deadline = max(context.now, clock(None)) + timedelta(hours=config.approval.deadline_hours)
    with writing(settings, config.name, "alias"):
        record, request = execute(apply_promotion, context, intent, candidate, version, deadline)
        payload: dict[str, JsonValue] = {
            "version": version,
            "champion": record.champion,
            "reasons": [*record.reasons],
        }
        if record.champion != record.version or record.previous != record.version:  # not evaluated again
            emit(context, _EVENTS[record.outcome], payload)
        execute(close_promotion, context, intent, candidate, record, request)
    dependencies = StageDependencies(
        config=flat(config.model_dump(mode="json", include={"approval"})),
        inputs={"model": candidate.model.run_id, "evaluation": candidate.evaluation, "champion": record.previous},
    )
    store_manifest(context, "release", dependencies, record, meter)
    return record


def _pending_promotions(context: StageContext) -> list[Promotion]:
    """Versions that are rolled out or wait for a person, of which a run can do no more."""
    pipeline, settings = context.pipeline, context.settings
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
        for request in Approvals(settings).pending(pipeline, context.now)
    ]


def recover(context: StageContext) -> tuple[str, ...]:
    """Recover what a crash left between two writes; a message for each. Alias lock held."""
    if not candidates.pending_moves(Audit(context.settings), context.pipeline):
        return ()
    return tuple(registry_moves.recover(release_context(context), context.now))


def release_context(context: StageContext) -> ReleaseContext:
    """Where the pipeline's aliases are moved, and its events sent."""
    config, settings = context.config, context.settings
    tracking, lake = Tracking(settings, config.name), Lake(settings, config)
    return ReleaseContext(tracking, Audit(settings), lake, partial(emit, context))


def apply_rollout_decision(context: StageContext, rollout: Rollout, decision: RolloutDecision) -> Rollout:
    """Carry out what was decided of a rollout; the rollout as it is now. Alias lock held."""
    return check.apply_decision(release_context(context), rollout, decision, context.now, context.actor)


def ready_candidates(context: StageContext) -> list[tuple[int, Candidate]]:
    """Evaluated candidates on which something can be done now, oldest first."""
    settings = context.settings
    return candidates.ready(Audit(settings), Approvals(settings), context.pipeline, context.now)


def register(context: StageContext, candidate: Candidate) -> tuple[int, bool]:
    """Make a candidate a version, once; its number, and whether it was made just now. Lock held."""
    config = context.config
    tracking = Tracking(context.settings, config.name)
    new = tracking.version_of_run(candidate.model.run_id) is None
    card = page.model_card(config, candidate)
    return tracking.register(candidate.model, candidate.verdict, _tags(candidate), card, config.description), new


def apply_promotion(
    context: StageContext, intent: int, candidate: Candidate, version: int, deadline: datetime
) -> tuple[Promotion, ApprovalRequest | None]:
    """Make a version champion where its verdict, the present champion and the person asked allow. Alias lock held.

    Where the pipeline has steps of a rollout and a champion, it is to be rolled out instead.

    Returns:
        What became of it, and the request for approval, if one is needed; a new one is not kept yet.
    """
    config, settings, now, actor = context.config, context.settings, context.now, context.actor
    tracking, audit, approvals = Tracking(settings, config.name), Audit(settings), Approvals(settings)
    promotion.recover_moves(tracking, audit, at=now)  # what an earlier try of this task left between intent and done
    champion = tracking.champion_version()
    request = approvals.of_candidate(intent)
    if request is not None and request.state(now) == "expired":
        request = approvals.expire(request)
    promoted_before, rollback_reason = (
        candidates.promoted(audit, candidate),
        candidates.rollback_reason(audit, candidate, version),
    )
    if (
        request is None
        and config.approval.required
        and not rollback_reason
        and not (promoted_before and champion == version)
    ):
        author = candidates.author(audit, config.name, intent)
        request = promotion.approval_request(config.name, intent, version, champion, author, now, deadline)
    steps = bool(config.rollout.steps)
    record = promotion.decide_promotion(
        config.approval,
        candidate,
        version,
        champion,
        request,
        now,
        promoted_before=promoted_before,
        rollback_reason=rollback_reason,
        steps=steps,
    )
    if record.outcome == "promoted" and champion != version:
        reason = "; ".join(record.reasons)
        promotion.move_champion(tracking, audit, version, champion, at=now, actor=actor, reason=reason)
    if record.outcome == "rolling_out" and champion is not None:
        message = f"{rollouts.describe(config.rollout, 0, version, champion)}; {rollouts.continuation(config.name)}"
        record = record.model_copy(update={"reasons": (message, *record.reasons)})
    return record, request


def close_promotion(
    context: StageContext, intent: int, candidate: Candidate, record: Promotion, request: ApprovalRequest | None
) -> None:
    """Keep what became of a candidate: it waits for a person, is rolled out, or is done. Alias lock held."""
    config, settings, now, actor = context.config, context.settings, context.now, context.actor
    audit = Audit(settings)
    if record.outcome == "awaiting_approval" and request is not None:
        audit_request(audit, request, at=now, actor=actor)
        Approvals(settings).put(request)
    elif request is not None:
        audit_close(audit, request, at=now, actor=actor)
    if record.outcome not in ("awaiting_approval", "rolling_out"):
        reason = "; ".join(record.reasons)
        candidates.close_candidate(
            audit, config.name, intent, record.outcome, record.version, at=now, actor=actor, reason=reason
        )
    row = decision_row(now, "promotion", record.outcome, candidate.model.recipe, record.stored_json())
    Lake(settings, config).append_once("decisions", row, f"promotion:{intent}:{record.outcome}", 1)
    if record.outcome == "rolling_out" and record.champion is not None:
        began = rollouts.start(
            audit,
            config.name,
            version=record.version,
            champion=record.champion,
            candidate=intent,
            plan=config.rollout,
            at=datetime.now(UTC),  # traffic has the present's times, also where the run's clock is set back
            actor=actor,
        )
        check.sync_exposure(Tracking(settings, config.name), began)


def _tags(candidate: Candidate) -> dict[str, str]:
    return {
        "recipe": candidate.model.recipe,
        "dataset_digest": candidate.model.dataset_digest,
        "lock_digest": lock_digest(),
        "git_commit": git_commit(),
    }
