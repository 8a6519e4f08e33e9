"""The audit and the outbox on PostgreSQL: nothing is lost or doubled when processes race, also for the first table."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
import sqlalchemy as sa

from tasks.errors import UsageError
from tasks.stores.settings import Settings
from tasks.stores.state import schema
from tasks.stores.state.audit import MOVE_CHAMPION, Audit
from tasks.stores.state.database import METADATA, connect
from tasks.stores.state.outbox import Outbox
from tests.support.migrating import differences
from tests.support.world import ROOT

pytestmark = pytest.mark.postgres

PATIENCE = 60.0
PROCESSES, LINES = 6, 15
AT = datetime(2026, 1, 5, tzinfo=UTC)
Team = Callable[..., Settings]

RACER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tasks.stores.state.audit import Audit
from tasks.stores.state.outbox import Outbox
from tasks.stores.settings import Settings
home, url, api, name, lines = sys.argv[1:]
settings = Settings(home=Path(home), state_url=url)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(lines)):
    Audit(settings).write("demand", "train", "done", at=datetime(2026, 1, 5, tzinfo=UTC), actor=name, reason="",
                          details={"n": number})
    outbox = Outbox(settings)
    outbox.put("perennial.batch.landed", "demand", {"who": name, "n": number})
    sent = outbox.send(api)
    assert not sent.problem, sent.problem
"""


class _Server(ThreadingHTTPServer):
    bodies: list[list[dict[str, object]]]


class _Events(BaseHTTPRequestHandler):
    """The part of Prefect's API that the outbox talks to, so that a test can count what came."""

    def do_POST(self) -> None:  # the name http.server calls
        assert isinstance(self.server, _Server)
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name http.server uses
        pass


@contextmanager
def events_api() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Events)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def api(server: _Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_processes_that_race_lose_and_double_nothing(team: Team) -> None:
    settings = team()
    with events_api() as server:
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, settings.home, settings.audit_url, api(server), str(who), str(LINES)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for who in range(PROCESSES)
        ]
        for one in racers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in racers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        told = [one.communicate(timeout=PATIENCE)[1] for one in racers]
        assert [(one.returncode, text) for one, text in zip(racers, told, strict=True)] == [(0, "")] * PROCESSES
        came = {str(event["id"]) for body in server.bodies for event in body}
    entries = Audit(settings).entries("demand")
    assert len({entry.id for entry in entries}) == PROCESSES * LINES
    for who in range(PROCESSES):
        assert [entry.details["n"] for entry in entries if entry.actor == str(who)] == list(range(LINES))
    assert len(came) == PROCESSES * LINES
    assert Outbox(settings).waiting() == []


def dropped(settings: Settings) -> None:
    """As an empty database that this process was never asked of."""
    with connect(settings).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    schema._current.clear()


