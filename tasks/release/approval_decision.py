"""A person's answer to a version that waits: recorded and published. The release applies it out. No Prefect needed."""

from __future__ import annotations

import re

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.release.approval import refusal
from tasks.stores.runtime import clock
from tasks.stores.settings import Settings
from tasks.stores.state.approvals import ApprovalRequest, Approvals, Decision, audit_close
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import evaluated
from tasks.stores.state.tokens import Person

_LONGEST = 2000
_ADDRESS = re.compile(r"(?P<name>[^@\s]+)(@(?P<version>[1-9][0-9]{0,8}))?")
_DONE: dict[Decision, str] = {"approve": "approved", "reject": "rejected"}


def parse(address: str) -> tuple[str, int | None]:
    """A pipeline's name and a version, written NAME@VERSION or NAME.

    Raises:
        UsageError: it is written otherwise.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError(f"Found {address!r}, expected NAME@VERSION (or NAME), for example transit_delay@3.")
    version = found["version"]
    return found["name"], None if version is None else int(version)


def record_decision(
    config: PipelineConfig, settings: Settings, version: int | None, decision: Decision, reason: str, who: Person
) -> ApprovalRequest:
    """Write an answer down; the request as it is now. The first answer holds.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        version: The version; left out, the one that waits.
        decision: The answer.
        reason: Why, for whoever asks later.
        who: Who answers.

    Raises:
        UsageError: no reason, nothing waits for this answer (any more), or this person may not give it.
    """
    text, now = " ".join(reason.split()), clock(None)
    if not text or len(text) > _LONGEST:
        raise UsageError(f"--reason: found {len(text)} characters, expected a text of 1 to {_LONGEST}.")
    approvals, audit = Approvals(settings), Audit(settings)
    request = _request(approvals, audit, config.name, version)
    refused = refusal(config.approval, decision, who.name, request.requested_by, verified=who.verified)
    if refused and request.state(now) == "pending":
        raise UsageError(
            f"{config.name}@{request.version} can't be approved by {who.name}: {refused}. "
            f"Use: PERENNIAL_TOKEN=... perennial approve {config.name}@{request.version} --reason TEXT"
        )
    updated = approvals.record_decision(request, decision, by=who.name, verified=who.verified, reason=text, at=now)
    audit_close(audit, updated, at=now, actor=who.name)
    return updated


def event_payload(request: ApprovalRequest) -> dict[str, JsonValue]:
    """What the event of an answer tells people."""
    return {
        "version": request.version,
        "decision": request.decision,
        "by": request.by,
        "verified": request.verified,
        "reason": request.reason,
    }


def summary(request: ApprovalRequest) -> str:
    """An answer in words."""
    known = "by personal token" if request.verified else "identity not verified"
    word = "answered" if request.decision is None else _DONE[request.decision]
    return f"{request.pipeline}: version {request.version} {word} by {request.by} ({known})"


def _request(approvals: Approvals, audit: Audit, pipeline: str, version: int | None) -> ApprovalRequest:
    if version is None:
        return _only(approvals.pending(pipeline, clock(None)), pipeline)
    found = approvals.of_version(pipeline, version)
    if found is not None:
        return found
    known = {number: outcome for _, _, outcome, number in evaluated(audit, pipeline) if number is not None}
    if version in known:
        raise UsageError(
            f"{pipeline}@{version} awaits no decision: no approval was requested, the outcome was {known[version]}."
        )
    listed = ", ".join(str(number) for number in sorted(known)) or "none yet"
    raise UsageError(f"{pipeline} has no version {version}; known here: {listed}.")


def _only(pending: list[ApprovalRequest], pipeline: str) -> ApprovalRequest:
    if not pending:
        raise UsageError(
            f"No version of {pipeline} awaits a decision. `perennial status {pipeline}` shows the versions."
        )
    if len(pending) > 1:
        listed = ", ".join(f"{pipeline}@{request.version}" for request in pending)
        raise UsageError(f"More than one version awaits a decision: {listed}. Name one of them.")
    return pending[0]
