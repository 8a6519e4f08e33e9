"""Files of answers as Arrow tables of the lake's `served`; what does not fit is reported apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from configs.schema import PipelineConfig
from perennial.serving.log.lines import LogLine, parse
from tasks.stores.lake.schemas import AT, ERROR, LATENCY_MS, POSITION, PREDICT_MS, REQUEST, ROLE, served_schema

_CHUNK_ROWS = 5000
PROBABILITY = "probability_"


class LogFileRows(NamedTuple):
    """What a file holds: a table, and what does not fit into it, each with the reason, as JSON can hold it."""

    table: pa.Table
    invalid: list[dict[str, Any]]


def read(path: Path, config: PipelineConfig) -> LogFileRows:
    """A file's rows, chunk by chunk, so that no more than the table itself is in memory."""
    unfit: list[dict[str, Any]] = []
    schema = served_schema(config)
    tables = [_table(columns, schema, unfit) for columns in _chunks(path, schema, unfit)]
    return LogFileRows(unify(tables) if tables else schema.empty_table(), unfit)


def unify(tables: list[pa.Table]) -> pa.Table:
    """Tables as one. The columns of classes that some do not know are missing there."""
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _chunks(path: Path, schema: pa.Schema, unfit: list[dict[str, Any]]) -> Iterator[dict[str, list[Any]]]:
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    with path.open("rb") as source:
        for number, text in enumerate(source, 1):
            try:
                one = parse(text)
            except ValueError as error:
                unfit.append({"why": str(error), "line": number, "text": text.decode(errors="replace")})
                continue
            if one is not None:
                _add(columns, one)
            if len(columns[REQUEST]) >= _CHUNK_ROWS:
                yield columns
                columns = {name: [] for name in schema.names}
    if columns[REQUEST]:
        yield columns


def _add(columns: dict[str, list[Any]], line: LogLine) -> None:
    before, rows = len(columns[REQUEST]), len(line.positions)
    same = {
        REQUEST: line.request,
        AT: line.at,
        ROLE: line.role,
        "model_version": line.version,
        LATENCY_MS: line.latency_ms,
        PREDICT_MS: line.predict_ms,
        ERROR: line.error,
    }
    shares = {f"{PROBABILITY}{name}": values for name, values in line.probabilities.items()}
    for name in shares.keys() - columns.keys():
        columns[name] = [None] * before
    missing = [None] * rows
    by_row = {**shares, POSITION: line.positions, "prediction": line.predictions or missing}
    for name, values in columns.items():
        if name in same:
            values.extend([same[name]] * rows)
        else:
            values.extend(by_row.get(name) or line.columns.get(name) or missing)


def _table(columns: dict[str, list[Any]], schema: pa.Schema, unfit: list[dict[str, Any]]) -> pa.Table:
    kinds = {name: schema.field(name).type if name in schema.names else pa.float64() for name in columns}
    try:
        return pa.table({name: _array(values, kinds[name]) for name, values in columns.items()})
    except _UNFIT:
        kept = _valid_rows(columns, kinds, unfit)
        return pa.table({name: _array([values[row] for row in kept], kinds[name]) for name, values in columns.items()})


_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)


def _valid_rows(columns: dict[str, list[Any]], kinds: dict[str, pa.DataType], unfit: list[dict[str, Any]]) -> list[int]:
    """Numbers of the rows whose every cell is of its type; the others are reported."""
    kept = []
    for row in range(len(columns[REQUEST])):
        wrong = [name for name, values in columns.items() if not _fits(values[row], kinds[name])]
        if wrong:
            reason = ", ".join(f"{name} is no {kinds[name]}" for name in wrong)
            unfit.append({"why": reason, "row": {name: values[row] for name, values in columns.items()}})
        else:
            kept.append(row)
    return kept


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        _array([value], kind)
    except _UNFIT:
        return False
    return True


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Values as an array. Arrow alone would cut the fraction off a number, and take true for one."""
    if pa.types.is_integer(kind) and any(value.__class__ is float and not value.is_integer() for value in values):
        raise pa.ArrowInvalid("a fraction in a column of integers")
    if pa.types.is_floating(kind) and any(value.__class__ is bool for value in values):
        raise pa.ArrowTypeError("true or false in a column of numbers")
    return pa.array(values, kind)
