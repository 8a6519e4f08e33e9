"""A mapping compared with one of Prefect's models: keys that it would pass over, values that it would refuse."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from configs.load import names
from perennial.ops.deployments.lines import Where

Found = Iterator[tuple[Where, str]]


def unknown_keys(found: Mapping[Any, Any], model: type[BaseModel], where: Where, *others: str) -> Found:
    """Keys that a model of Prefect's does not have."""
    known = [*model.model_fields, *(one.alias for one in model.model_fields.values() if one.alias), *others]
    for key in found:
        if key not in known:
            yield (*where, str(key)), f"Prefect knows no such key and would pass over it{near(key, known)}"


def wrong_values(model: type[BaseModel], found: object, where: Where) -> Found:
    """Values that a model of Prefect's refuses; of two messages about one mistake, the one that goes deeper."""
    try:
        model.model_validate(found)
    except ValidationError as error:
        all_of_them = [(_inside(one["loc"], found), message(error, index)) for index, one in enumerate(error.errors())]
        for path, text in all_of_them:
            if not any(other[: len(path)] == path and len(other) > len(path) for other, _ in all_of_them):
                yield (*where, *path), text


def _inside(location: Iterable[str | int], data: Any) -> Where:
    """The part of pydantic's location that is in the data, without the names of types that it puts between."""
    path: list[str | int] = []
    for step in location:
        inside = isinstance(step, int) and step < len(data) if isinstance(data, list) else False
        if inside or (isinstance(data, dict) and step in data):
            data = data[step]
            path.append(step)
    return tuple(path)


def message(error: ValidationError, index: int = 0) -> str:
    """One of pydantic's errors in a line."""
    one = error.errors(include_url=False)[index]
    text = one["msg"].removeprefix("Value error, ")
    return f"found {one['input']!r}; {text[:1].lower()}{text[1:]}"


def near(name: object, known: Iterable[object]) -> str:
    """A hint at what was probably meant."""
    found = difflib.get_close_matches(str(name), [str(one) for one in known], n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def no_pipeline(name: object) -> str:
    """What is wrong with a pipeline's name, if anything."""
    known = names()
    return "" if name in known else f"no pipeline is named {name!r}; there are {', '.join(known)}{near(name, known)}"
