"""From a staged batch and its checks to a verdict: which rows come in, which are refused and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.refs import ExpectationResult, LandedFile
from tasks.stores.lake import QUARANTINE, ROW
from tasks.stores.staging import UNREADABLE
from tasks.validation.expectations import Check

_NONE = -1


@dataclass(frozen=True)
class Refusals:
    """Why rows are refused: for each row the number of its first reason in `names`, or -1, shape (n_rows,)."""

    reason: npt.NDArray[np.int32]
    names: tuple[str, ...]
    details: tuple[str, ...]

    @property
    def accepted(self) -> npt.NDArray[np.bool_]:
        """Rows with no reason against them, shape (n_rows,)."""
        return np.equal(self.reason, _NONE)

    def add(self, rows: npt.NDArray[np.bool_], name: str, detail: str) -> Refusals:
        """The same with one more reason; a row keeps the first it was given."""
        reason = np.where(self.accepted & rows, np.int32(len(self.names)), self.reason)
        return Refusals(reason, (*self.names, name), (*self.details, detail))

    def counts(self) -> dict[str, int]:
        """Refused rows by reason."""
        numbers, counts = np.unique(self.reason[~self.accepted], return_counts=True)
        return {self.names[number]: int(count) for number, count in zip(numbers, counts, strict=True)}


def from_checks(staged: pa.Table, checks: Sequence[Check]) -> Refusals:
    """Refusals by unreadable cells, then by the critical expectations about rows, in their order."""
    refusals = Refusals(np.full(staged.num_rows, _NONE, dtype=np.int32), (), ())
    unreadable = staged.column(UNREADABLE).is_valid().to_numpy()
    if unreadable.any():
        refusals = refusals.add(unreadable, "type", "not of the contract's type")
    for check in checks:
        if check.about_rows and check.rows and check.result.severity == "critical":
            rows = np.zeros(staged.num_rows, dtype=bool)
            rows[list(check.rows)] = True
            name = f"{check.result.expectation}({check.result.column})".replace("()", "")
            refusals = refusals.add(rows, name, check.result.detail)
    return refusals


def whole_file_reasons(checks: Sequence[Check], refusals: Refusals, max_share: float) -> list[str]:
    """Why the file as a whole is refused; empty where it comes in."""
    failed = [check for check in checks if not check.result.success and check.result.severity == "critical"]
    reasons = [_sentence(check.result) for check in failed if check.mostly or not check.about_rows]
    total, refused = len(refusals.reason), int((~refusals.accepted).sum())
    counts = ", ".join(f"{count} {name}" for name, count in refusals.counts().items())
    if total == 0:
        # An empty batch passes every column expectation: it is refused for itself.
        reasons.append("no rows; expected at least one")
    elif refused == total:
        reasons.append(f"no row is left: {total} of {total} refused ({counts})")
    elif refused / total > max_share:
        share = f"{refused} of {total} rows refused ({refused / total:.1%}), allowed {max_share:.1%}"
        reasons.append(f"{share}: {counts}")
    return reasons


def _sentence(result: ExpectationResult) -> str:
    where = f" of {result.column}" if result.column else ""
    return f"{result.expectation}{where}: {result.detail}"


def row_entries(staged: pa.Table, file: LandedFile, refusals: Refusals, key: Sequence[str], at: datetime) -> pa.Table:
    """The refused rows as entries for quarantine."""
    positions = np.flatnonzero(~refusals.accepted)
    rows = staged.take(pa.array(positions)).to_pylist()
    entries = [
        {
            **_origin(file, at),
            "kind": "row",
            "row": row[ROW],
            "expectation": refusals.names[refusals.reason[position]],
            "reason": _row_reason(row, refusals, int(refusals.reason[position])),
            "key": _json({name: row[name] for name in key}),
            "content": _json({name: value for name, value in row.items() if name != ROW and value is not None}),
        }
        for position, row in zip(positions, rows, strict=True)
    ]
    return pa.Table.from_pylist(entries, schema=QUARANTINE)


def file_entry(file: LandedFile, reasons: Sequence[str], at: datetime) -> pa.Table:
    """A file refused whole, as an entry for quarantine. The file itself stays where it landed."""
    entry = {**_origin(file, at), "kind": "file", "expectation": "file", "reason": "; ".join(reasons)}
    return pa.Table.from_pylist([entry], schema=QUARANTINE)


def _origin(file: LandedFile, at: datetime) -> dict[str, object]:
    return {"batch": file.sha256, "path": file.path, "feed": file.feed, "at": at}


def _row_reason(row: dict[str, object], refusals: Refusals, number: int) -> str:
    name, detail = refusals.names[number], refusals.details[number]
    if name == "type":
        return f"{detail}: {row[UNREADABLE]}"
    column = name.partition("(")[2].rstrip(")")
    value = f"{column} = {row[column]}" if column in row else ""
    return ", ".join(part for part in (value, detail) if part) or name


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
