"""Candidates between training and release, kept in the audit so that a killed run loses none."""

from __future__ import annotations

import json
from datetime import datetime
from typing import get_args

from tasks.records.decision import Candidate, Outcome
from tasks.records.model import ModelRef
from tasks.records.stages import TrainingStage
from tasks.stores.state import rollouts
from tasks.stores.state.approvals import APPROVAL, Approvals
from tasks.stores.state.audit import MOVE_CHAMPION, Audit, AuditEntry

_ACTION = "candidate"
UP_TO_DATE = "lifecycle"


def submit(audit: Audit, candidate: Candidate, *, at: datetime, actor: str) -> int | None:
    """Keep an evaluated candidate until it is released or rejected; its id in the audit, None if it was known."""
    if known(audit, candidate.model, candidate.evaluation):
        return None
    return audit.write(
        candidate.model.pipeline,
        _ACTION,
        "intent",
        at=at,
        actor=actor,
        reason="passed the gates" if candidate.verdict.passed else "; ".join(candidate.verdict.reasons),
        details={"candidate": candidate.document()},
    )


def known(audit: Audit, model: ModelRef, evaluation: str) -> bool:
    """Whether a candidate was submitted before: the same model, evaluated in the same way.

    Args:
        audit: Where candidates are kept.
        model: The model.
        evaluation: Fingerprint of its evaluation.
    """
    mine = (model.run_id, evaluation)
    return any((one.model.run_id, one.evaluation) == mine for _, one, _, _ in evaluated(audit, model.pipeline))


def promoted(audit: Audit, candidate: Candidate) -> bool:
    """Whether the same model was promoted upon an earlier evaluation."""
    run = candidate.model.run_id
    found = evaluated(audit, candidate.model.pipeline)
    return any(one.model.run_id == run and outcome == "promoted" for _, one, outcome, _ in found)


def rollback_reason(audit: Audit, candidate: Candidate, version: int) -> str:
    """Why a version must not become champion by itself: it, or one of an equal model, was rolled back; else empty.

    Args:
        audit: Where candidates are kept.
        candidate: The candidate, evaluated anew perhaps.
        version: Its number.
    """
    pipeline = candidate.model.pipeline
    marked = rollouts.rolled_back(audit, pipeline)
    equal = {
        number
        for _, one, _, number in (evaluated(audit, pipeline) if marked else ())
        if number in marked and one.model.training == candidate.model.training
    }
    found = version if version in marked else max(equal, default=None)
    if found is None:
        return ""
    same = "it" if found == version else f"its model is that of version {found}, which"
    command = f"perennial rollback {pipeline} --to {found} --reason TEXT"
    return f"{same} was {marked[found]}; `{command}` reverts that"


def incumbent(audit: Audit, pipeline: str, run_id: str, champion: int | None) -> int | None:
    """The version that a model is compared with: the champion; for the champion itself, what it took the place of."""
    own = [
        one for _, one, _, version in evaluated(audit, pipeline) if one.model.run_id == run_id and version == champion
    ]
    return own[-1].verdict.champion_version if own and champion is not None else champion


def waiting(audit: Audit, pipeline: str) -> list[tuple[int, Candidate]]:
    """Candidates that were evaluated and neither released nor rejected, oldest first."""
    return [(entry.id, _read(entry)) for entry in audit.open_intents(pipeline, _ACTION)]


def ready(audit: Audit, approvals: Approvals, pipeline: str, now: datetime) -> list[tuple[int, Candidate]]:
    """Waiting candidates that can be released now: all but those that a person may still answer for.

    While one is rolled out, there is none: the others wait for what becomes of it.
    """
    if rollouts.active(audit, pipeline) is not None:
        return []
    pending = {request.candidate for request in approvals.pending(pipeline, now)}
    return [(intent, candidate) for intent, candidate in waiting(audit, pipeline) if intent not in pending]


def pending_moves(audit: Audit, pipeline: str) -> list[int]:
    """Ids of what was decided of the pipeline's aliases and not carried out: what a crash left."""
    rollout = rollouts.active(audit, pipeline)
    moves = [*audit.open_intents(pipeline, MOVE_CHAMPION), *audit.open_intents(pipeline, rollouts.ROLLBACK)]
    return [one.id for one in moves] + ([rollout.id] if rollout is not None and rollout.ending is not None else [])


def author(audit: Audit, pipeline: str, intent: int) -> str:
    """Who submitted a candidate."""
    return next(entry.actor for entry in audit.entries(pipeline, _ACTION) if entry.id == intent)


