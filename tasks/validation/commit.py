"""Validate staged batches and commit the results: each table once, the ledger last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Expectation
from configs.schema import PipelineConfig
from tasks.records.data import BatchRecord, ExpectationResult, Feed, StagedBatch, rules_digest
from tasks.stores.lake.delta import RowStream, TransactionRows
from tasks.stores.lake.partial_commits import partial_commits
from tasks.stores.lake.schemas import BATCH, ROW_ID
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state.first_validated import first_validated_at
from tasks.validation.duplicates import RowLookup
from tasks.validation.keys import Ids, isin_sorted
from tasks.validation.records import expectation_rows, resolution_rows
from tasks.validation.verdicts import BatchVerdict, decide_verdicts

CommittedBatch = tuple[BatchRecord, tuple[ExpectationResult, ...]]


def commit_batches(
    config: PipelineConfig,
    settings: Settings,
    batches: Sequence[StagedBatch],
    now: datetime,
    expected: Sequence[Expectation],
) -> list[CommittedBatch]:
    """Validate staged batches of one feed and commit the results. The data lock is held.

    Args:
        config: The pipeline.
        settings: Location of lake and state.
        batches: The batches.
        now: The run's clock.
        expected: The configuration's expectations, with their references filled in.

    Returns:
        Each batch's ledger record and expectation results.
    """
    lake = Lake(settings, config)
    ledger = lake.ledger()
    verdicts = _decide_verdicts(config, settings, lake, ledger, batches, now, expected)
    records = _write(config, lake, ledger, verdicts, now)
    return [(record, verdict.results) for record, verdict in zip(records, verdicts, strict=True)]


def _decide_verdicts(
    config: PipelineConfig,
    settings: Settings,
    lake: Lake,
    ledger: Sequence[BatchRecord],
    batches: Sequence[StagedBatch],
    now: datetime,
    expected: Sequence[Expectation],
) -> list[BatchVerdict]:
    feed, own = batches[0].file.feed, [batch.file.sha256 for batch in batches]
    validated_at = dict.fromkeys(own, now)
    if config.contract.policies.future != "accept":
        # A batch of an interrupted run is validated with the same clock again.
        validated_at = first_validated_at(settings, config.name, rules_digest(config), own, now)
    event_times = [
        one.event_time_max for one in ledger if one.feed == feed and one.event_time_max and one.batch not in set(own)
    ]
    partial = partial_commits(lake, feed, own)
    verdicts: dict[str, BatchVerdict] = {}
    # Batches of an interrupted run first, separately, so that the others are compared with their rows in the lake.
    for interrupted in (True, False):
        group = [one for one in batches if (one.file.sha256 in partial) == interrupted]
        if group:
            known = _row_lookup(lake, feed, list(partial) if interrupted else ())
            decided = decide_verdicts(
                config, group, known, max(event_times, default=None), validated_at, now, expected, partial
            )
            verdicts |= {one.batch.file.sha256: one for one in decided}
            event_times += [one.last_event for one in decided if one.last_event]
    return [verdicts[one] for one in own]


def _row_lookup(lake: Lake, feed: Feed, excluded: Sequence[str]) -> RowLookup:
    """Return a lookup of the lake's rows by id, without those of some batches."""
    not_excluded = ~pc.field(BATCH).isin(excluded) if excluded else None

    def lookup(ids: Ids, columns: Sequence[str]) -> pa.Table:
        ids_of_batches = [batch.column(0).to_numpy() for batch in lake.scan(feed, [ROW_ID], where=not_excluded)]
        matched = [batch_ids[isin_sorted(batch_ids, ids)] for batch_ids in ids_of_batches]
        if not any(batch_ids.size for batch_ids in matched):
            return lake.schema(feed).empty_table().select(columns)
        wanted = pc.field(ROW_ID).isin(pa.concat_arrays([pa.array(batch_ids) for batch_ids in matched]))
        return lake.read(feed, columns, where=wanted if not_excluded is None else not_excluded & wanted)

    return lookup


