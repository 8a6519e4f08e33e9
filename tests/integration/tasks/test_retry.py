"""Tries again where an error can pass by itself, and never where it can't. The errors are made by the real things."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import requests
import sqlalchemy as sa
from deltalake import DeltaTable
from prefect import flow, task
from prefect.states import Failed

from tasks.errors import DataRejectedError, PerennialError, UsageError
from tasks.retry import RETRIES, can_pass, passes
from tasks.stores.lake.delta import LakeConflictError

NOBODY = "http://127.0.0.1:9"


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that answers everything with a status, as MLflow does: an error in JSON."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = b'{"error_code": "%s", "message": "told"}' % (b"INTERNAL_ERROR" if status >= 500 else b"BAD_REQUEST")
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = _answer  # noqa: N815  # http.server looks for these names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def error_of(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # which one is the question
        call()
    assert isinstance(caught.value, Exception)
    return caught.value


# --- in Prefect ---


def attempts(errors: list[Exception], server: str, **options: Any) -> tuple[str, int]:
    """The final state of a task that raises each error once, and how often it was run."""
    left = list(errors)
    runs = 0

    @task(**{**RETRIES, "retry_delay_seconds": 0.0, **options})
    def work() -> str:
        nonlocal runs
        runs += 1
        if left:
            raise left.pop(0)
        return "done"

    @flow
    def around() -> str:
        return str(work(return_state=True).type.value)

    return around(), runs


def test_what_passes_is_tried_again_until_it_works(server: str) -> None:
    assert attempts([ConnectionResetError("gone"), LakeConflictError("lost")], server) == ("COMPLETED", 3)


def test_what_does_not_pass_fails_at_once(server: str) -> None:
    assert attempts([DataRejectedError("no label")], server) == ("FAILED", 1)


def test_another_error_on_the_way_ends_it(server: str) -> None:
    assert attempts([TimeoutError(), ValueError("bad")], server) == ("FAILED", 2)


def test_there_are_three_more_tries(server: str) -> None:
    assert attempts([OSError(errno.EIO, "I/O error")] * 9, server) == ("FAILED", 4)


def test_waits_grow(server: str) -> None:
    """What Prefect makes of the options: it waits as long as it is reported for each try."""

    @task(**RETRIES)
    def work() -> None:
        pass

    assert (work.retries, work.retry_delay_seconds, work.retry_jitter_factor) == (3, [1.0, 4.0, 16.0], 0.3)
    assert work.retry_condition_fn is can_pass


def test_a_failed_state_without_an_error_is_not_tried_again() -> None:
    assert not can_pass(None, None, Failed(message="no"))
    assert can_pass(None, None, Failed(data=TimeoutError()))


# --- which errors ---


@pytest.mark.parametrize("code", [errno.ETIMEDOUT, errno.EIO, errno.ESTALE, errno.ENETUNREACH, errno.ECONNREFUSED])
def test_a_system_s_error_that_can_pass(code: int) -> None:
    assert passes(OSError(code, "told"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOENT, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EISDIR])
def test_a_system_s_error_that_can_t(code: int) -> None:
    assert not passes(OSError(code, "told"))


@pytest.mark.parametrize(
    "error",
    [
        PerennialError("known"),
        UsageError("wrong"),
        DataRejectedError("bad"),
        ValueError("bad"),
        KeyError("bug"),
        RuntimeError("bug"),
        OSError("no number"),
    ],
)
def test_what_is_wrong_stays_wrong(error: Exception) -> None:
    assert not passes(error)


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_an_error_of_ours_is_judged_by_what_it_tells_of() -> None:
    assert passes(raised_from(PerennialError("the store can't be reached"), ConnectionRefusedError()))
    assert not passes(raised_from(PerennialError("the store can't be reached"), PermissionError()))
    assert not passes(raised_from(UsageError("wrong address"), ConnectionRefusedError()))


def test_a_bug_met_while_an_error_was_handled_is_a_bug() -> None:
    error = KeyError("bug")
    error.__context__ = TimeoutError()
    assert not passes(error)


@pytest.mark.parametrize(("status", "again"), [(503, True), (429, True), (500, True), (404, False), (403, False)])
def test_what_a_server_answered(status: int, again: bool) -> None:
    with answering(status) as url:
        assert passes(error_of(lambda: httpx.get(url).raise_for_status())) is again
        assert passes(error_of(lambda: requests.get(url, timeout=5).raise_for_status())) is again


def test_a_server_that_is_not_there() -> None:
    assert passes(error_of(lambda: httpx.get(NOBODY)))
    assert passes(error_of(lambda: requests.get(NOBODY, timeout=5)))


def test_an_address_that_is_none() -> None:
    assert not passes(error_of(lambda: httpx.get("ftp://127.0.0.1/")))
    assert not passes(error_of(lambda: requests.get("no address", timeout=5)))


def lake_at(url: str) -> Exception:
    options = {"aws_endpoint_url": url, "aws_allow_http": "true", "aws_region": "eu-central-1"}
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    return error_of(lambda: DeltaTable("s3://lake/table", storage_options={**options, **keys, "max_retries": "0"}))


@pytest.mark.parametrize(("status", "again"), [(503, True), (429, True), (403, False)])
def test_what_the_lake_s_object_store_answered(status: int, again: bool) -> None:
    with answering(status) as url:
        assert passes(lake_at(url)) is again


def test_an_object_store_that_is_not_there() -> None:
    assert passes(lake_at(NOBODY))


def test_a_full_disk_below_the_lake() -> None:
    """As deltalake words it: without a number of its own."""
    assert not passes(OSError("Generic LocalFileSystem error: No space left on device (os error 28)"))
    assert passes(OSError("Generic LocalFileSystem error: Stale file handle (os error 116)"))


@pytest.mark.parametrize(("status", "again"), [(503, True), (400, False)])
def test_what_mlflow_answered(status: int, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(status) as url:
        assert passes(error_of(lambda: MlflowClient(url).get_experiment("1"))) is again


def test_an_mlflow_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert passes(error_of(lambda: MlflowClient(NOBODY).get_experiment("1")))


def test_a_landing_place_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.stores.landing.remote import LandingError, Remote

    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    error = error_of(lambda: Remote("s3://landing/days").stat("a.csv"))
    assert isinstance(error, LandingError)
    assert passes(error)


def test_a_busy_database_passes_and_a_read_only_one_does_not(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db", connect_args={"timeout": 0})
    with engine.begin() as connection:
        connection.execute(sa.text("create table t (a)"))
    insert = sa.text("insert into t values (1)")
    with closing(sqlite3.connect(tmp_path / "a.db")) as other, engine.connect() as connection:
        other.execute("begin exclusive")
        busy = error_of(lambda: connection.execute(insert))
        other.rollback()
        missing = error_of(lambda: connection.execute(sa.text("select * from nothing")))
        connection.execute(sa.text("pragma query_only = 1"))
        read_only = error_of(lambda: connection.execute(insert))
    assert [passes(error) for error in (busy, missing, read_only)] == [True, False, False]
    assert all(isinstance(error, sa.exc.OperationalError) for error in (busy, missing, read_only))


def test_a_postgresql_that_is_not_there() -> None:
    from tasks.stores.settings import Settings
    from tasks.stores.state.database import DatabaseError, connect

    settings = Settings(state_url="postgresql+psycopg://u:p@127.0.0.1:9/state")
    error = error_of(lambda: connect(settings).connect())
    assert isinstance(error, DatabaseError)
    assert passes(error)


def test_a_program_that_failed() -> None:
    assert not passes(error_of(lambda: subprocess.run([sys.executable, "-c", "exit(1)"], check=True)))
