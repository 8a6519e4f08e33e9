"""Which errors of a task can pass by themselves, so that it is worth while to try again a little later."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Callable
from typing import Any, TypedDict

from tasks.errors import DataRejectedError, UsageError
from tasks.stores.lake.delta import LakeConflictError

_NEVER = (
    UsageError,
    DataRejectedError,
    ValueError,
    PermissionError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
)
# Vendors' errors by name, so that none is imported for it; their subclasses count.
_NETWORK = {
    "aiohttp.client_exceptions.ClientConnectionError",
    "aiohttp.client_exceptions.ClientPayloadError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "httpx.NetworkError",
    "httpx.ProxyError",
    "httpx.RemoteProtocolError",
    "httpx.TimeoutException",
    "requests.exceptions.ChunkedEncodingError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.RetryError",
    "requests.exceptions.Timeout",
}
_CERTIFICATES = {"botocore.exceptions.SSLError", "requests.exceptions.SSLError"}
_DATABASE = {"psycopg.OperationalError", "sqlalchemy.exc.OperationalError", "sqlite3.OperationalError"}
_DELTA = {"_internal.DeltaError"}
_ERRNOS = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}
# PostgreSQL's classes: connection, transaction rollback, resources, operator intervention. A full disk is none.
_POSTGRES, _FULL = ("08", "40", "53", "57"), "53100"


class Retries(TypedDict):
    """Options of a Prefect task."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Any, Any, Any], bool]


def can_pass(task: object, task_run: object, state: Any) -> bool:  # noqa: ARG001  # Prefect's signature
    """Whether a failed task run is worth another try: Prefect's `retry_condition_fn`."""
    return isinstance(state.data, Exception) and passes(state.data)


# Only for tasks that may be repeated: each of their writes is made once, or does no harm twice.
RETRIES = Retries(retries=3, retry_delay_seconds=[1.0, 4.0, 16.0], retry_jitter_factor=0.3, retry_condition_fn=can_pass)


def passes(error: BaseException) -> bool:
    """Whether an error can pass by itself: of the network, of a server, of a busy database or lake.

    An error of ours, or one that is not known here, is classified by what it was raised from.
    """
    if isinstance(error, _NEVER):
        return False
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if _surely(error, names):
        return True
    cause = error.__cause__ or (error.__context__ if "mlflow.exceptions.MlflowException" in names else None)
    return cause is not None and passes(cause)


def _surely(error: BaseException, names: set[str]) -> bool:
    if isinstance(error, LakeConflictError | TimeoutError | ConnectionError) or names & _NETWORK:
        return not names & _CERTIFICATES
    if names & _DATABASE:
        return _database(getattr(error, "orig", None) or error)
    status = _status(error, names)
    if status is not None:
        return status in (408, 429) or 500 <= status < 600
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _ERRNOS
    return (isinstance(error, OSError) or bool(names & _DELTA)) and _object_store(str(error))


def _database(error: object) -> bool:
    """Whether a database was busy or gone, rather than read-only, full or without the table."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in _SQLITE  # the upper bits tell which kind of it
    state = getattr(error, "sqlstate", None)
    return state is None or (str(state)[:2] in _POSTGRES and state != _FULL)


def _status(error: BaseException, names: set[str]) -> int | None:
    """The HTTP status that a server answered with; None where it did not, or where that is unknown."""
    answered = getattr(error, "response", None)
    if isinstance(answered, dict):  # botocore's
        found = answered.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif "mlflow.exceptions.RestException" in names:
        found = error.get_http_status_code()  # type: ignore[attr-defined]  # MLflow's, known by its name
    else:
        found = getattr(answered, "status_code", None)
    return found if isinstance(found, int) else None


def _object_store(message: str) -> bool:
    """Whether an object store's or disk's failure can pass. The lake's library tells it as text alone, in color."""
    plain = re.sub(r"\x1b\[\d+m", "", message)
    number = re.search(r"\(os error (\d+)\)", plain)
    if number is not None:
        return int(number[1]) in _ERRNOS
    status = re.search(r"status code\W+(\d{3})\b", plain)
    if status is not None:
        return status[1] in ("408", "429") or status[1].startswith("5")
    return "error sending request" in plain or "operation timed out" in plain
