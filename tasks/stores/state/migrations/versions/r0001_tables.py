"""The tables that there were when schemas got numbers. Those that a database has already are taken over as they are."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from tasks.errors import UsageError

revision = "0001"
down_revision = None

INDEXES = (
    ("approvals", "pipeline"),
    ("audit", "pipeline"),
    ("manifests", "fingerprint"),
    ("manifests", "pipeline"),
    ("outbox", "sent_at"),
    ("people", "person"),
)


def upgrade() -> None:
    """Make what is missing.

    Raises:
        UsageError: a table is older than any that can be taken over.
    """
    for table, columns in _tables().items():
        op.create_table(table, *columns, if_not_exists=True)
        _refuse_older(table, {column.name for column in columns})
    for table, column in INDEXES:
        op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)
    if op.get_bind().dialect.name == "postgresql":
        # Users who may only read and write the tables must see that there is nothing to migrate.
        op.execute("GRANT SELECT ON perennial_schema TO PUBLIC")


def _refuse_older(table: str, expected: set[str]) -> None:
    lacking = expected - {str(column["name"]) for column in sa.inspect(op.get_bind()).get_columns(table)}
    if lacking:
        raise UsageError(
            f"The state database's table {table} lacks {', '.join(sorted(lacking))}: it is of a version before 0.1.0, "
            "which can't be upgraded. Nothing was changed. Use another PERENNIAL_HOME."
        )


def _tables() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "approvals": (
            sa.Column("candidate", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("pipeline", sa.String(63), nullable=False),
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
        ),
        "audit": (
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("at", sa.String(40), nullable=False),
            sa.Column("pipeline", sa.String(63), nullable=False),
            sa.Column("action", sa.String(40), nullable=False),
            sa.Column("phase", sa.String(12), nullable=False),
            sa.Column("intent", sa.Integer, nullable=True),
            sa.Column("actor", sa.String(200), nullable=False),
            sa.Column("reason", sa.Text, nullable=False),
            sa.Column("details", sa.Text, nullable=False),
        ),
        "contents": (
            sa.Column("pipeline", sa.String(63), primary_key=True),
            sa.Column("feed", sa.String(20), primary_key=True),
            sa.Column("path", sa.Text, primary_key=True),
            sa.Column("size", sa.BigInteger, nullable=False),
            sa.Column("mtime_ns", sa.BigInteger, nullable=False),
            sa.Column("sha256", sa.String(64), nullable=False),
            sa.Column("told", sa.Boolean, nullable=False),
        ),
        "first_clocks": (
            sa.Column("pipeline", sa.String, primary_key=True),
            sa.Column("batch", sa.String, primary_key=True),
            sa.Column("rules", sa.String, primary_key=True),
            sa.Column("at", sa.String, nullable=False),
        ),
        "manifests": (
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("pipeline", sa.String(63), nullable=False),
            sa.Column("stage", sa.String(20), nullable=False),
            sa.Column("fingerprint", sa.String(64), nullable=False),
            sa.Column("manifest", sa.Text, nullable=False),
        ),
        "outbox": (
            sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("id", sa.String(36), nullable=False, unique=True),
            sa.Column("event", sa.String(60), nullable=False),
            sa.Column("pipeline", sa.String(63), nullable=False),
            sa.Column("body", sa.Text, nullable=False),
            sa.Column("written_at", sa.String(40), nullable=False),
            sa.Column("sent_at", sa.String(40), nullable=True),
        ),
        "outputs": (
            sa.Column("address", sa.Text, primary_key=True),
            sa.Column("size", sa.BigInteger, nullable=False),
            sa.Column("mtime_ns", sa.BigInteger, nullable=False),
            sa.Column("made", sa.String(64), nullable=False),
        ),
        "people": (
            sa.Column("id", sa.String(16), primary_key=True),
            sa.Column("person", sa.String(100), nullable=False),
            sa.Column("salt", sa.LargeBinary(16), nullable=False),
            sa.Column("hash", sa.LargeBinary(64), nullable=False),
            sa.Column("made_at", sa.String(40), nullable=False),
            sa.Column("made_by", sa.String(200), nullable=False),
            sa.Column("revoked_at", sa.String(40), nullable=True),
            sa.Column("revoked_by", sa.String(200), nullable=True),
        ),
        "watermarks": (
            sa.Column("pipeline", sa.String(63), primary_key=True),
            sa.Column("feed", sa.String(20), primary_key=True),
            sa.Column("column", sa.String(200), primary_key=True),
            sa.Column("last", sa.Text, nullable=True),
            sa.Column("until", sa.Text, nullable=True),
            sa.Column("file", sa.Text, nullable=True),
        ),
    }
