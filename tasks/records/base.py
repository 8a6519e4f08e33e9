"""What all records have in common: frozen, printable, stored with the number of their schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import to_json

from tasks.errors import PerennialError

# Where a stored record's JSON has the number of its schema.
SCHEMA = "schema"


def artifact_key(pipeline: str, stage: str) -> str:
    """Key of a stage's page in Prefect, which takes small letters, digits and dashes."""
    return f"{pipeline.replace('_', '-')}-{stage}"


def digest(value: JsonValue | Mapping[str, JsonValue] | Iterable[JsonValue]) -> str:
    """SHA-256, in hexadecimal, of a JSON value in its canonical form: sorted keys, no spaces."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Record(BaseModel):
    """A frozen fact."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Row = TypeVar("Row", bound=Record)


class NewerRecordError(PerennialError):
    """A stored record of a newer version of Perennial, of which this one can't read what it must."""


class StoredRecord(Record):
    """A record that outlives the process that made it, and is read by other versions of this code.

    Stored as a JSON document that has, beside the fields, the number of its schema: under `schema`, 1 where it is
    absent. Written by `document` or `stored_json`, read by `model_validate_json`.

    Attributes:
        schema_number: Goes up with every change of the fields, also of those of records within.
        upgrades: Makes a document of schema N one of N + 1, by N; where there is none, its fields mean the same.
    """

    schema_number: ClassVar[int] = 1
    upgrades: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

    def document(self) -> dict[str, JsonValue]:
        """The JSON document that is stored."""
        return {SCHEMA: self.schema_number, **self.model_dump(mode="json")}

    def stored_json(self, indent: int | None = None) -> str:
        """The stored document as JSON text."""
        return to_json(self.document(), indent=indent, inf_nan_mode="null").decode()

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """A stored record of this or another version: fields that are not known are ignored, at any depth.

        Raises:
            NewerRecordError: a newer version wrote it, and a field that is known here is absent or has another value.
            ValidationError: it is damaged.
        """
        found = _parsed(json_data)
        number = found.get(SCHEMA, 1) if found else cls.schema_number
        if number < cls.schema_number:
            for step in range(number, cls.schema_number):
                found = cls.upgrades.get(step, _same)(found)
            json_data = json.dumps(found)
        try:
            return super().model_validate_json(json_data, **options, extra="ignore")
        except ValidationError as error:
            if number > cls.schema_number:
                raise NewerRecordError(_newer(cls.__name__, number, cls.schema_number, error)) from error
            raise


def read_row(kind: type[Row], row: Mapping[str, Any], place: str) -> Row:
    """A record that is stored as a row: columns that are not known, and cells that are empty, are left out.

    Args:
        kind: The record.
        row: The row. A column that came later is empty in older rows: the field has its default.
        place: Where it is stored, for the error.

    Raises:
        NewerRecordError: a value is none that this code knows.
    """
    fields = kind.model_fields
    known = {name: row[name] for name in row.keys() & fields.keys()}
    given = {name: value for name, value in known.items() if value is not None or fields[name].is_required()}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise NewerRecordError(
            f"{place} has a row that this version of Perennial can't read: {_wrong(error)}. A newer version wrote it, "
            "or it is damaged. Upgrade Perennial, or restore the table."
        ) from error


def _parsed(json_data: str | bytes | bytearray) -> dict[str, Any]:
    """The document; empty where it is damaged, of which the reader says what is wrong."""
    try:
        found = json.loads(json_data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get(SCHEMA, 1), int) else {}


def _same(document: dict[str, Any]) -> dict[str, Any]:
    return document


def _wrong(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in wrong["loc"]) or "it"
    return f"{where}: {wrong['msg']}, found {str(wrong['input'])[:60]!r}"


def _newer(kind: str, found: int, known: int, error: ValidationError) -> str:
    return (
        f"A stored {kind} was written by a newer version of Perennial: found schema {found}, this version knows "
        f"{known}, and can't read it: {_wrong(error)}. Upgrade Perennial."
    )
