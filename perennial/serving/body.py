"""A request's body into columns: the forms of MLflow's scoring protocol, csv, and labels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from perennial.serving.problem import RequestRejectedError

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_BESIDE = frozenset({"params", "signature_name"})


class RequestRows(NamedTuple):
    """What a caller sent: values by column, as JSON has them, or texts where it was csv."""

    columns: dict[str, Sequence[Any]]
    rows: int
    texts: bool = False


def read(content_type: str, body: bytes, order: Sequence[str], most: int) -> RequestRows:
    """The columns of a request.

    Args:
        content_type: Its header.
        body: Its body.
        order: Names of the model's columns, which rows without names go by.
        most: Most rows.

    Raises:
        RefusedError: it is in none of the forms, or has too many rows.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("application/json", "application/json-numpy-split", ""):
        sent = _form(parse(body), order, most)
    elif kind in ("text/csv", "application/csv"):
        sent = _csv(body, most)
    else:
        raise RequestRejectedError(415, "Content-Type: expected application/json or text/csv.")
    if sent.rows > most:
        raise _too_many(most)
    return sent


def labels(content_type: str, body: bytes, order: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The labels of a request, row by row: `{"labels": [{...}]}`, or any form that rows come in.

    Raises:
        RefusedError: it is in none of the forms, or has too many rows.
    """
    if content_type.partition(";")[0].strip().lower() in ("application/json", ""):
        value = parse(body)
        if isinstance(value, dict) and value.keys() == {"labels"}:
            if not isinstance(value["labels"], list):
                raise RequestRejectedError(400, "labels: expected a list of objects.")
            value = {"dataframe_records": value["labels"]}
        sent = _form(value, order, most)
    else:
        sent = read(content_type, body, order, most)
    if sent.rows > most:
        raise _too_many(most)
    names = list(sent.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*sent.columns.values(), strict=True)]


def parse(body: bytes) -> Any:
    """JSON. NaN, which Python's own writer makes of a missing number, is taken.

    Raises:
        RefusedError: it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        at = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestRejectedError(400, f"The body is no JSON{at}. Expected an object as /docs shows it.") from None


def _form(value: Any, order: Sequence[str], most: int) -> RequestRows:
    if not isinstance(value, dict):
        raise RequestRejectedError(400, f"The body: expected a JSON object with one of {', '.join(_FORMS)}.")
    forms = [form for form in _FORMS if form in value]
    if len(forms) != 1 or value.keys() - {*_FORMS} - _BESIDE:
        raise RequestRejectedError(
            400, f"The body: expected just one of {', '.join(_FORMS)}, and nothing else but params."
        )
    content = value[forms[0]]
    if forms[0] == "dataframe_split":
        return _split(content)
    if forms[0] == "inputs" and isinstance(content, dict):
        return _by_column(content)
    if not isinstance(content, list):
        raise RequestRejectedError(400, f"{forms[0]}: expected a list of rows.")
    if len(content) > most:
        raise _too_many(most)
    if forms[0] == "dataframe_records" or (content and isinstance(content[0], dict)):
        return records(content, forms[0])
    return _unnamed(content, forms[0], order)


def _split(content: Any) -> RequestRows:
    if not isinstance(content, dict) or content.keys() - {"columns", "data", "index"}:
        raise RequestRejectedError(
            400, "dataframe_split: expected an object with columns, data and, if need be, index."
        )
    columns, data = content.get("columns"), content.get("data")
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise RequestRejectedError(400, "dataframe_split.columns: expected a list of names.")
    if len(set(columns)) != len(columns):
        raise RequestRejectedError(400, "dataframe_split.columns: a name comes twice.")
    if not isinstance(data, list):
        raise RequestRejectedError(400, "dataframe_split.data: expected a list of rows.")
    return _rows(columns, data, "dataframe_split.data")


def _unnamed(content: list[Any], where: str, order: Sequence[str]) -> RequestRows:
    if content and not isinstance(content[0], list):
        raise RequestRejectedError(
            400, f"{where}: expected a list of objects, or of lists in the order of its columns."
        )
    return _rows(list(order), content, where)


def _rows(columns: Sequence[str], data: list[Any], where: str) -> RequestRows:
    width = len(columns)
    for index, row in enumerate(data):
        if not isinstance(row, list) or len(row) != width:
            raise RequestRejectedError(
                400, f"{where}[{index}]: expected a list of {width} values, one for each column."
            )
    turned = zip(*data, strict=True) if data else ([] for _ in columns)
    return RequestRows(dict(zip(columns, turned, strict=False)), len(data))


def records(content: list[Any], where: str) -> RequestRows:
    """Rows as objects; a name that a row lacks is missing there.

    Raises:
        RefusedError: one is no object.
    """
    names: dict[str, None] = {}
    for index, row in enumerate(content):
        if not isinstance(row, dict):
            raise RequestRejectedError(400, f"{where}[{index}]: expected an object with a value for each column.")
        names.update(dict.fromkeys(row))
    return RequestRows({name: [row.get(name) for row in content] for name in names}, len(content))


def _by_column(content: Mapping[str, Any]) -> RequestRows:
    """TensorFlow Serving's column form: lists of one length, or one value each."""
    lists = {name: one if isinstance(one, list) else [one] for name, one in content.items()}
    lengths = {len(one) for one in lists.values()}
    if len(lengths) > 1:
        raise RequestRejectedError(400, "inputs: expected as many values for each column.")
    # Values may come in lists of one, as tensors of shape (n, 1) are written.
    plain: dict[str, Sequence[Any]] = {name: [_inner(value) for value in values] for name, values in lists.items()}
    return RequestRows(plain, next(iter(lengths), 0))


def _inner(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _csv(body: bytes, most: int) -> RequestRows:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestRejectedError(400, "The body is no csv in UTF-8.") from None
    try:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = next(lines, None)
        data = list(_some((line for line in lines if line), most))
    except csv.Error as error:
        raise RequestRejectedError(400, f"The body is no csv: {error}.") from None
    if not columns:
        raise RequestRejectedError(400, "The body: expected a csv whose first line holds the columns' names.")
    if len(set(columns)) != len(columns):
        raise RequestRejectedError(400, "The csv's first line: a name comes twice.")
    return _rows([name.strip() for name in columns], data, "csv row")._replace(texts=True)


def _some(lines: Iterable[list[str]], most: int) -> Iterable[list[str]]:
    for index, line in enumerate(lines):
        if index >= most:
            raise _too_many(most)
        yield line


def _too_many(most: int) -> RequestRejectedError:
    return RequestRejectedError(
        400, f"More rows than the {most} that one request may have (serving.max_rows). Send several requests."
    )
