"""The state's database on SQLite: made, taken over from before schemas had numbers, migrated, refused, healed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from tasks.errors import UsageError
from tasks.stores.settings import Settings
from tasks.stores.state import schema
from tasks.stores.state.audit import Audit
from tasks.stores.state.database import METADATA, connect
from tasks.stores.state.migrations import upgrade as upgrading
from tasks.stores.state.tokens import TokenStore
from tests.support.migrating import FUTURE, both, differences, with_future
from tests.support.world import ROOT

AT = datetime(2026, 1, 5, tzinfo=UTC)
# Ends itself with SIGKILL after so many statements of a migration.
KILLED = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from tasks.stores.state import schema
from tasks.stores.state.database import connect
from tasks.stores.state.migrations import upgrade as upgrading
from tasks.stores.settings import Settings

home, versions, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if versions:
    from tests.support.migrating import FUTURE, both
    plain = upgrading.configuration
    upgrading.configuration = lambda: both(plain(), Path(versions))
    schema.REVISIONS, schema.HEAD = (*schema.REVISIONS, FUTURE), FUTURE
changes = 0
def count(connection, cursor, statement, *rest):
    global changes
    changes += statement.split()[0] in ("CREATE", "INSERT", "UPDATE", "ALTER")
    if changes == last:
        os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(sa.Engine, "after_cursor_execute", count)
connect(Settings(home=home))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    made.state.mkdir(parents=True)
    return made


def database(settings: Settings) -> sqlite3.Connection:
    return sqlite3.connect(settings.state / "audit.db")


def tables(settings: Settings) -> set[str]:
    with closing(database(settings)) as opened:
        return {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def number(settings: Settings) -> str | None:
    with connect(settings).connect() as connection:
        return schema.number(connection)


def unnumbered(settings: Settings, *names: str) -> None:
    """The database of before schemas had numbers, which has the tables that were used, or some of them."""
    engine = sa.create_engine(settings.audit_url)
    METADATA.create_all(engine, [METADATA.tables[name] for name in names] or None)
    engine.dispose()


def forgotten() -> None:
    """As in a new process: no database was asked yet."""
    schema._current.clear()


@dataclass(frozen=True)
class Future:
    """The next version of Perennial, which has one more migration."""

    versions: Path
    patch: pytest.MonkeyPatch

    def comes(self) -> None:
        """From now on the code is that of the next version, in a new process."""
        plain = upgrading.configuration
        self.patch.setattr(upgrading, "configuration", lambda: both(plain(), self.versions))
        self.patch.setattr(schema, "REVISIONS", (*schema.REVISIONS, FUTURE))
        self.patch.setattr(schema, "HEAD", FUTURE)
        forgotten()


@pytest.fixture
def future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Future:
    return Future(with_future(tmp_path), monkeypatch)


def test_migrations_make_the_tables_that_the_stores_use(settings: Settings) -> None:
    with connect(settings).connect() as connection:
        assert differences(connection) == []


def test_a_database_of_before_numbers_is_taken_over(settings: Settings) -> None:
    unnumbered(settings)
    with closing(database(settings)) as opened, opened:
        opened.execute("INSERT INTO people VALUES ('k', 'ana', x'00', x'00', '2026', 'me', NULL, NULL)")
    assert TokenStore(settings).holders() == ["ana"]
    assert number(settings) == schema.HEAD
    with connect(settings).connect() as connection:
        assert differences(connection) == []


def test_one_that_has_some_of_the_tables_gets_the_others(settings: Settings) -> None:
    unnumbered(settings, "audit", "manifests")
    assert Audit(settings).pipelines() == []
    with connect(settings).connect() as connection:
        assert differences(connection) == []


def test_a_table_older_than_any_numbered_is_refused_and_left_alone(settings: Settings) -> None:
    with closing(database(settings)) as opened, opened:
        opened.execute("CREATE TABLE people (id VARCHAR(16) PRIMARY KEY, person VARCHAR(100))")
    with pytest.raises(UsageError, match=r"table people lacks hash, made_at, .*Use another PERENNIAL_HOME"):
        connect(settings)
    assert tables(settings) == {"people"}


def test_a_newer_schema_is_refused(settings: Settings) -> None:
    engine = connect(settings)
    forgotten()
    with closing(database(settings)) as opened, opened:
        opened.execute("UPDATE perennial_schema SET version_num = '0999'")
    with pytest.raises(UsageError) as caught:
        Audit(settings)
    assert str(caught.value) == (
        f"The state database {engine.url} has schema 0999; this version of Perennial knows schemas up to "
        f"{schema.HEAD}: a newer version has migrated it. Nothing was changed. Upgrade Perennial, or use another "
        "PERENNIAL_HOME (PERENNIAL_STATE_URL, where that is set)."
    )


def test_a_current_schema_is_asked_for_once_and_without_alembic(settings: Settings) -> None:
    connect(settings)
    program = (
        "import sys\n"
        "import sqlalchemy as sa\n"
        "from pathlib import Path\n"
        "from tasks.stores.state.audit import Audit\n"
        "from tasks.stores.settings import Settings\n"
        "seen = []\n"
        "sa.event.listen(sa.Engine, 'before_cursor_execute', lambda c, k, statement, *rest: seen.append(statement))\n"
        "settings = Settings(home=Path(sys.argv[1]))\n"
        "Audit(settings), Audit(settings)\n"
        "print(seen, 'alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(settings.root)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['SELECT version_num FROM perennial_schema'] False\n"


def test_those_who_come_first_together_migrate_once(settings: Settings) -> None:
    barrier, failures = threading.Barrier(6), []

    def come() -> None:
        barrier.wait()
        try:
            Audit(settings).pipelines()
        except sa.exc.DBAPIError as error:
            failures.append(error)

    threads = [threading.Thread(target=come) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    assert number(settings) == schema.HEAD


def test_the_next_version_migrates_what_this_one_wrote(settings: Settings, future: Future) -> None:
    TokenStore(settings).make_token("ana", at=AT, actor="me")
    future.comes()
    assert TokenStore(settings).holders() == ["ana"]
    with closing(database(settings)) as opened:
        assert opened.execute("SELECT team FROM people").fetchall() == [("none",)]
    assert number(settings) == FUTURE


def killed(settings: Settings, versions: str, after: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(settings.root), versions, str(after)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("after", [1, 2, 9])
def test_killed_while_it_makes_the_tables_it_leaves_nothing(settings: Settings, after: int) -> None:
    unnumbered(settings, "audit")
    assert killed(settings, "", after) == -signal.SIGKILL
    assert tables(settings) == {"audit"}
    with connect(settings).connect() as connection:
        assert differences(connection) == []


@pytest.mark.parametrize("after", [1, 3, 5])
def test_killed_in_a_migration_it_leaves_the_schema_as_it_was(settings: Settings, future: Future, after: int) -> None:
    TokenStore(settings).make_token("ana", at=AT, actor="me")
    before, current = tables(settings), schema.HEAD
    assert killed(settings, str(future.versions), after) == -signal.SIGKILL
    assert tables(settings) == before
    with closing(database(settings)) as opened:
        assert opened.execute("SELECT version_num FROM perennial_schema").fetchall() == [(current,)]
        assert "team" not in [row[1] for row in opened.execute("PRAGMA table_info(people)")]
    future.comes()
    assert TokenStore(settings).holders() == ["ana"]
    assert number(settings) == FUTURE
