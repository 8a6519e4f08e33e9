"""Registry moves: a candidate becomes a version, a passed one the champion. A crash between is recovered later."""

from __future__ import annotations

from datetime import datetime

from configs.schema import Approval
from tasks.records.decision import Candidate, GateResult, Outcome, Promotion
from tasks.release import approval
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state.approvals import ApprovalRequest
from tasks.stores.state.audit import MOVE_CHAMPION, Audit


def decide(candidate: Candidate, champion: int | None) -> tuple[bool, tuple[str, ...]]:
    """Whether an evaluated candidate may take the champion's place now, and why not.

    Args:
        candidate: The candidate and the verdict on it.
        champion: The champion as it is now; the verdict is valid only for the one that it names.
    """
    verdict = candidate.verdict
    if not verdict.passed:
        return False, verdict.reasons
    if verdict.champion_version != champion:
        before, now = _champion_text(verdict.champion_version), _champion_text(champion)
        return False, (f"it was compared with {before}, but now there is {now}",)
    return True, tuple(f"{gate.code}: {gate.reason}" for gate in verdict.gates if gate.code == "Q02")


def approval_request(
    pipeline: str, intent: int, version: int, champion: int | None, author: str, now: datetime, deadline: datetime
) -> ApprovalRequest:
    """The request for a person's approval of a version."""
    return ApprovalRequest(
        candidate=intent,
        pipeline=pipeline,
        version=version,
        champion=champion,
        requested_by=author,
        requested_at=now,
        deadline=deadline,
    )


def decide_promotion(
    rules: Approval,
    candidate: Candidate,
    version: int,
    champion: int | None,
    request: ApprovalRequest | None,
    now: datetime,
    *,
    promoted_before: bool = False,
    rollback_reason: str = "",
    steps: bool = False,
) -> Promotion:
    """What is to become of a version now.

    Args:
        rules: The pipeline's rules of approval.
        candidate: The candidate and the verdict on it.
        version: Its number.
        champion: The champion as it is now; the version itself, if a killed run moved the alias.
        request: The request for a person's approval, also one that is only about to be made; None if none is needed.
        now: The run's clock.
        promoted_before: The same model was promoted upon an earlier evaluation.
        rollback_reason: Why it must not become champion by itself; empty where it may.
        steps: Whether a version is rolled out step by step before it takes a champion's place.
    """
    if promoted_before and champion == version:
        return _keep_champion(candidate, version)
    if rollback_reason and candidate.verdict.passed and champion != version:
        return Promotion(
            outcome="kept_champion", version=version, champion=champion, previous=champion, reasons=(rollback_reason,)
        )
    gate = None if request is None else approval.evaluate_approval(rules, request, now)
    moved = champion == version
    previous = candidate.verdict.champion_version if moved else champion
    allowed, reasons = decide(candidate, previous)
    outcome: Outcome = "kept_champion"
    if moved or (allowed and (gate is None or gate.outcome == "pass")):
        outcome = "rolling_out" if steps and previous is not None and not moved else "promoted"
    elif allowed and gate is not None and gate.outcome == "not_applicable":
        outcome = "awaiting_approval"
    return Promotion(
        outcome=outcome,
        version=version,
        champion=version if outcome == "promoted" else previous,
        previous=previous,
        reasons=_reasons(reasons, gate, outcome),
        approval=None if gate is None or gate.outcome == "not_applicable" else gate,
    )


def _keep_champion(candidate: Candidate, champion: int) -> Promotion:
    """The champion was evaluated with other gates: it stays champion until a better version is promoted."""
    failures = "; ".join(candidate.verdict.reasons)
    reason = f"version {champion} is champion already, and passes the current gates"
    if failures:
        reason = f"version {champion} stays champion, but does not pass the current gates: {failures}"
    return Promotion(outcome="kept_champion", version=champion, champion=champion, previous=champion, reasons=(reason,))


def _reasons(reasons: tuple[str, ...], gate: GateResult | None, outcome: Outcome) -> tuple[str, ...]:
    if gate is None or (gate.outcome == "not_applicable" and outcome != "awaiting_approval"):
        return reasons
    if gate.outcome == "not_applicable":
        return (gate.reason,)
    message = f"{gate.code} {gate.title}: {gate.reason}"
    return (message,) if gate.blocks else (*reasons, message)


def move_champion(
    tracking: Tracking, audit: Audit, version: int, previous: int | None, *, at: datetime, actor: str, reason: str
) -> None:
    """Point the alias to a version: intent audited before, done audited after. Hold the model lock around it."""
    details = {"version": version, "previous": previous}
    intent = audit.write(
        tracking.pipeline, MOVE_CHAMPION, "intent", at=at, actor=actor, reason=reason, details={**details}
    )
    tracking.set_champion(version)
    audit.write(
        tracking.pipeline, MOVE_CHAMPION, "done", at=at, actor=actor, reason=reason, details={**details}, intent=intent
    )


def recover_moves(tracking: Tracking, audit: Audit, *, at: datetime) -> list[str]:
    """Close the moves that a crash left between intent and done, by the alias; a message for each."""
    messages = []
    for entry in audit.open_intents(tracking.pipeline, MOVE_CHAMPION):
        version = int(str(entry.details["version"]))
        moved = tracking.champion_version() == version
        audit.write(
            tracking.pipeline,
            MOVE_CHAMPION,
            "done" if moved else "abandoned",
            at=at,
            actor=entry.actor,
            reason=entry.reason if moved else "the alias was not moved",
            details=entry.details,
            intent=entry.id,
        )
        messages.append(f"move to version {version}: {'done' if moved else 'abandoned'}")
    return messages


def _champion_text(champion: int | None) -> str:
    return "no champion" if champion is None else f"champion {champion}"
