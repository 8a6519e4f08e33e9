"""JSON schemas of what callers send and get, made from the contract; and a row made up that is answered."""

from __future__ import annotations

from typing import Any

from perennial.serving.fields import Field
from perennial.serving.loaded import ServedVersions

_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
}


def row(live: ServedVersions) -> dict[str, Any]:
    """JSON schema of a row that callers send."""
    fields = [*live.fields, *live.optional_fields]
    taken = {field.name for field in live.fields}
    needed = [one.name for one in live.fields if one.column.required or not one.column.nullable]
    return {
        "type": "object",
        "properties": {field.name: value(field) for field in fields},
        "required": [name for name in needed if name in taken],
        "example": example(live),
    }


def value(field: Field) -> dict[str, Any]:
    """JSON schema of a column's values."""
    column, rules = field.column, field.rules
    found: dict[str, Any] = dict(_TYPES[column.type])
    if column.allowed is not None and rules.unknown_category == "reject":
        found = {"enum": list(column.allowed)}
    elif column.type in ("integer", "number") and rules.out_of_range == "reject":
        found.update({} if column.minimum is None else {"minimum": column.minimum})
        found.update({} if column.maximum is None else {"maximum": column.maximum})
    elif column.type == "timestamp":
        low, high = column.minimum or "0001-01-02", column.maximum or "9999-12-30"
        description = f"ISO 8601, from {low} to {high}"
        found["description"] = description
    if column.nullable:
        found = {"anyOf": [found, {"type": "null"}]}
    about = [part for part in (column.description, column.unit and f"in {column.unit}") if part]
    if about:
        found["description"] = ", ".join(str(part) for part in about)
    return found


def example(live: ServedVersions) -> dict[str, Any]:
    """A row made up from the contract, that the service answers."""
    return {field.name: _example_value(field) for field in (*live.fields, *live.optional_fields)}


def _example_value(field: Field) -> Any:
    column = field.column
    if column.allowed:
        return column.allowed[0]
    low, high = column.minimum, column.maximum
    if column.type == "timestamp":
        return str(low or high or "2026-01-31T08:30:00Z")
    if column.type in ("integer", "number"):
        bounds = [float(one) for one in (low, high) if one is not None]
        middle = sum(bounds) / len(bounds) if bounds else 1.0
        return int(middle) if column.type == "integer" else middle
    return True if column.type == "boolean" else "text"


def label(live: ServedVersions) -> dict[str, Any]:
    """JSON schema of a label: the key and the target."""
    contract = live.config.contract
    names = (*contract.key, contract.target)
    fields = {name: Field(name, contract.columns[name], live.config.serving, contract.timezone) for name in names}
    return {
        "type": "object",
        "properties": {name: value(field) for name, field in fields.items()},
        "required": list(names),
        "example": {name: _example_value(field) for name, field in fields.items()},
    }


def problem() -> dict[str, Any]:
    """JSON schema of a refusal."""
    detail = {
        "type": "object",
        "properties": {"column": {"type": "string"}, "row": {"type": "integer"}, "expected": {"type": "string"}},
        "required": ["column", "expected"],
    }
    return {
        "type": "object",
        "properties": {
            "error_code": {"type": "string"},
            "message": {"type": "string"},
            "details": {"type": "array", "items": detail},
            "problems": {"type": "integer"},
        },
        "required": ["error_code", "message"],
    }


def response() -> dict[str, Any]:
    """JSON schema of an answer."""
    model = {
        "type": "object",
        "properties": {
            "pipeline": {"type": "string"},
            "version": {"type": ["integer", "null"]},
            "role": {"enum": ["champion", "canary", "mixed"]},
        },
        "required": ["pipeline", "version", "role"],
    }
    return {
        "type": "object",
        "properties": {
            "predictions": {"type": "array"},
            "probabilities": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "number"}}},
            "model": model,
            "versions": {"type": "array", "items": {"type": "integer"}},
            "roles": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["predictions", "model"],
    }
