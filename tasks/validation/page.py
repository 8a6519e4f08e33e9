"""What people read of a validated batch."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.refs import BatchRecord, ExpectationResult


def batch_page(record: BatchRecord, results: Sequence[ExpectationResult], counts: dict[str, int]) -> str:
    """A batch's page in markdown: verdict, rows, reasons, expectations that failed."""
    lines = [
        f"# {record.path}: {record.verdict}",
        f"{record.feed}: {record.rows} rows, {record.accepted} accepted, {record.quarantined} in quarantine.",
        *(f"- {reason}" for reason in record.reasons),
    ]
    if counts:
        lines += ["", "| reason | rows |", "| --- | ---: |"]
        lines += [f"| {name} | {count} |" for name, count in counts.items()]
    failed = [one for one in results if not one.success]
    if failed:
        lines += ["", "| expectation | column | severity | failing | found |", "| --- | --- | --- | ---: | --- |"]
        lines += [
            f"| {one.expectation} | {one.column} | {one.severity} | {one.unexpected} | {one.detail} |" for one in failed
        ]
    else:
        lines.append(f"\nAll {len(results)} expectations hold.")
    return "\n".join(lines)