def _write(
    config: PipelineConfig, lake: Lake, ledger: Sequence[BatchRecord], verdicts: Sequence[BatchVerdict], now: datetime
) -> tuple[BatchRecord, ...]:
    """Commit the verdicts.

    The order matters: what an interrupted run leaves undone, the next run validates and writes again. Rows that are in
    the lake stay accepted, whatever the rules. Replaced rows are recorded before they are replaced.
    """
    feed, rules = verdicts[0].batch.file.feed, rules_digest(config)
    numbers = _sequence_numbers(lake, ledger, feed, [one.batch.file.sha256 for one in verdicts])

    def parts(rows: Iterable[tuple[BatchVerdict, pa.Table | RowStream]]) -> list[TransactionRows]:
        return [
            TransactionRows(_transaction_id(one, rules), numbers[one.batch.file.sha256], table) for one, table in rows
        ]

    _record_duplicates(lake, [one for one in verdicts if one.partial_commit is None], numbers)
    accepted = [one for one in verdicts if not one.reasons]
    new_batches = [one for one in accepted if one.partial_commit is None]
    rows = parts((one, one.rows(numbers[one.batch.file.sha256])) for one in new_batches)
    if any(one.superseded for one in new_batches):
        lake.merge_parts_once(feed, rows, [ROW_ID, *config.contract.key])
    else:
        lake.append_parts_once(feed, rows)
    lake.append_parts_once(
        "quarantine", parts((one, one.quarantine_entries) for one in verdicts if one.has_quarantine_entries)
    )
    results = [(one, expectation_rows(one, numbers, now)) for one in verdicts if one.results]
    lake.append_parts_once("expectations", parts(results))
    resolved = [(one, resolution_rows(one, ledger, now)) for one in accepted]
    lake.append_parts_once("resolutions", parts((one, table) for one, table in resolved if table.num_rows))
    records = tuple(_record(config, one, numbers, ledger, now) for one in verdicts)
    lake.append_ledger(records)
    return records


def _transaction_id(verdict: BatchVerdict, rules: str) -> str:
    """Return a batch's transaction id: it is accepted once, but can be rejected once by each version of the rules."""
    return f"{verdict.batch.file.sha256}:{rules}" if verdict.reasons else verdict.batch.file.sha256


def _record_duplicates(lake: Lake, verdicts: Sequence[BatchVerdict], numbers: Mapping[str, int]) -> None:
    """Record the duplicates of batches that are not committed yet.

    If a run was interrupted between this and their rows, other files may have landed since with other rows of the same
    keys, so what it recorded is replaced.
    """
    recorded = lake.transactions("duplicates", [one.batch.file.sha256 for one in verdicts])
    rewritten = [one for one in verdicts if one.batch.file.sha256 in recorded]
    if rewritten:
        batches = ", ".join(f"'{one.batch.file.sha256}'" for one in rewritten)
        lake.replace("duplicates", pa.concat_tables([one.duplicates for one in rewritten]), f"by IN ({batches})")
    unrecorded = [one for one in verdicts if one.batch.file.sha256 not in recorded and one.duplicates.num_rows]
    lake.append_parts_once(
        "duplicates",
        [TransactionRows(one.batch.file.sha256, numbers[one.batch.file.sha256], one.duplicates) for one in unrecorded],
    )


def _record(
    config: PipelineConfig,
    verdict: BatchVerdict,
    numbers: Mapping[str, int],
    ledger: Sequence[BatchRecord],
    now: datetime,
) -> BatchRecord:
    file = verdict.batch.file
    same_name = [known for known in ledger if (known.feed, known.path) == (file.feed, file.path)]
    former = next((known.batch for known in reversed(same_name) if known.batch != file.sha256), None)
    return BatchRecord(
        seq=numbers[file.sha256],
        batch=file.sha256,
        feed=file.feed,
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
        verdict="rejected" if verdict.reasons else "accepted",
        rules=rules_digest(config),
        reasons=verdict.reasons,
        rows=verdict.batch.rows,
        accepted=verdict.accepted,
        quarantined=verdict.quarantined,
        duplicates=verdict.n_duplicates,
        superseded=verdict.superseded,
        former=former,
        notes=verdict.batch.notes,
        event_time_min=verdict.first_event,
        event_time_max=verdict.last_event,
        ingested_at=now,
    )


def _sequence_numbers(lake: Lake, ledger: Sequence[BatchRecord], feed: Feed, hashes: Sequence[str]) -> dict[str, int]:
    """Return the batches' sequence numbers: those reserved by an interrupted run, or the next ones."""
    reserved = lake.transactions(feed, hashes)
    others = [int(str(one["seq"])) for table in lake.feeds for one in lake.orphans(table, ledger)]
    highest = max([*(known.seq for known in ledger), *others, *reserved.values()], default=0)
    unnumbered = [one for one in hashes if one not in reserved]
    return {**reserved, **{one: number for number, one in enumerate(unnumbered, start=highest + 1)}}
