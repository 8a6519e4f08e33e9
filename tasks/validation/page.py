"""The markdown page of validated batches."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.records.data import BatchRecord, ExpectationResult
from tasks.stores.markdown import cell


def batches_page(pipeline: str, validated: Sequence[tuple[BatchRecord, Sequence[ExpectationResult]]]) -> str:
    """Return a page in markdown: each file's verdict, rows and reasons, and the failed expectations."""
    accepted = sum(record.verdict == "accepted" for record, _ in validated)
    lines = [
        f"# {pipeline}: {accepted} of {len(validated)} files accepted",
        "| file | verdict | rows | accepted | quarantined | duplicates | reasons and notes |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one, _ in validated:
        rows = f"{one.rows} | {one.accepted} | {one.quarantined} | {one.duplicates}"
        details = [*one.reasons, *one.notes]
        if one.superseded:
            details.append(f"{one.superseded} earlier rows replaced")
        if one.former:
            details.append(f"another file with this name was ingested before, as batch {one.former[:12]}")
        lines.append(f"| {cell(one.path)} | **{one.verdict}** | {rows} | {cell('; '.join(details))} |")
    failed = [(record, result) for record, results in validated for result in results if not result.success]
    if failed:
        lines += ["", "| file | expectation | column | severity | failing | detail |"]
        lines += ["| --- | --- | --- | --- | ---: | --- |"]
        lines += [
            f"| {cell(record.path)} | {one.expectation} | {one.column} | {one.severity} | {one.unexpected} "
            f"| {cell(one.detail)} |"
            for record, one in failed
        ]
    else:
        lines.append("\nAll expectations passed.")
    return "\n".join(lines)
