"""Stored records across versions: fields that are not known are ignored, the schema's number is kept and judged."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from tasks.records.base import SCHEMA, NewerRecordError, Record, StoredRecord, digest, read_row
from tasks.records.data import BatchRecord
from tasks.records.decision import MetricSet
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest
from tasks.records.rollout import Exposure
from tests.support.stored import AT, MODEL, RECORDS, newer
from tests.support.world import ROOT

KNOWN = ROOT / "tests" / "support" / "stored_schemas.json"
each = pytest.mark.parametrize("record", RECORDS, ids=lambda one: type(one).__name__)


def test_every_kind_has_an_example() -> None:
    texts = [
        path.read_text(encoding="utf-8")
        for room in ("perennial", "flows", "tasks")
        for path in (ROOT / room).rglob("*.py")
    ]
    kinds = {name for text in texts for name in re.findall(r"^class (\w+)\(StoredRecord\)", text, re.MULTILINE)}
    assert {type(one).__name__ for one in RECORDS} == kinds


@each
def test_what_was_stored_is_read(record: StoredRecord) -> None:
    document = json.loads(record.stored_json())
    assert document == record.document()
    assert document[SCHEMA] == record.schema_number
    assert type(record).model_validate_json(record.stored_json(indent=2)) == record


@each
def test_what_was_stored_before_there_were_numbers_is_read(record: StoredRecord) -> None:
    assert type(record).model_validate_json(record.model_dump_json()) == record


@each
def test_fields_of_a_newer_version_are_ignored_at_any_depth(record: StoredRecord) -> None:
    document = newer(record)
    assert document.keys() - type(record).model_fields.keys() == {SCHEMA, "of_a_newer_version"}
    assert type(record).model_validate_json(json.dumps(document)) == record


@each
def test_what_a_newer_version_left_out_is_told_as_such(record: StoredRecord) -> None:
    kind = type(record)
    needed = next(name for name, field in kind.model_fields.items() if field.is_required())
    document = {name: value for name, value in newer(record).items() if name != needed}
    number = kind.schema_number
    expected = (
        f"A stored {kind.__name__} was written by a newer version of Perennial: found schema {number + 1}, this "
        f"version knows {number}, and can't read it: {needed}: Field required"
    )
    with pytest.raises(NewerRecordError, match=re.escape(expected)):
        kind.model_validate_json(json.dumps(document))
    with pytest.raises(ValidationError):  # of this version: it is damaged
        kind.model_validate_json(json.dumps(document | {SCHEMA: number}))


def test_a_value_of_a_newer_version_is_told_as_such() -> None:
    text = Exposure(rollout=1, step=0, kind="shadow", share=0.0, since=AT).stored_json()
    later = json.dumps(json.loads(text) | {SCHEMA: 2, "kind": "mirror"})
    with pytest.raises(NewerRecordError, match=r"kind: Input should be 'shadow' or 'canary', found 'mirror'. Upgrade"):
        Exposure.model_validate_json(later)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": "x"}', b"\xff"])
def test_what_is_no_record_is_damaged(text: str | bytes) -> None:
    with pytest.raises(ValidationError):
        MetricsOfThree.model_validate_json(text)


class MetricsOfThree(StoredRecord):
    """A record whose field was renamed twice."""

    schema_number: ClassVar[int] = 3
    upgrades: ClassVar[Any] = {
        1: lambda old: {"second": old["first"]},
        2: lambda old: {"third": old["second"]},
    }
    third: int


@pytest.mark.parametrize("document", [{"first": 5}, {"schema": 2, "second": 5}, {"schema": 3, "third": 5}])
def test_older_ones_are_upgraded_step_by_step(document: dict[str, int]) -> None:
    assert MetricsOfThree.model_validate_json(json.dumps(document)).third == 5


def test_the_number_is_no_part_of_what_is_digested() -> None:
    """Nor is the path of a module: a fingerprint is of what it says."""
    parts = next(one.parts for one in RECORDS if isinstance(one, Manifest))
    assert parts.fingerprint == digest(
        {"config": {"a.b": 1}, "code": ["d"], "libraries": {"numpy": "2"}, "inputs": {"dataset": "d"}}
    )
    assert SCHEMA not in MODEL.model_dump()


def test_in_memory_an_unknown_field_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ModelRef.model_validate({**MODEL.model_dump(), "other": 1})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        MetricSet.model_validate({"rows": 1, "values": {}, "other": 1})


BATCH = {
    "seq": 1, "batch": "b", "feed": "observations", "path": "a.csv", "size": 1, "mtime_ns": 1, "verdict": "accepted",
    "rules": "r", "reasons": [], "rows": 1, "accepted": 1, "quarantined": 0, "event_time_min": None,
    "event_time_max": None, "ingested_at": AT,
}  # fmt: skip


def test_rows_of_older_and_newer_tables_are_read() -> None:
    plain = read_row(BatchRecord, BATCH, "The ledger")
    assert (plain.duplicates, plain.notes, plain.event_time_min) == (0, (), None)
    empty = {"duplicates": None, "superseded": None, "notes": None, "former": None}
    assert read_row(BatchRecord, {**BATCH, **empty, "of_a_newer_version": 5}, "The ledger") == plain


def test_a_value_of_a_newer_table_is_told_as_such() -> None:
    expected = (
        r"The ledger has a row that .* can't read: verdict: Input should be .*, found 'postponed'. A newer version"
    )
    with pytest.raises(NewerRecordError, match=expected):
        read_row(BatchRecord, {**BATCH, "verdict": "postponed"}, "The ledger")


def plain(schema: Any) -> Any:
    """A JSON schema without its words."""
    if isinstance(schema, dict):
        worded = {name for name in ("title", "description") if isinstance(schema.get(name), str)}
        return {name: plain(value) for name, value in schema.items() if name not in worded}
    return [plain(one) for one in schema] if isinstance(schema, list) else schema


def schemas() -> dict[str, dict[str, Any]]:
    """The number and the digest of each kind's schema."""
    kinds: list[type[Record]] = [type(one) for one in RECORDS]
    return {
        kind.__name__: {"schema": kind.schema_number, "digest": digest(plain(kind.model_json_schema()))[:16]}
        for kind in sorted(kinds, key=lambda one: one.__name__)
        if issubclass(kind, StoredRecord)
    }


def test_a_change_of_fields_comes_with_a_new_number() -> None:
    """Where this fails: raise `schema_number` of the kinds that differ, then bring their lines here up to date."""
    assert schemas() == json.loads(KNOWN.read_text(encoding="utf-8"))
