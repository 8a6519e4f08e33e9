"""The response to a caller that did something wrong: where, what was expected, never what was sent."""

from __future__ import annotations

from typing import Any, NamedTuple

_SHOWN = 20


class FieldError(NamedTuple):
    """One mistake: the column and the row (from 0; -1: the column as a whole), and what was expected."""

    column: str
    row: int
    expected: str


class RequestRejectedError(Exception):
    """A request that is not answered with predictions.

    Args:
        status: HTTP status.
        message: For people: what, where, what to do.
        details: Each mistake.
        retry_after: Seconds after which to try again; 0: not by trying again.
    """

    def __init__(self, status: int, message: str, details: tuple[FieldError, ...] = (), retry_after: int = 0) -> None:
        super().__init__(message)
        self.status, self.message, self.details, self.retry_after = status, message, details, retry_after

    def body(self) -> dict[str, Any]:
        """The answer. `error_code` and `message` are as MLflow's own server has them."""
        document: dict[str, Any] = {"error_code": _CODES.get(self.status, "INTERNAL_ERROR"), "message": self.message}
        if self.details:
            document["details"] = [
                {"column": one.column, **({"row": one.row} if one.row >= 0 else {}), "expected": one.expected}
                for one in self.details[:_SHOWN]
            ]
            document["problems"] = len(self.details)
        return document


_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "INVALID_STATE",
    413: "REQUEST_LIMIT_EXCEEDED",
    415: "INVALID_PARAMETER_VALUE",
    422: "INVALID_PARAMETER_VALUE",
    429: "RESOURCE_EXHAUSTED",
    431: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def rejected_rows(errors: list[FieldError]) -> RequestRejectedError:
    """The refusal of rows that do not keep the contract."""
    first = errors[0]
    where = f"column {first.column!r}" + (f", row {first.row}" if first.row >= 0 else "")
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return RequestRejectedError(
        400, f"{where}: {first.expected}{more}. Rows are counted from 0; see /docs.", tuple(errors)
    )
