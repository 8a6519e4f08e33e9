"""What people read of validated batches."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.records.data import BatchRecord, ExpectationResult
from tasks.stores.markdown import cell


def batches_page(pipeline: str, judged: Sequence[tuple[BatchRecord, Sequence[ExpectationResult]]]) -> str:
    """A page in markdown: each file's verdict, rows and reasons, and the expectations that failed."""
    accepted = sum(record.verdict == "accepted" for record, _ in judged)
    lines = [
        f"# {pipeline}: {accepted} of {len(judged)} files accepted",
        "| file | verdict | rows | accepted | quarantined | duplicates | reasons and notes |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one, _ in judged:
        rows = f"{one.rows} | {one.accepted} | {one.quarantined} | {one.duplicates}"
        told = [*one.reasons, *one.notes]
        if one.superseded:
            told.append(f"{one.superseded} rows took the place of earlier ones")
        if one.former:
            told.append(f"another content came under this name before, as batch {one.former[:12]}")
        lines.append(f"| {cell(one.path)} | **{one.verdict}** | {rows} | {cell('; '.join(told))} |")
    failed = [(record, result) for record, results in judged for result in results if not result.success]
    if failed:
        lines += ["", "| file | expectation | column | severity | failing | detail |"]
        lines += ["| --- | --- | --- | --- | ---: | --- |"]
        lines += [
            f"| {cell(record.path)} | {one.expectation} | {one.column} | {one.severity} | {one.unexpected} "
            f"| {cell(one.detail)} |"
            for record, one in failed
        ]
    else:
        lines.append("\nEvery expectation holds.")
    return "\n".join(lines)
