"""The judgement of staged batches: from rows to what comes in, what is refused and why, what is a duplicate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from configs.contract import Expectation
from configs.schema import PipelineConfig
from tasks.records.data import ExpectationResult, StagedBatch
from tasks.stores.lake.delta import RowStream
from tasks.stores.lake.partial_commits import PartialCommit
from tasks.stores.lake.schemas import BATCH, DUPLICATES, ORIGIN, PROVENANCE, QUARANTINE, ROW, ROW_ID, SEQ
from tasks.stores.lake.staging import UNREADABLE
from tasks.validation import contract, duplicates, entries
from tasks.validation.case import Case, examine, span
from tasks.validation.duplicates import Known
from tasks.validation.expectations import questions
from tasks.validation.reasons import with_example

_NONE = QUARANTINE.empty_table()


@dataclass(frozen=True)
class Judgement:
    """What becomes of a batch.

    Attributes:
        reasons: Why the file as a whole is refused; empty where it comes in.
        refused: Entries for quarantine.
        duplicates: Entries for the table `duplicates`.
        results: What each expectation found.
        accepted: Rows that come in.
        lost: Rows that another one stands for.
        superseded: Rows of the lake that this file's take the place of.
        first, last: First and last event time of the rows that come in.
        case: The file's rows; None where it could not be read.
        left: What came of it before in a run that was killed. It stands: what came in does not come in again.
    """

    batch: StagedBatch
    reasons: tuple[str, ...]
    refused: pa.Table | RowStream
    duplicates: pa.Table
    results: tuple[ExpectationResult, ...]
    accepted: int = 0
    lost: int = 0
    superseded: int = 0
    first: datetime | None = None
    last: datetime | None = None
    case: Case | None = None
    left: PartialCommit | None = None

    @property
    def refuses(self) -> bool:
        """Whether anything of it goes to quarantine."""
        return isinstance(self.refused, RowStream) or self.refused.num_rows > 0

    @property
    def quarantined(self) -> int:
        """Rows in quarantine, by themselves or with the whole file."""
        return self.batch.rows - self.accepted - self.lost

    def rows(self, seq: int) -> RowStream:
        """The rows that come in, with their provenance under the batch's sequence number."""
        assert self.case is not None  # noqa: S101  # a file that could not be read is refused
        return _accepted(self.case, seq)


def judge(
    config: PipelineConfig,
    batches: Sequence[StagedBatch],
    known: Known,
    newest: datetime | None,
    clocks: Mapping[str, datetime],
    at: datetime,
    expected: Sequence[Expectation],
    left: Mapping[str, PartialCommit],
) -> list[Judgement]:
    """Judge staged batches of one feed, in their order.

    Args:
        config: The pipeline.
        batches: The batches; those that could not be read are refused for that.
        known: Gives the lake's rows, of other batches, by their ids.
        newest: Newest event time that came in with earlier files.
        clocks: The clock that each batch is judged by.
        at: The run's clock.
        expected: The expectations of the configuration, with what they refer to filled in.
        left: What came of the batches before in a run that was killed.
    """
    feed = batches[0].file.feed
    types = {name: column.type for name, column in config.columns_of(feed).items()}
    asked = questions(contract.suite(config, feed, expected), types)
    cases = {
        number: Case(config, one, asked, newest, clocks[one.file.sha256])
        for number, one in enumerate(batches)
        if not one.refusal
    }
    found = iter(_judge(config, list(cases.values()), list(types), known, at, left) if cases else ())
    return [
        next(found) if number in cases else _unread(one, at, left.get(one.file.sha256))
        for number, one in enumerate(batches)
    ]


