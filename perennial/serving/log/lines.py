"""Answers as lines of JSON: one answer of one version a line, its rows side by side.

Each line also says how many rows of its worker are settled up to it, so that after a kill the file alone tells, with
the number of rows that were put, how many were lost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from perennial.serving.log.prediction_record import PredictionRecord

COMMITTED_ROWS = "n"


class LogLine(NamedTuple):
    """A line of a file: some rows of a request. Its fields are those of Answer."""

    request: str
    at: int
    role: str
    version: int
    positions: list[int]
    columns: dict[str, list[Any]]
    predictions: list[Any] | None
    probabilities: dict[str, list[float | None]]
    latency_ms: float
    predict_ms: float
    error: str


def encode(record: PredictionRecord, committed_rows: int) -> bytes:
    """An answer as a line.

    Raises:
        TypeError: it holds what JSON can't.
    """
    _, request, at, role, version, positions, columns, predictions, probabilities, latency, predict, error, _ = record
    return orjson.dumps(
        {
            COMMITTED_ROWS: committed_rows,
            "request": request,
            "at": at,
            "role": role,
            "version": version,
            "positions": positions,
            "columns": columns,
            "predictions": predictions,
            "probabilities": probabilities,
            "latency_ms": latency,
            "predict_ms": predict,
            "error": error,
        },
        default=_plain,
        option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE,
    )


def committed_rows_line(committed_rows: int) -> bytes:
    """A line that says only how many rows are settled: the last ones were not kept."""
    return orjson.dumps({COMMITTED_ROWS: committed_rows}, option=orjson.OPT_APPEND_NEWLINE)


def parse(text: bytes) -> LogLine | None:
    """A line; None where it says only how many rows are settled.

    Raises:
        ValueError: it is no such line.
    """
    found = orjson.loads(text)
    if not isinstance(found, dict) or COMMITTED_ROWS not in found:
        raise ValueError("not a line of the prediction log")
    if len(found) == 1:
        return None
    del found[COMMITTED_ROWS]
    try:
        line = LogLine(**found)
    except TypeError as error:
        raise ValueError(f"not a line of the prediction log: {error}") from None
    lengths = {len(line.positions), *map(len, line.columns.values()), *map(len, line.probabilities.values())}
    if line.predictions is not None:
        lengths.add(len(line.predictions))
    if len(lengths) > 1:
        raise ValueError("columns of unequal length")
    return line


def committed_rows(text: bytes) -> int | None:
    """How many rows are settled up to a line; None where it is damaged."""
    try:
        found = orjson.loads(text)
        return int(found[COMMITTED_ROWS])
    except (ValueError, KeyError, TypeError):
        return None


def _plain(value: Any) -> Any:
    """What orjson does not know by itself: ranges, scalars and arrays of objects."""
    if isinstance(value, range):
        return list(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError
