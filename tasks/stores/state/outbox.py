"""Events on their way to Prefect: durable before they are sent, marked once the server has acknowledged them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import uuid4

import sqlalchemy as sa
from pydantic import JsonValue

from tasks.records.base import Record
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

EventName = Literal[
    "perennial.batch.landed",
    "perennial.data.rejected",
    "perennial.dataset.updated",
    "perennial.drift.detected",
    "perennial.performance.degraded",
    "perennial.model.registered",
    "perennial.model.promoted",
    "perennial.model.rejected",
    "perennial.model.rolled_back",
    "perennial.model.refused",
    "perennial.rollout.started",
    "perennial.approval.requested",
    "perennial.approval.answered",
]
_SECONDS = 5.0
_AT_ONCE = 100

_events = sa.Table(
    "outbox",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("event", sa.String(60), nullable=False),
    sa.Column("pipeline", sa.String(63), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("written_at", sa.String(40), nullable=False),
    sa.Column("sent_at", sa.String(40), nullable=True, index=True),
)


class DeliveryReport(Record):
    """What came of one try to send.

    Attributes:
        confirmed: Events that the server acknowledged.
        left: Events that wait for the next try.
        problem: Why they wait; empty where none does.
    """

    confirmed: int
    left: int
    problem: str = ""


class Outbox:
    """The events of all pipelines, in the state's database."""

    def __init__(self, settings: Settings) -> None:
        self._engine = connect(settings)

    def put(
        self,
        event: EventName,
        pipeline: str,
        payload: Mapping[str, JsonValue],
        *,
        followed: bool = False,
        flow_run: str = "",
    ) -> str:
        """Write an event, durably; its id.

        Args:
            event: Its name.
            pipeline: Whose.
            payload: For people. A flow that it starts reads the state, never this.
            followed: Whether the run that says it goes on with what follows by itself, so that no trigger must.
            flow_run: The id of that run, so that Prefect shows the event with it.
        """
        key = str(uuid4())
        now = datetime.now(UTC).isoformat()
        body = {
            "id": key,
            "occurred": now,
            "event": event,
            "resource": {
                "prefect.resource.id": f"perennial.pipeline.{pipeline}",
                "prefect.resource.name": pipeline,
                "perennial.followed": "yes" if followed else "no",
            },
            "related": [{"prefect.resource.id": f"prefect.flow-run.{flow_run}", "prefect.resource.role": "flow-run"}]
            if flow_run
            else [],
            "payload": dict(payload),
        }
        row = {"id": key, "event": event, "pipeline": pipeline, "body": json.dumps(body), "written_at": now}
        with self._engine.begin() as connection:
            connection.execute(sa.insert(_events).values(**row))
        return key

    def waiting(self) -> list[tuple[str, str]]:
        """Id and name of the events that no server has acknowledged, oldest first."""
        query = sa.select(_events.c.id, _events.c.event).where(_events.c.sent_at.is_(None)).order_by(_events.c.number)
        with self._engine.connect() as connection:
            return [(row.id, row.event) for row in connection.execute(query)]

    def send(self, api_url: str | None = None) -> DeliveryReport:
        """Send what waits to Prefect, oldest first, and mark what it acknowledged. It drops an id that it has seen.

        Args:
            api_url: Prefect's API; PREFECT_API_URL by default. Without either, everything waits.
        """
        confirmed = 0
        while True:
            batch = self._batch()
            if not batch:
                return DeliveryReport(confirmed=confirmed, left=0)
            problem = _post(api_url or os.environ.get("PREFECT_API_URL", ""), [body for _, body in batch])
            if problem:
                return DeliveryReport(confirmed=confirmed, left=len(self.waiting()), problem=problem)
            self._mark([key for key, _ in batch])
            confirmed += len(batch)

    def prune(self, *, older_than: timedelta, now: datetime) -> int:
        """Forget acknowledged events of some age; how many."""
        limit = (now - older_than).astimezone(UTC).isoformat()
        with self._engine.begin() as connection:
            return connection.execute(sa.delete(_events).where(_events.c.sent_at < limit)).rowcount

    def _batch(self) -> list[tuple[str, str]]:
        query = (
            sa.select(_events.c.id, _events.c.body)
            .where(_events.c.sent_at.is_(None))
            .order_by(_events.c.number)
            .limit(_AT_ONCE)
        )
        with self._engine.connect() as connection:
            return [(row.id, row.body) for row in connection.execute(query)]

    def _mark(self, keys: list[str]) -> None:
        now = datetime.now(UTC).isoformat()
        # Locked in one order: senders that mark the same events must not wait for each other in a ring.
        waiting = _events.c.id.in_(keys) & _events.c.sent_at.is_(None)
        ordered = sa.select(_events.c.id).where(waiting).order_by(_events.c.number).with_for_update()
        with self._engine.begin() as connection:
            found = list(connection.execute(ordered).scalars())
            connection.execute(sa.update(_events).where(_events.c.id.in_(found)).values(sent_at=now))


def _post(api_url: str, bodies: list[str]) -> str:
    """Post events to the endpoint that acknowledges them; why they were not taken, or nothing."""
    if not api_url:
        return "PREFECT_API_URL is not set"
    import httpx

    login = os.environ.get("PREFECT_API_AUTH_STRING", "")
    auth = httpx.BasicAuth(*login.split(":", 1)) if ":" in login else None
    try:
        answer = httpx.post(
            f"{api_url}/events",
            content=f"[{','.join(bodies)}]",
            headers={"content-type": "application/json"},
            auth=auth,
            timeout=_SECONDS,
        )
    except httpx.HTTPError as error:
        return f"Prefect gave no answer ({type(error).__name__})"
    return "" if answer.status_code == httpx.codes.NO_CONTENT else f"Prefect answered {answer.status_code}"