def close_candidate(
    audit: Audit, pipeline: str, intent: int, outcome: Outcome, version: int, *, at: datetime, actor: str, reason: str
) -> None:
    """Note what became of a candidate, and why; once."""
    if intent not in {entry.id for entry in audit.open_intents(pipeline, _ACTION)}:
        return
    details = {"outcome": outcome, "version": version}
    audit.write(pipeline, _ACTION, "done", at=at, actor=actor, reason=reason, details={**details}, intent=intent)


def newest(audit: Audit, pipeline: str) -> Candidate | None:
    """The newest candidate ever evaluated: what the last training was made from."""
    entries = [entry for entry in audit.entries(pipeline, _ACTION) if entry.phase == "intent"]
    return _read(entries[-1]) if entries else None


def newest_at(audit: Audit, pipeline: str) -> datetime | None:
    """When the newest candidate was evaluated, by that run's clock; None before any."""
    entries = [entry for entry in audit.entries(pipeline, _ACTION) if entry.phase == "intent"]
    return entries[-1].at if entries else None


def last_fingerprints(audit: Audit, pipeline: str) -> dict[TrainingStage, str]:
    """The stages' recipes of the newest candidate, or of a run since that settled on them; empty before any."""
    submitted = [entry for entry in audit.entries(pipeline, _ACTION) if entry.phase == "intent"]
    if not submitted:
        return {}
    ended = [entry for entry in audit.entries(pipeline, UP_TO_DATE) if entry.id > submitted[-1].id]
    if ended:
        return _fingerprints(ended[-1])
    return _read(submitted[-1]).recipes


def evaluated(audit: Audit, pipeline: str) -> list[tuple[datetime, Candidate, str, int | None]]:
    """Every candidate with its time, what became of it and its version, oldest first.

    What became of it is `waiting` before its release began, `awaiting_approval` while a person is asked, and
    `rolling_out` while it is rolled out.
    """
    entries = audit.entries(pipeline, _ACTION)
    asked = {
        entry.details["candidate"]: entry for entry in audit.entries(pipeline, APPROVAL) if entry.phase == "intent"
    }
    shown = {
        entry.details["candidate"]: entry
        for entry in audit.entries(pipeline, rollouts.ROLLOUT)
        if entry.phase == "intent"
    }
    ends = {entry.intent: entry for entry in entries if entry.phase == "done"}
    found = []
    for entry in entries:
        if entry.phase == "intent":
            end, rollout, request = ends.get(entry.id), shown.get(entry.id), asked.get(entry.id)
            last = end or rollout or request
            version = None if last is None else int(str(last.details["version"]))
            open_as = "rolling_out" if rollout else "awaiting_approval" if request else "waiting"
            outcome = str(end.details["outcome"]) if end else open_as
            found.append((entry.at, _read(entry), outcome, version))
    return found


def close_reasons(audit: Audit, pipeline: str) -> dict[int, str]:
    """Why each released candidate became what it became, by its version."""
    done = [entry for entry in audit.entries(pipeline, _ACTION) if entry.phase == "done"]
    return {int(str(entry.details["version"])): entry.reason for entry in done}


def holdout_metric(audit: Audit, pipeline: str, version: int | None, metric: str) -> float | None:
    """A metric that a version had on its holdout when it was evaluated; None where that is not known."""
    found = [
        candidate for _, candidate, _, known in evaluated(audit, pipeline) if known is not None and known == version
    ]
    return found[-1].verdict.metrics.values.get(metric) if found else None


def first_through(audit: Audit, pipeline: str) -> int:
    """Sequence number of the newest batch that the pipeline's first champion was trained on; 0 before any."""
    promoted = [candidate for _, candidate, outcome, _ in evaluated(audit, pipeline) if outcome == "promoted"]
    return promoted[0].model.through_seq if promoted else 0


def _fingerprints(entry: AuditEntry) -> dict[TrainingStage, str]:
    known: tuple[TrainingStage, ...] = get_args(TrainingStage)
    found = entry.details["recipes"]
    return {stage: str(found[stage]) for stage in known if stage in found} if isinstance(found, dict) else {}


def _read(entry: AuditEntry) -> Candidate:
    # By way of JSON: the contract's columns within are strict, and take a list for a tuple only there.
    return Candidate.model_validate_json(json.dumps(entry.details["candidate"]))
