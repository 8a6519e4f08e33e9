"""The number of the state database's schema, known without alembic, is alembic's."""

from __future__ import annotations

from alembic.script import ScriptDirectory

from tasks.stores.state import schema
from tasks.stores.state.migrations.upgrade import configuration


def test_the_known_numbers_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory.from_config(configuration())
    assert [one.revision for one in scripts.walk_revisions()] == list(reversed(schema.REVISIONS))
    assert scripts.get_heads() == [schema.HEAD]
