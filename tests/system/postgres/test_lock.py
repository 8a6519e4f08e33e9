"""The writer's lock of a team: one writer at a time whatever the machine, and a dead holder's lock is free at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tasks.stores.locks.lock import LockLostError, LockTimeoutError, hold
from tasks.stores.locks.postgres import lock_key
from tasks.stores.settings import Settings
from tasks.stores.state.database import DatabaseError
from tests.support.services import Postgres, postgres
from tests.support.world import ROOT

pytestmark = pytest.mark.postgres

PATIENCE = 60.0
NAME = "demand.data"
Team = Callable[..., Settings]

HOLDER = """
import sys
from pathlib import Path
from tasks.stores.locks.lock import hold
from tasks.stores.settings import Settings
with hold(Settings(home=Path(sys.argv[1]), state_url=sys.argv[2], lock_timeout=float(sys.argv[3])), "demand.data"):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""

COUNTER = """
import sys
from pathlib import Path
from tasks.stores.locks.lock import hold
from tasks.stores.settings import Settings
count = Path(sys.argv[3])
for _ in range(15):
    with hold(Settings(home=Path(sys.argv[1]), state_url=sys.argv[2], lock_timeout=60), "demand.data"):
        count.write_text(str(int(count.read_text()) + 1))
"""


@contextmanager
def python(code: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def holder(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock, with a home of its own, as on another machine."""
    with python(HOLDER, settings.home, settings.audit_url, PATIENCE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def run(settings: Settings, statement: str) -> list[tuple[object, ...]]:
    """A statement of somebody else's on the database."""
    address = sa.make_url(settings.audit_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def end_session(settings: Settings) -> None:
    """Break the holder's connection, as a restart of the server does."""
    assert run(settings, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'") == [(True,)]


def test_a_thread_that_holds_it_may_take_it_again_and_frees_it_once(team: Team) -> None:
    settings = team(lock_timeout=0.2)
    with hold(settings, NAME) as outer:
        with hold(settings, NAME) as inner:
            assert inner is outer
        with python(HOLDER, settings.home, settings.audit_url, 0.2) as other:
            assert other.communicate(timeout=PATIENCE)[0] == ""
            assert other.returncode == 1
        outer.check()
    with holder(settings):
        pass


def test_homes_on_other_machines_share_it(team: Team) -> None:
    told: list[str] = []
    with holder(team("there")) as process:
        with pytest.raises(LockTimeoutError) as caught, hold(team("here", lock_timeout=0.5), NAME, told.append):
            pass
        who = f"process {process.pid} on {socket.gethostname()[:40]}"
        assert told == [f"waiting for another writer of {NAME} ({who})"]
        assert f"{NAME} was held by another writer ({who}) for 0.5 s" in str(caught.value)
        with hold(team("here", lock_timeout=0), "demand.model"), hold(team("here", lock_timeout=0), "supply.data"):
            pass


def test_kill_minus_nine_frees_it_within_seconds(team: Team) -> None:
    waiting = threading.Event()
    got: list[float] = []

    def wait() -> None:
        with hold(team("here", lock_timeout=PATIENCE), NAME, lambda _: waiting.set()):
            got.append(time.monotonic())

    with holder(team("there")) as process:
        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(PATIENCE)
        assert not got
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic()
        thread.join(PATIENCE)
    assert got
    assert got[0] - killed < 5.0


def test_no_two_processes_are_inside(team: Team, tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    with ExitStack() as stack:
        homes = [team(f"machine-{number}") for number in range(4)]
        processes = [stack.enter_context(python(COUNTER, one.home, one.audit_url, count)) for one in homes]
        assert [one.wait(PATIENCE) for one in processes] == [0, 0, 0, 0]
    assert count.read_text() == "60"


def test_who_lost_it_learns_so_when_asking_and_at_the_end(team: Team) -> None:
    settings = team()
    with ExitStack() as stack:
        held = stack.enter_context(hold(settings, NAME))
        held.check()
        end_session(settings)
        with pytest.raises(LockLostError):
            held.check()
        with holder(team("there")), pytest.raises(LockLostError):
            held.check()
        with pytest.raises(LockLostError, match=f"{NAME} was not locked all the time"):
            stack.close()
    with hold(team(lock_timeout=0), NAME) as held:
        held.check()


def test_an_error_in_the_block_is_not_hidden_by_the_loss(team: Team) -> None:
    settings = team()

    def fail() -> None:
        with hold(settings, NAME):
            end_session(settings)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with holder(settings):
        pass


def test_the_server_looks_soon_whether_the_holder_lives_and_never_ends_it_for_being_idle(team: Team) -> None:
    settings = team()
    run(settings, f"ALTER DATABASE {sa.make_url(settings.audit_url).database} SET idle_session_timeout = '300ms'")
    with hold(settings, NAME) as held:
        shown = held._lock._connection.exec_driver_sql  # type: ignore[attr-defined]  # the session's own settings
        names = ("idle", "interval", "count")
        seconds = [int(shown(f"SHOW tcp_keepalives_{name}").scalar()) for name in names]
        assert seconds[0] + seconds[1] * seconds[2] <= 30
        time.sleep(0.8)
        held.check()


def test_keys_are_the_same_everywhere_and_fit_a_bigint() -> None:
    assert lock_key("bike_demand.data") == 2709148373970267287
    keys = {lock_key(f"p{number}.{what}") for number in range(2000) for what in ("data", "model")}
    assert len(keys) == 4000
    assert all(0 <= key < 1 << 63 for key in keys)


def test_a_server_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path, state_url="postgresql+psycopg://ana:secret@127.0.0.1:1/team")
    with pytest.raises(DatabaseError) as caught, hold(nowhere, NAME):
        pass
    assert "host 127.0.0.1, port 1, database team" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_stops_meanwhile_is_noticed(postgres_server: Postgres, tmp_path: Path) -> None:
    with postgres() as own:
        settings = Settings(home=tmp_path, state_url=own.database("team"))
        with ExitStack() as stack:
            stack.enter_context(hold(settings, NAME))
            os.kill(own.pid, signal.SIGQUIT)
            assert "can't be reached" in str(refused(settings))
            with pytest.raises(LockLostError):
                stack.close()


def refused(settings: Settings) -> DatabaseError:
    """What a new connection is reported, once the server has stopped."""
    for _ in range(100):
        try:
            with hold(settings, "other.data"):
                time.sleep(0.1)
        except (DatabaseError, LockLostError) as error:
            if isinstance(error, DatabaseError):
                return error
    raise AssertionError("the server still runs")
