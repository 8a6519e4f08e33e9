"""Gate A01: whether a person who may has approved. Pure: the requests lie in the stores."""

from __future__ import annotations

from datetime import datetime

from configs.schema import Approval
from tasks.records.decision import GateOutcome, GateResult
from tasks.stores.state.approvals import ApprovalRequest, Decision

_OUTCOMES: dict[str, GateOutcome] = {"approved": "pass", "pending": "not_applicable"}


def refusal(rules: Approval, decision: Decision, by: str, requested_by: str, *, verified: bool) -> str:
    """Why this person may not make this decision; empty where they may. Anyone may reject.

    Args:
        rules: The pipeline's.
        decision: What they answer.
        by: Who answers.
        requested_by: Who submitted the candidate.
        verified: Whether a personal token says who answers.
    """
    if decision == "reject" or not rules.four_eyes:
        return ""
    if not verified:
        return "four eyes are asked for, and the approver's identity is not verified: use a personal token"
    if by.casefold() == requested_by.casefold():
        return f"four eyes are asked for, and {by} submitted it: another person has to approve"
    return ""


def evaluate_approval(rules: Approval, request: ApprovalRequest, now: datetime) -> GateResult:
    """A01: a person approved, in time, and may. What blocks says why."""
    state = request.state(now)
    refused = refusal(rules, "approve", request.by, request.requested_by, verified=request.verified)
    approved = state == "approved"
    return GateResult(
        code="A01",
        title="approval by a person",
        severity="block",
        outcome="fail" if approved and refused else _OUTCOMES.get(state, "fail"),
        reason=f"{request.describe(now)} ({refused})" if approved and refused else request.describe(now),
        evidence={
            "state": state,
            "by": request.by,
            "verified": request.verified,
            "requested_by": request.requested_by,
            "deadline": request.deadline.isoformat(),
        },
    )
