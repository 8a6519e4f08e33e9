"""Verdicts on staged batches: accepted rows, rejected rows with reasons, and duplicates."""

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
from tasks.validation.duplicates import RowLookup
from tasks.validation.expectations import prepare_expectations
from tasks.validation.file_validation import FileValidation, event_time_range, validate_files
from tasks.validation.reasons import with_example

_NONE = QUARANTINE.empty_table()


@dataclass(frozen=True)
class BatchVerdict:
    """The verdict on a batch.

    Attributes:
        reasons: Reasons to reject the whole file; empty if it is accepted.
        quarantine_entries: Entries for quarantine.
        duplicates: Entries for the table `duplicates`.
        results: The result of each expectation.
        accepted: Number of accepted rows.
        n_duplicates: Number of duplicate rows.
        superseded: Number of rows of the lake that this file replaces.
        first_event, last_event: First and last event time of the accepted rows.
        validation: The file's validation; None if it could not be read.
        partial_commit: What an interrupted run has already committed of it; it is not committed again.
    """

    batch: StagedBatch
    reasons: tuple[str, ...]
    quarantine_entries: pa.Table | RowStream
    duplicates: pa.Table
    results: tuple[ExpectationResult, ...]
    accepted: int = 0
    n_duplicates: int = 0
    superseded: int = 0
    first_event: datetime | None = None
    last_event: datetime | None = None
    validation: FileValidation | None = None
    partial_commit: PartialCommit | None = None

    @property
    def has_quarantine_entries(self) -> bool:
        """Whether there are entries for quarantine."""
        return isinstance(self.quarantine_entries, RowStream) or self.quarantine_entries.num_rows > 0

    @property
    def quarantined(self) -> int:
        """Number of rows in quarantine, as rows or with the whole file."""
        return self.batch.rows - self.accepted - self.n_duplicates

    def rows(self, seq: int) -> RowStream:
        """Return the accepted rows, with provenance columns and the batch's sequence number."""
        assert self.validation is not None  # noqa: S101  # an unreadable file is rejected
        return _accepted(self.validation, seq)


def decide_verdicts(
    config: PipelineConfig,
    batches: Sequence[StagedBatch],
    lookup: RowLookup,
    newest_event: datetime | None,
    first_validated_at: Mapping[str, datetime],
    at: datetime,
    expected: Sequence[Expectation],
    partial_commits: Mapping[str, PartialCommit],
) -> list[BatchVerdict]:
    """Return the verdicts on staged batches of one feed, in their order.

    Args:
        config: The pipeline.
        batches: The batches; those that could not be read are rejected.
        lookup: Returns the lake's rows, of other batches, by their ids.
        newest_event: Newest event time of the files accepted before.
        first_validated_at: When each batch was first validated; the `future` policy compares with it.
        at: The run's clock.
        expected: The expectations of the configuration, with their references filled in.
        partial_commits: What an interrupted run has already committed, by batch.
    """
    feed = batches[0].file.feed
    types = {name: column.type for name, column in config.columns_of(feed).items()}
    expectations = prepare_expectations(contract.suite(config, feed, expected), types)
    validations = {
        number: FileValidation(config, batch, expectations, newest_event, first_validated_at[batch.file.sha256])
        for number, batch in enumerate(batches)
        if not batch.refusal
    }
    verdicts = iter(
        _decide(config, list(validations.values()), list(types), lookup, at, partial_commits) if validations else ()
    )
    return [
        next(verdicts)
        if number in validations
        else _unreadable_verdict(batch, at, partial_commits.get(batch.file.sha256))
        for number, batch in enumerate(batches)
    ]


def _decide(
    config: PipelineConfig,
    validations: Sequence[FileValidation],
    columns: Sequence[str],
    lookup: RowLookup,
    at: datetime,
    partial_commits: Mapping[str, PartialCommit],
) -> list[BatchVerdict]:
    validate_files(validations, columns)
    reasons = [tuple(validation.reasons()) for validation in validations]
    accepted = [number for number, file_reasons in enumerate(reasons) if not file_reasons]
    resolution = duplicates.resolve_duplicates(config, validations, accepted, lookup)
    if config.contract.policies.duplicate_key != "reject":
        return [
            _verdict(config, validations, number, file_reasons, resolution, at, partial_commits)
            for number, file_reasons in enumerate(reasons)
        ]
    for number in tuple(accepted):
        duplicates.reject_duplicates(validations[number], number, resolution)
        reasons[number] = tuple(validations[number].reasons())
        if reasons[number]:  # so its rows do not make those of later files duplicates
            accepted.remove(number)
            resolution = duplicates.resolve_duplicates(config, validations, accepted, lookup)
    return [
        _verdict(config, validations, number, file_reasons, None, at, partial_commits)
        for number, file_reasons in enumerate(reasons)
    ]


