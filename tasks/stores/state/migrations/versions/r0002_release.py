"""The stage that was called deployment is called release."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Rename it in the column of the manifests; in a record of schema 1 it is renamed when that is read."""
    op.execute("UPDATE manifests SET stage = 'release' WHERE stage = 'deployment'")
