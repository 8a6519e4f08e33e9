"""Requests for a person's approval: durable, each with a deadline and at most one answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import JsonValue

from tasks.errors import UsageError
from tasks.records.base import Record, read_row
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.database import METADATA, connect

Decision = Literal["approve", "reject"]
State = Literal["pending", "approved", "rejected", "expired", "superseded"]
APPROVAL = "approval"

_requests = sa.Table(
    "approvals",
    METADATA,
    sa.Column("candidate", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pipeline", sa.String(63), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("champion", sa.Integer, nullable=True),
    sa.Column("requested_by", sa.String(200), nullable=False),
    sa.Column("requested_at", sa.String(40), nullable=False),
    sa.Column("deadline", sa.String(40), nullable=False),
    sa.Column("decision", sa.String(7), nullable=True),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Column("verified", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=True),
    sa.Column("superseded_by", sa.Integer, nullable=True),
    sa.Column("expired", sa.Boolean, nullable=False),
)


class ApprovalRequest(Record):
    """One version that waits, or waited, for a person.

    Attributes:
        candidate: Id of the candidate's intent in the audit.
        champion: The champion when it was asked.
        requested_by: Who submitted the candidate.
        decision: The answer; None before one is there. The four fields after it belong to it.
        verified: Whether a personal token said who answered.
        superseded_by: The newer version that was asked for before anyone answered.
        expired: Whether it was closed after its deadline. Before that, the clock tells.
    """

    candidate: int
    pipeline: str
    version: int
    champion: int | None
    requested_by: str
    requested_at: datetime
    deadline: datetime
    decision: Decision | None = None
    by: str = ""
    verified: bool = False
    reason: str = ""
    at: datetime | None = None
    superseded_by: int | None = None
    expired: bool = False

    def state(self, now: datetime) -> State:
        """What the request is at a moment."""
        if self.decision is not None:
            return "approved" if self.decision == "approve" else "rejected"
        if self.superseded_by is not None:
            return "superseded"
        return "expired" if self.expired or now > self.deadline else "pending"

    def describe(self, now: datetime) -> str:
        """Its state in words."""
        state = self.state(now)
        if self.decision is not None and self.at is not None:
            known = "by personal token" if self.verified else "identity not verified"
            return f"{state} by {self.by} ({known}) on {_format_time(self.at)}: {self.reason}"
        if state == "superseded":
            return f"superseded by version {self.superseded_by}"
        return f"no decision by {_format_time(self.deadline)}" if state == "expired" else self.pending_message()

    def pending_message(self) -> str:
        """What a pending request waits for, and how a person answers."""
        name = f"{self.pipeline}@{self.version}"
        return (
            f"version {self.version} waits until {_format_time(self.deadline)} for a person: "
            f"perennial approve {name} --reason TEXT, or perennial reject {name} --reason TEXT"
        )


class Approvals:
    """The requests of all pipelines, in the state's database."""

    def __init__(self, settings: Settings) -> None:
        self._engine = connect(settings)

    def put(self, request: ApprovalRequest) -> None:
        """Keep a request, once for a candidate. Older ones of the pipeline without an answer are superseded by it."""
        row = request.model_dump() | {
            name: None if at is None else _text(at)
            for name, at in (("requested_at", request.requested_at), ("deadline", request.deadline), ("at", request.at))
        }
        older = (
            (_requests.c.pipeline == request.pipeline)
            & (_requests.c.candidate < request.candidate)
            & _requests.c.decision.is_(None)
            & _requests.c.superseded_by.is_(None)
            & _requests.c.expired.is_(False)
        )
        with self._engine.begin() as connection:
            known = sa.select(_requests.c.candidate).where(_requests.c.candidate == request.candidate)
            if connection.execute(known).first() is None:  # writers are one at a time: the model lock is held
                connection.execute(sa.insert(_requests).values(**row))
            connection.execute(sa.update(_requests).where(older).values(superseded_by=request.version))

    def of_candidate(self, candidate: int) -> ApprovalRequest | None:
        """The request for a candidate, by its id in the audit."""
        found = self._read(_requests.c.candidate == candidate)
        return found[0] if found else None

    def of_version(self, pipeline: str, version: int) -> ApprovalRequest | None:
        """The newest request for a version."""
        found = self._read((_requests.c.pipeline == pipeline) & (_requests.c.version == version))
        return found[-1] if found else None

    def pending(self, pipeline: str, now: datetime) -> list[ApprovalRequest]:
        """Requests that wait for an answer, oldest first."""
        found = self._read((_requests.c.pipeline == pipeline) & _requests.c.decision.is_(None))
        return [request for request in found if request.state(now) == "pending"]

    def record_decision(
        self, request: ApprovalRequest, decision: Decision, *, by: str, verified: bool, reason: str, at: datetime
    ) -> ApprovalRequest:
        """Write the answer down, if the request is still pending: the first answer holds. The request as it is now.

        Raises:
            UsageError: it was answered, superseded or past its deadline.
        """
        pending = (
            (_requests.c.candidate == request.candidate)
            & _requests.c.decision.is_(None)
            & _requests.c.superseded_by.is_(None)
            & _requests.c.expired.is_(False)
            & (_requests.c.deadline >= _text(at))
        )
        values = {"decision": decision, "by": by, "verified": verified, "reason": reason, "at": _text(at)}
        with self._engine.begin() as connection:
            recorded = connection.execute(sa.update(_requests).where(pending).values(**values)).rowcount == 1
        now = self._reload(request)
        if not recorded:
            raise UsageError(
                f"{now.pipeline}@{now.version} no longer awaits a decision: {now.describe(at)}. Nothing was changed."
            )
        return now

    def expire(self, request: ApprovalRequest) -> ApprovalRequest:
        """Close a request that nobody answered, so that no late answer comes in. The request as it is now."""
        unanswered = (_requests.c.candidate == request.candidate) & _requests.c.decision.is_(None)
        with self._engine.begin() as connection:
            connection.execute(sa.update(_requests).where(unanswered).values(expired=True))
        return self._reload(request)

    def _reload(self, request: ApprovalRequest) -> ApprovalRequest:
        return self._read(_requests.c.candidate == request.candidate)[0]

    def _read(self, where: sa.ColumnElement[bool]) -> list[ApprovalRequest]:
        query = sa.select(_requests).where(where).order_by(_requests.c.candidate)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [read_row(ApprovalRequest, dict(row), "The state database's table approvals") for row in rows]


