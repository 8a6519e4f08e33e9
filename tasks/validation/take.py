"""Judge staged batches, and write what comes of them: each part once, the ledger last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Expectation
from configs.schema import PipelineConfig
from tasks.refs import BatchRecord, ExpectationResult, Feed, StagedBatch, rules_digest
from tasks.stores.clocks import first_clocks
from tasks.stores.delta import Part
from tasks.stores.lake import BATCH, ROW_ID, Lake
from tasks.stores.settings import Settings
from tasks.validation.duplicates import Known
from tasks.validation.judge import Judgement, judge
from tasks.validation.keys import Ids, among
from tasks.validation.records import expectation_rows, resolution_rows

Taken = tuple[BatchRecord, tuple[ExpectationResult, ...]]


def take(
    config: PipelineConfig,
    settings: Settings,
    batches: Sequence[StagedBatch],
    now: datetime,
    expected: Sequence[Expectation],
) -> list[Taken]:
    """Judge staged batches of one feed and write what comes of them. The data lock is held.

    Args:
        config: The pipeline.
        settings: Say where the lake and the state are.
        batches: The batches.
        now: The run's clock.
        expected: The configuration's expectations, with what they refer to filled in.

    Returns:
        Each batch's row of the ledger, and what each expectation found.
    """
    lake = Lake(settings, config)
    ledger = lake.ledger()
    found = _judge(config, settings, lake, ledger, batches, now, expected)
    records = _write(config, lake, ledger, found, now)
    return [(record, one.results) for record, one in zip(records, found, strict=True)]


def _judge(
    config: PipelineConfig,
    settings: Settings,
    lake: Lake,
    ledger: Sequence[BatchRecord],
    batches: Sequence[StagedBatch],
    now: datetime,
    expected: Sequence[Expectation],
) -> list[Judgement]:
    feed, own = batches[0].file.feed, [batch.file.sha256 for batch in batches]
    clocks = dict.fromkeys(own, now)
    if config.contract.policies.future != "accept":
        # A batch that a killed run left is judged again as it was.
        clocks = first_clocks(settings, config.name, rules_digest(config), own, now)
    came = [
        one.event_time_max for one in ledger if one.feed == feed and one.event_time_max and one.batch not in set(own)
    ]
    return judge(config, batches, _known(lake, feed, own), max(came, default=None), clocks, now, expected)


def _known(lake: Lake, feed: Feed, own: Sequence[str]) -> Known:
    """Gives rows of the lake by their ids. Those of the batches themselves, which a killed run left, are left out."""
    left = list(lake.transactions(feed, own))
    others = ~pc.field(BATCH).isin(left) if left else None

    def known(ids: Ids, columns: Sequence[str]) -> pa.Table:
        found = [batch.column(0).to_numpy() for batch in lake.scan(feed, [ROW_ID], where=others)]
        matched = [some[among(some, ids)] for some in found]
        if not any(some.size for some in matched):
            return lake.schema(feed).empty_table().select(columns)
        wanted = pc.field(ROW_ID).isin(pa.concat_arrays([pa.array(some) for some in matched]))
        return lake.read(feed, columns, where=wanted if others is None else others & wanted)

    return known


def _write(
    config: PipelineConfig, lake: Lake, ledger: Sequence[BatchRecord], found: Sequence[Judgement], now: datetime
) -> tuple[BatchRecord, ...]:
    """Write what comes of the batches.

    In this order: whatever a kill leaves undone, the batches are judged again, alike, and the rest is written then.
    Rows of the lake that are replaced are on record before they are.
    """
    feed, rules = found[0].batch.file.feed, rules_digest(config)
    numbers = _sequences(lake, ledger, feed, [one.batch.file.sha256 for one in found])

    def parts(rows: Sequence[tuple[Judgement, pa.Table]]) -> list[Part]:
        return [
            Part(f"{one.batch.file.sha256}:{rules}", numbers[one.batch.file.sha256], table)
            for one, table in rows
            if table.num_rows
        ]

    replaced = _replaced(lake, found, rules)
    lake.append_parts_once("duplicates", parts([(one, one.duplicates) for one in found]))
    accepted = [one for one in found if not one.reasons]
    rows = [
        Part(one.batch.file.sha256, numbers[one.batch.file.sha256], one.rows(numbers[one.batch.file.sha256]))
        for one in accepted
    ]
    if any(one.superseded for one in accepted):
        lake.merge_parts_once(feed, rows, [ROW_ID, *config.contract.key])
    else:
        lake.append_parts_once(feed, rows)
    refused = [
        Part(f"{one.batch.file.sha256}:{rules}", numbers[one.batch.file.sha256], one.refused)
        for one in found
        if one.refuses
    ]
    lake.append_parts_once("quarantine", refused)
    lake.append_parts_once("expectations", parts([(one, expectation_rows(one, numbers, now)) for one in found]))
    lake.append_parts_once("resolutions", parts([(one, resolution_rows(one, ledger, now)) for one in accepted]))
    records = tuple(_record(config, one, numbers, replaced, ledger, now) for one in found)
    lake.enter(records)
    return records


def _replaced(lake: Lake, found: Sequence[Judgement], rules: str) -> dict[str, int]:
    """Rows of the lake that each batch replaces. Where a killed run replaced them already, its record counts."""
    names = {f"{one.batch.file.sha256}:{rules}": one for one in found}
    counts = {one.batch.file.sha256: one.superseded for one in found}
    for name in lake.transactions("duplicates", names):
        batch = names[name].batch.file.sha256
        mine = (pc.field("by") == batch) & (pc.field("kind") == "superseded")
        counts[batch] = lake.read("duplicates", ["by"], where=mine).num_rows
    return counts


def _record(
    config: PipelineConfig,
    one: Judgement,
    numbers: dict[str, int],
    replaced: dict[str, int],
    ledger: Sequence[BatchRecord],
    now: datetime,
) -> BatchRecord:
    file = one.batch.file
    same_name = [known for known in ledger if (known.feed, known.path) == (file.feed, file.path)]
    former = next((known.batch for known in reversed(same_name) if known.batch != file.sha256), None)
    return BatchRecord(
        seq=numbers[file.sha256],
        batch=file.sha256,
        feed=file.feed,
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
        verdict="rejected" if one.reasons else "accepted",
        rules=rules_digest(config),
        reasons=one.reasons,
        rows=one.batch.rows,
        accepted=one.accepted,
        quarantined=one.quarantined,
        duplicates=one.lost,
        superseded=replaced[file.sha256],
        former=former,
        notes=one.batch.notes,
        event_time_min=one.first,
        event_time_max=one.last,
        ingested_at=now,
    )


def _sequences(lake: Lake, ledger: Sequence[BatchRecord], feed: Feed, hashes: Sequence[str]) -> dict[str, int]:
    """The batches' numbers: those that a killed run gave them, or the next."""
    given = lake.transactions(feed, hashes)
    highest = max([*(known.seq for known in ledger), *given.values()], default=0)
    fresh = [one for one in hashes if one not in given]
    return {**given, **{one: number for number, one in enumerate(fresh, start=highest + 1)}}
