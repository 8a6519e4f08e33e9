"""What is kept of a judgement beside its rows: what each expectation found, what became of quarantine's entries."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from tasks.records.data import BatchRecord
from tasks.stores.lake.schemas import EXPECTATIONS, ORIGIN, RESOLUTIONS
from tasks.validation.judge import Judgement

_ENTRY = re.compile(r"([0-9a-f]{12}):([0-9]+)")
_REPAIRS = re.compile(r"of-([0-9a-f]{64})--")


def expectation_rows(one: Judgement, numbers: Mapping[str, int], at: datetime) -> pa.Table:
    """Rows for the table `expectations`."""
    file = one.batch.file
    rows = [
        {
            "batch": file.sha256,
            "seq": numbers[file.sha256],
            "path": file.path,
            "feed": file.feed,
            "number": number,
            **found.model_dump(exclude={"arguments", "observed", "sample"}),
            "arguments": json.dumps(found.arguments, default=str),
            "observed": json.dumps(found.observed),
            "sample": json.dumps(found.sample),
            "rows": one.batch.rows,
            "at": at,
        }
        for number, found in enumerate(one.results)
    ]
    return pa.Table.from_pylist(rows, schema=EXPECTATIONS)


def resolution_rows(one: Judgement, ledger: Sequence[BatchRecord], at: datetime) -> pa.Table:
    """Rows for the table `resolutions`: entries of quarantine that came back with an accepted batch."""
    file = one.batch.file
    if file.origin != "readmitted" or one.case is None:
        return RESOLUTIONS.empty_table()
    whole = {known.batch[:12]: known.batch for known in ledger}
    told = {"action": "readmitted", "into": file.sha256, "at": at}
    rows: list[dict[str, object]] = []
    repaired = _REPAIRS.search(file.path)
    if repaired:
        rows.append({"entry": repaired[1][:12], "batch": repaired[1], **told})
    if ORIGIN in one.case.staged.schema.names:
        entries = one.case.staged.columns([ORIGIN]).column(ORIGIN).to_pylist()
        for entry in entries:
            found = _ENTRY.fullmatch(entry or "")
            if found and found[1] in whole:
                rows.append({"entry": entry, "batch": whole[found[1]], "row": int(found[2]), **told})
    return pa.Table.from_pylist(rows, schema=RESOLUTIONS)
