"""Who did what, when and why: an append-only table. Who was champion when is read from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Literal

import sqlalchemy as sa
from pydantic import JsonValue

from tasks.records.base import Record, read_row
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

Phase = Literal["intent", "done", "abandoned"]
MOVE_CHAMPION = "move_champion"
SERVING_REFUSED = "serving_refused"
UPKEEP = "upkeep"

_entries = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("pipeline", sa.String(63), nullable=False, index=True),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("phase", sa.String(12), nullable=False),
    sa.Column("intent", sa.Integer, nullable=True),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
)


class AuditEntry(Record):
    """One line of the audit. `intent` is the id of the intent that a done or abandoned line settles."""

    id: int
    at: datetime
    pipeline: str
    action: str
    phase: Phase
    intent: int | None
    actor: str
    reason: str
    details: dict[str, JsonValue]


class ChampionPeriod(Record):
    """One version's time as champion: from `since`, to `until` (None: still)."""

    version: int
    since: datetime
    until: datetime | None
    actor: str
    reason: str


class Audit:
    """The audit of all pipelines, in one database."""

    def __init__(self, settings: Settings) -> None:
        self._engine = connect(settings)

    def write(
        self,
        pipeline: str,
        action: str,
        phase: Phase,
        *,
        at: datetime,
        actor: str,
        reason: str,
        details: dict[str, JsonValue],
        intent: int | None = None,
    ) -> int:
        """Append a line, durably; its id."""
        row = {
            "at": at.astimezone(UTC).isoformat(),
            "pipeline": pipeline,
            "action": action,
            "phase": phase,
            "intent": intent,
            "actor": actor,
            "reason": reason,
            "details": json.dumps(details, sort_keys=True),
        }
        with self._engine.begin() as connection:
            result = connection.execute(sa.insert(_entries).values(**row))
            key = result.inserted_primary_key
        if key is None:
            raise RuntimeError("the audit's database returned no id for a new line")
        return int(key[0])

    def entries(self, pipeline: str, action: str | None = None) -> list[AuditEntry]:
        """The lines of a pipeline, oldest first."""
        query = sa.select(_entries).where(_entries.c.pipeline == pipeline).order_by(_entries.c.id)
        if action is not None:
            query = query.where(_entries.c.action == action)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        found = [{**row, "details": json.loads(row["details"])} for row in rows]
        return [read_row(AuditEntry, row, "The state database's table audit") for row in found]

    def open_intents(self, pipeline: str, action: str) -> list[AuditEntry]:
        """Intents that neither ended nor were abandoned: what a crash left."""
        lines = self.entries(pipeline, action)
        closed = {line.intent for line in lines if line.phase != "intent"}
        return [line for line in lines if line.phase == "intent" and line.id not in closed]

    def champion_periods(self, pipeline: str) -> list[ChampionPeriod]:
        """Who was champion when, oldest first."""
        moves = [line for line in self.entries(pipeline, MOVE_CHAMPION) if line.phase == "done"]
        return [_champion_period(move, following) for move, following in zip_longest(moves, moves[1:])]

    def champion(self, pipeline: str) -> int | None:
        """The version that is champion now."""
        periods = self.champion_periods(pipeline)
        return periods[-1].version if periods else None

    def pipelines(self) -> Sequence[str]:
        """The pipelines that have any line, by name."""
        with self._engine.connect() as connection:
            query = sa.select(_entries.c.pipeline).distinct().order_by(_entries.c.pipeline)
            return list(connection.execute(query).scalars())


def _champion_period(move: AuditEntry, following: AuditEntry | None) -> ChampionPeriod:
    return ChampionPeriod(
        version=int(str(move.details["version"])),
        since=move.at,
        until=following.at if following else None,
        actor=move.actor,
        reason=move.reason,
    )