def test_the_first_to_come_make_the_tables_together(team: Team) -> None:
    for _ in range(5):
        barrier = threading.Barrier(8)
        failures: list[Exception] = []

        def come(barrier: threading.Barrier = barrier, failures: list[Exception] = failures) -> None:
            barrier.wait()
            try:
                Audit(team()).pipelines()
            except sa.exc.DBAPIError as error:
                failures.append(error)

        threads = [threading.Thread(target=come) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(PATIENCE)
        assert failures == []
        with connect(team()).connect() as connection:
            assert schema.number(connection) == schema.HEAD
        dropped(team())


def test_migrations_make_the_tables_that_the_stores_use(team: Team) -> None:
    with connect(team()).connect() as connection:
        assert differences(connection) == []


def unnumbered(settings: Settings) -> None:
    """The database of before schemas had numbers."""
    engine = sa.create_engine(settings.audit_url)
    METADATA.create_all(engine)
    engine.dispose()


def test_a_database_of_before_numbers_is_taken_over(team: Team) -> None:
    unnumbered(team())
    with connect(team()).connect() as connection:
        assert (schema.number(connection), differences(connection)) == (schema.HEAD, [])


def test_a_newer_schema_is_refused(team: Team) -> None:
    with connect(team()).begin() as connection:
        connection.execute(sa.text("UPDATE perennial_schema SET version_num = '0999'"))
    schema._current.clear()
    with pytest.raises(UsageError, match="has schema 0999; this version of Perennial knows schemas up to") as caught:
        Audit(team())
    password = sa.make_url(team().audit_url).password
    assert password
    assert str(password) not in str(caught.value)


def test_a_migration_that_fails_leaves_nothing(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.execute", lambda _statement: 1 / 0)  # after the tables were made
        with pytest.raises(ZeroDivisionError):
            connect(team())
    with sa.create_engine(team().audit_url).connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    assert Audit(team()).pipelines() == []


def test_events_wait_in_order_until_they_are_sent_and_are_pruned_after(team: Team) -> None:
    outbox = Outbox(team())
    first = outbox.put("perennial.batch.landed", "demand", {"file": "a\x00b ü"})
    second = outbox.put("perennial.model.registered", "demand", {})
    assert outbox.waiting() == [(first, "perennial.batch.landed"), (second, "perennial.model.registered")]
    assert outbox.send("http://127.0.0.1:1/api").left == 2
    with events_api() as server:
        assert outbox.send(api(server)).confirmed == 2
        assert [[event["id"] for event in body] for body in server.bodies] == [[first, second]]
    now = datetime.now(UTC)
    assert outbox.prune(older_than=timedelta(hours=1), now=now) == 0
    assert outbox.prune(older_than=timedelta(0), now=now + timedelta(minutes=1)) == 2


def test_the_audit_says_who_was_champion_when(team: Team) -> None:
    audit = Audit(team())
    for version in (1, 2):
        details = {"version": version}
        intent = audit.write("demand", MOVE_CHAMPION, "intent", at=AT, actor="ana", reason="", details={**details})
        assert [entry.id for entry in audit.open_intents("demand", MOVE_CHAMPION)] == [intent]
        audit.write("demand", MOVE_CHAMPION, "done", at=AT, actor="ana", reason="", details={**details}, intent=intent)
    assert audit.champion("demand") == 2
    assert [(reign.version, reign.until) for reign in audit.champion_periods("demand")] == [(1, AT), (2, None)]
    assert audit.pipelines() == ["demand"]


def worker(settings: Settings) -> str:
    """Address by which a user comes who may read and write the tables there are, and make none."""
    url = sa.make_url(settings.audit_url)
    own = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS worker")
        connection.execute(f"CREATE ROLE worker LOGIN PASSWORD '{url.password}'".encode())
        connection.execute("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO worker")
        connection.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO worker")
    return url.set(username="worker").render_as_string(hide_password=False)


@pytest.fixture
def no_worker(postgres_url: str) -> Iterator[None]:
    """No rights are left to the role, which is the whole server's, so that the next test can make it anew."""
    yield
    own = sa.make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute("DROP OWNED BY worker")


@pytest.mark.usefixtures("no_worker")
def test_a_user_who_may_make_no_tables_works_with_those_there_are(team: Team) -> None:
    settings = team()
    Outbox(settings)
    Outbox(team(state_url=worker(settings))).put("perennial.batch.landed", "demand", {})
    assert len(Outbox(settings).waiting()) == 1


@pytest.mark.usefixtures("no_worker")
def test_a_user_who_may_make_no_tables_waits_for_who_may(team: Team) -> None:
    settings = team()
    unnumbered(settings)
    address = worker(settings)
    expected = (
        rf"has no numbered schema.* works with schema {schema.HEAD}, "
        "but worker may not change tables.*as the user who owns"
    )
    with pytest.raises(UsageError, match=expected):
        Outbox(team(state_url=address))
    Outbox(settings)
    Outbox(team(state_url=address)).put("perennial.batch.landed", "demand", {})  # without a further GRANT


def test_the_plain_scheme_means_psycopg_too(team: Team, postgres_url: str) -> None:
    settings = team(state_url=postgres_url.replace("postgresql+psycopg", "postgresql"))
    assert connect(settings).dialect.driver == "psycopg"
    assert Audit(settings).pipelines() == []


@pytest.mark.parametrize("found", ["postgres://", "postgresql+psycopg2://", "postgresql+asyncpg://", "mysql://"])
def test_another_kind_of_database_is_refused(team: Team, found: str) -> None:
    with pytest.raises(UsageError, match="PERENNIAL_STATE_URL: found") as caught:
        connect(team(state_url=f"{found}ana:secret@host/team"))
    assert found in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_address_that_is_none_is_refused(team: Team) -> None:
    with pytest.raises(UsageError, match=r"found no address of a database; expected postgresql\+psycopg://"):
        connect(team(state_url="nonsense"))