def audit_request(audit: Audit, request: ApprovalRequest, *, at: datetime, actor: str) -> None:
    """Audit that a person is asked, once."""
    if _open(audit, request) is None:
        details: dict[str, JsonValue] = {
            "candidate": request.candidate,
            "version": request.version,
            "deadline": _text(request.deadline),
        }
        reason = f"version {request.version} passed every gate"
        audit.write(request.pipeline, APPROVAL, "intent", at=at, actor=actor, reason=reason, details=details)


def audit_close(audit: Audit, request: ApprovalRequest, *, at: datetime, actor: str) -> None:
    """Audit how a request ended, once: by its answer, or by what closed it."""
    intent = _open(audit, request)
    if intent is None:
        return
    answered = request.at is not None
    details: dict[str, JsonValue] = {
        "version": request.version,
        "decision": request.decision,
        "verified": request.verified,
    }
    audit.write(
        request.pipeline,
        APPROVAL,
        "done" if answered else "abandoned",
        at=request.at or at,
        actor=request.by if answered else actor,
        reason=request.describe(at),
        details=details,
        intent=intent,
    )


def _open(audit: Audit, request: ApprovalRequest) -> int | None:
    lines = audit.open_intents(request.pipeline, APPROVAL)
    return next((line.id for line in lines if line.details["candidate"] == request.candidate), None)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")  # of one length: the database compares them as text


def _format_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
