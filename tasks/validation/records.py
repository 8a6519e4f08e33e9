"""Table rows of a verdict: expectation results, and resolutions of readmitted quarantine entries."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from tasks.records.data import BatchRecord
from tasks.stores.lake.schemas import EXPECTATIONS, ORIGIN, RESOLUTIONS
from tasks.validation.verdicts import BatchVerdict

_ENTRY = re.compile(r"([0-9a-f]{12}):([0-9]+)")
_REPAIRS = re.compile(r"of-([0-9a-f]{64})--")


def expectation_rows(verdict: BatchVerdict, numbers: Mapping[str, int], at: datetime) -> pa.Table:
    """Return the rows for the table `expectations`."""
    file = verdict.batch.file
    rows = [
        {
            "batch": file.sha256,
            "seq": numbers[file.sha256],
            "path": file.path,
            "feed": file.feed,
            "number": number,
            **result.model_dump(exclude={"arguments", "observed", "sample"}),
            "arguments": json.dumps(result.arguments, default=str),
            "observed": json.dumps(result.observed),
            "sample": json.dumps(result.sample),
            "rows": verdict.batch.rows,
            "at": at,
        }
        for number, result in enumerate(verdict.results)
    ]
    return pa.Table.from_pylist(rows, schema=EXPECTATIONS)


def resolution_rows(verdict: BatchVerdict, ledger: Sequence[BatchRecord], at: datetime) -> pa.Table:
    """Return the rows for the table `resolutions`: quarantine entries readmitted with an accepted batch."""
    file = verdict.batch.file
    if file.origin != "readmitted" or verdict.validation is None:
        return RESOLUTIONS.empty_table()
    full_ids = {known.batch[:12]: known.batch for known in ledger}
    resolution = {"action": "readmitted", "into": file.sha256, "at": at}
    rows: list[dict[str, object]] = []
    repaired = _REPAIRS.search(file.path)
    if repaired:
        rows.append({"entry": repaired[1][:12], "batch": repaired[1], **resolution})
    if ORIGIN in verdict.validation.staged.schema.names:
        entries = verdict.validation.staged.columns([ORIGIN]).column(ORIGIN).to_pylist()
        for entry in entries:
            match = _ENTRY.fullmatch(entry or "")
            if match and match[1] in full_ids:
                rows.append({"entry": entry, "batch": full_ids[match[1]], "row": int(match[2]), **resolution})
    return pa.Table.from_pylist(rows, schema=RESOLUTIONS)
