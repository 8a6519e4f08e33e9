"""Judge staged batches, and write what comes of them: each part once, the ledger last."""

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
from tasks.stores.state.first_judged import first_judged_at
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
        clocks = first_judged_at(settings, config.name, rules_digest(config), own, now)
    came = [
        one.event_time_max for one in ledger if one.feed == feed and one.event_time_max and one.batch not in set(own)
    ]
    left = partial_commits(lake, feed, own)
    found: dict[str, Judgement] = {}
    # Those of a killed run first, by themselves, as they were then: the others are held against their rows in the lake.
    for again in (True, False):
        part = [one for one in batches if (one.file.sha256 in left) == again]
        if part:
            known = _known(lake, feed, list(left) if again else ())
            judged = judge(config, part, known, max(came, default=None), clocks, now, expected, left)
            found |= {one.batch.file.sha256: one for one in judged}
            came += [one.last for one in judged if one.last]
    return [found[one] for one in own]


def _known(lake: Lake, feed: Feed, left: Sequence[str]) -> Known:
    """Gives rows of the lake by their ids, but for those of some batches."""
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

    In this order: whatever a kill leaves undone, the next run judges again and writes. What came in, came in: once the
    rows are in the lake they stand, by whatever rules. Rows that are replaced are on record before they are.
    """
    feed, rules = found[0].batch.file.feed, rules_digest(config)
    numbers = _sequences(lake, ledger, feed, [one.batch.file.sha256 for one in found])

    def parts(rows: Iterable[tuple[Judgement, pa.Table | RowStream]]) -> list[TransactionRows]:
        return [TransactionRows(_once(one, rules), numbers[one.batch.file.sha256], table) for one, table in rows]

    _record_duplicates(lake, [one for one in found if one.left is None], numbers)
    accepted = [one for one in found if not one.reasons]
    fresh = [one for one in accepted if one.left is None]
    rows = parts((one, one.rows(numbers[one.batch.file.sha256])) for one in fresh)
    if any(one.superseded for one in fresh):
        lake.merge_parts_once(feed, rows, [ROW_ID, *config.contract.key])
    else:
        lake.append_parts_once(feed, rows)
    lake.append_parts_once("quarantine", parts((one, one.refused) for one in found if one.refuses))
    results = [(one, expectation_rows(one, numbers, now)) for one in found if one.results]
    lake.append_parts_once("expectations", parts(results))
    resolved = [(one, resolution_rows(one, ledger, now)) for one in accepted]
    lake.append_parts_once("resolutions", parts((one, table) for one, table in resolved if table.num_rows))
    records = tuple(_record(config, one, numbers, ledger, now) for one in found)
    lake.append_ledger(records)
    return records


def _once(one: Judgement, rules: str) -> str:
    """What a batch's parts are written under: it comes in once, but may be refused by one rule after the other."""
    return f"{one.batch.file.sha256}:{rules}" if one.reasons else one.batch.file.sha256


def _record_duplicates(lake: Lake, found: Sequence[Judgement], numbers: Mapping[str, int]) -> None:
    """Note the duplicates of batches that did not come in yet.

    Where a run was killed between this and their rows, other files may have landed since, with other rows that stand
    for theirs: so what it noted is replaced.
    """
    noted = lake.transactions("duplicates", [one.batch.file.sha256 for one in found])
    anew = [one for one in found if one.batch.file.sha256 in noted]
    if anew:
        batches = ", ".join(f"'{one.batch.file.sha256}'" for one in anew)
        lake.replace("duplicates", pa.concat_tables([one.duplicates for one in anew]), f"by IN ({batches})")
    fresh = [one for one in found if one.batch.file.sha256 not in noted and one.duplicates.num_rows]
    lake.append_parts_once(
        "duplicates",
        [TransactionRows(one.batch.file.sha256, numbers[one.batch.file.sha256], one.duplicates) for one in fresh],
    )


def _record(
    config: PipelineConfig,
    one: Judgement,
    numbers: Mapping[str, int],
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
        superseded=one.superseded,
        former=former,
        notes=one.batch.notes,
        event_time_min=one.first,
        event_time_max=one.last,
        ingested_at=now,
    )


def _sequences(lake: Lake, ledger: Sequence[BatchRecord], feed: Feed, hashes: Sequence[str]) -> dict[str, int]:
    """The batches' numbers: those that a killed run gave them, or the next."""
    given = lake.transactions(feed, hashes)
    others = [int(str(one["seq"])) for table in lake.feeds for one in lake.orphans(table, ledger)]
    highest = max([*(known.seq for known in ledger), *others, *given.values()], default=0)
    fresh = [one for one in hashes if one not in given]
    return {**given, **{one: number for number, one in enumerate(fresh, start=highest + 1)}}
