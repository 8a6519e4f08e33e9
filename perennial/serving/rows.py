"""A request's rows: as the contract has them, and what each is known by."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from perennial.serving.body import RequestRows
from perennial.serving.loaded import ServedVersions
from perennial.serving.problem import FieldError, rejected_rows

TypedColumns = dict[str, Sequence[Any]]


class MissingColumnsError(Exception):
    """A challenger takes columns that callers do not send."""


def typed_columns(live: ServedVersions, sent: RequestRows) -> TypedColumns:
    """The rows as the contract has them.

    Raises:
        RefusedError: they do not keep it.
    """
    found: TypedColumns = {}
    wrong: list[FieldError] = []
    known: set[str] = set()
    for field in live.fields:
        known.update(field.names)
        name = next((one for one in field.names if one in sent.columns), None)
        if name is None:
            values, problems = field.absent(sent.rows)
        else:
            read = field.read_texts if sent.texts else field.read
            values, problems = read(sent.columns[name])
        found[field.name] = values
        wrong += problems
    for field in live.optional_fields:
        known.update(field.names)
        name = next((one for one in field.names if one in sent.columns), None)
        if name is not None:
            values, problems = (field.read_texts if sent.texts else field.read)(sent.columns[name])
            found[field.name] = values
            wrong += problems
    wrong += [FieldError(name, -1, description) for name, description in _unknown_columns(live, sent, known)]
    if wrong:
        raise rejected_rows(wrong)
    return found


def _unknown_columns(live: ServedVersions, sent: RequestRows, known: set[str]) -> list[tuple[str, str]]:
    contract = live.config.contract
    if contract.policies.unknown_columns != "reject":
        return []
    strange = [name for name in sent.columns if name not in known and name not in contract.columns]
    return [("columns", f"{len(strange)} that the contract does not have; it says to reject them")] if strange else []


def keys(live: ServedVersions, columns: TypedColumns) -> list[bytes]:
    """What each row is known by: its key, or all of it where it has none."""
    names = live.config.contract.key
    if not names or any(name not in columns for name in names):
        names = tuple(sorted(columns))
    return [repr(row).encode() for row in zip(*(columns[name] for name in names), strict=True)]


def fraction(key: bytes, salt: int) -> float:
    """Where a key lies in [0, 1): always the same within a rollout, elsewhere in the next."""
    mixed = blake2b(key, digest_size=8, salt=salt.to_bytes(8, "little", signed=True))
    return int.from_bytes(mixed.digest(), "little") / 2.0**64