def _judge(
    config: PipelineConfig,
    cases: Sequence[Case],
    columns: Sequence[str],
    known: Known,
    at: datetime,
    left: Mapping[str, PartialCommit],
) -> list[Judgement]:
    examine(cases, columns)
    reasons = [tuple(case.reasons()) for case in cases]
    live = [number for number, told in enumerate(reasons) if not told]
    found = duplicates.settle(config, cases, live, known)
    if config.contract.policies.duplicate_key != "reject":
        return [_judgement(config, cases, number, told, found, at, left) for number, told in enumerate(reasons)]
    for number in tuple(live):
        duplicates.refuse(cases[number], number, found)
        reasons[number] = tuple(cases[number].reasons())
        if reasons[number]:  # so its rows are no reason against those of the files that follow
            live.remove(number)
            found = duplicates.settle(config, cases, live, known)
    return [_judgement(config, cases, number, told, None, at, left) for number, told in enumerate(reasons)]


def _judgement(
    config: PipelineConfig,
    cases: Sequence[Case],
    number: int,
    reasons: tuple[str, ...],
    found: duplicates.Settled | None,
    at: datetime,
    left: Mapping[str, PartialCommit],
) -> Judgement:
    case = cases[number]
    recorded, superseded = DUPLICATES.empty_table(), 0
    stands = left.get(case.batch.file.sha256)
    if stands is not None:
        reasons, superseded = (), stands.superseded
        case.stand(stands)
    elif found is not None and not reasons:
        recorded, superseded = duplicates.record(config, cases, number, found, at)
    elif reasons and case.loses_too_much:
        reasons = (*reasons[:-1], with_example(case, reasons[-1]))
    first, last = (None, None) if reasons else span(case, config.contract.event_time)
    return Judgement(
        batch=case.batch,
        reasons=reasons,
        refused=_refused(config, case, reasons, at),
        duplicates=recorded,
        results=tuple(tally.result for tally in case.tallies),
        accepted=0 if reasons else int(case.refusals.accepted.sum()),
        lost=0 if reasons else case.refusals.duplicates,
        superseded=superseded,
        first=first,
        last=last,
        case=case,
        left=stands,
    )


def _refused(config: PipelineConfig, case: Case, reasons: Sequence[str], at: datetime) -> pa.Table | RowStream:
    """Entries for quarantine; none for a refused file that quarantine gave back: its rows are still in there."""
    if not reasons:
        return entries.row_entries(case, config.contract.key, at) if case.refusals.refused.any() else _NONE
    return _NONE if case.batch.file.origin == "readmitted" else entries.file_entry(case.batch.file, reasons, at)


def _unread(batch: StagedBatch, at: datetime, left: PartialCommit | None) -> Judgement:
    """A file that could not be read is refused for that, but for rows that came in when it could."""
    if left is not None:
        rows, lost = len(left.rows), len(left.duplicates)
        batch = batch.model_copy(update={"rows": rows + lost, "notes": (*batch.notes, f"warning: {batch.refusal}")})
        return Judgement(batch, (), _NONE, DUPLICATES.empty_table(), (), rows, lost, left.superseded, left=left)
    refused = _NONE if batch.file.origin == "readmitted" else entries.file_entry(batch.file, [batch.refusal], at)
    return Judgement(batch, (batch.refusal,), refused, DUPLICATES.empty_table(), ())


def _accepted(case: Case, seq: int) -> RowStream:
    """The rows of a file that come in, provenance columns last and in order."""
    provenance = {field.name for field in PROVENANCE}
    data = [field for field in case.staged.schema if field.name not in {*provenance, UNREADABLE, ORIGIN}]
    schema = pa.schema([*data, *PROVENANCE])
    names = [field.name for field in data]

    def batches() -> Iterator[pa.RecordBatch]:
        accepted = case.refusals.accepted
        for piece in case.pieces([*names, ROW]):
            mine = accepted[piece.positions]
            kept = pa.array(mine)
            rows = piece.rows if mine.all() else piece.rows.filter(kept)
            if not rows.num_rows:
                continue
            known = {
                ROW_ID: pa.array(case.ids[piece.positions]).filter(kept),
                SEQ: pa.repeat(pa.scalar(seq, pa.int64()), rows.num_rows),
                BATCH: pa.repeat(pa.scalar(case.batch.file.sha256), rows.num_rows),
            }
            arrays = [known[name] if name in known else rows.column(name) for name in schema.names]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return RowStream(schema, batches)