def _verdict(
    config: PipelineConfig,
    validations: Sequence[FileValidation],
    number: int,
    reasons: tuple[str, ...],
    resolution: duplicates.DuplicateResolution | None,
    at: datetime,
    partial_commits: Mapping[str, PartialCommit],
) -> BatchVerdict:
    validation = validations[number]
    recorded, superseded = DUPLICATES.empty_table(), 0
    partial_commit = partial_commits.get(validation.batch.file.sha256)
    if partial_commit is not None:
        reasons, superseded = (), partial_commit.superseded
        validation.restore(partial_commit)
    elif resolution is not None and not reasons:
        recorded, superseded = duplicates.duplicate_entries(config, validations, number, resolution, at)
    elif reasons and validation.exceeds_rejection_limit:
        reasons = (*reasons[:-1], with_example(validation, reasons[-1]))
    first_event, last_event = (None, None) if reasons else event_time_range(validation, config.contract.event_time)
    return BatchVerdict(
        batch=validation.batch,
        reasons=reasons,
        quarantine_entries=_quarantine_entries(config, validation, reasons, at),
        duplicates=recorded,
        results=tuple(stat.result for stat in validation.stats),
        accepted=0 if reasons else int(validation.rejections.accepted.sum()),
        n_duplicates=0 if reasons else validation.rejections.duplicates,
        superseded=superseded,
        first_event=first_event,
        last_event=last_event,
        validation=validation,
        partial_commit=partial_commit,
    )


def _quarantine_entries(
    config: PipelineConfig, validation: FileValidation, reasons: Sequence[str], at: datetime
) -> pa.Table | RowStream:
    """Return the quarantine entries; none for a rejected readmitted file, whose rows are still in quarantine."""
    if not reasons:
        return (
            entries.row_entries(validation, config.contract.key, at) if validation.rejections.rejected.any() else _NONE
        )
    return (
        _NONE
        if validation.batch.file.origin == "readmitted"
        else entries.file_entry(validation.batch.file, reasons, at)
    )


def _unreadable_verdict(batch: StagedBatch, at: datetime, partial_commit: PartialCommit | None) -> BatchVerdict:
    """Return the verdict on an unreadable file: rejected, except for rows committed before."""
    if partial_commit is not None:
        rows, n_duplicates = len(partial_commit.rows), len(partial_commit.duplicates)
        batch = batch.model_copy(
            update={"rows": rows + n_duplicates, "notes": (*batch.notes, f"warning: {batch.refusal}")}
        )
        return BatchVerdict(
            batch,
            (),
            _NONE,
            DUPLICATES.empty_table(),
            (),
            rows,
            n_duplicates,
            partial_commit.superseded,
            partial_commit=partial_commit,
        )
    quarantine_entries = (
        _NONE if batch.file.origin == "readmitted" else entries.file_entry(batch.file, [batch.refusal], at)
    )
    return BatchVerdict(batch, (batch.refusal,), quarantine_entries, DUPLICATES.empty_table(), ())


def _accepted(validation: FileValidation, seq: int) -> RowStream:
    """RowStream the accepted rows of a file, provenance columns last and in order."""
    provenance = {field.name for field in PROVENANCE}
    data = [field for field in validation.staged.schema if field.name not in {*provenance, UNREADABLE, ORIGIN}]
    schema = pa.schema([*data, *PROVENANCE])
    names = [field.name for field in data]

    def batches() -> Iterator[pa.RecordBatch]:
        accepted = validation.rejections.accepted
        for piece in validation.pieces([*names, ROW]):
            mask = accepted[piece.positions]
            kept = pa.array(mask)
            rows = piece.rows if mask.all() else piece.rows.filter(kept)
            if not rows.num_rows:
                continue
            provenance_columns = {
                ROW_ID: pa.array(validation.ids[piece.positions]).filter(kept),
                SEQ: pa.repeat(pa.scalar(seq, pa.int64()), rows.num_rows),
                BATCH: pa.repeat(pa.scalar(validation.batch.file.sha256), rows.num_rows),
            }
            arrays = [
                provenance_columns[name] if name in provenance_columns else rows.column(name) for name in schema.names
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return RowStream(schema, batches)
