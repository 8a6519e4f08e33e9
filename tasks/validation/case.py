"""One file on its way to a verdict: what is asked of its rows, and what is found against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.records.data import StagedBatch
from tasks.stores.files.hashing import position_hash, row_hash
from tasks.stores.lake.partial_commits import PartialCommit
from tasks.stores.lake.schemas import ROW
from tasks.stores.lake.staging import UNREADABLE
from tasks.validation.expectations import Answer, Question, ask, needed_columns
from tasks.validation.refusals import Positions, Refusals
from tasks.validation.rows import CHUNK_ROWS, Piece, Staged, chunks
from tasks.validation.tally import Tally
from tasks.validation.times import EventTimes


class Case:
    """A staged file and what is found in it.

    Args:
        config: The pipeline.
        batch: The file.
        questions: What is asked of it.
        newest: Newest event time that came in with earlier files.
        at: The run's clock.
    """

    def __init__(
        self,
        config: PipelineConfig,
        batch: StagedBatch,
        questions: Sequence[Question],
        newest: datetime | None,
        at: datetime,
    ) -> None:
        self.batch = batch
        self.staged = Staged(Path(batch.staged))
        self.refusals = Refusals(batch.rows)
        self.tallies = [Tally(question) for question in questions]
        self.ids = np.zeros(batch.rows, dtype=np.int64)
        self.rejected_by: Counter[str] = Counter()
        self._key = config.contract.key
        self._share = 1.0 if batch.file.origin == "readmitted" else config.validation.max_quarantined_share
        self._event_time = config.contract.event_time
        policies = config.contract.policies
        if batch.file.origin == "readmitted":  # when it came back says nothing of when it came
            policies = policies.model_copy(update={"late": "accept", "out_of_order": "accept"})
        self._times = EventTimes(policies, newest, at)

    def look(self, piece: Piece) -> None:
        """Take in what rows say by themselves: cells that can't be read, event times, keys."""
        rows = piece.rows
        unreadable = rows.column(UNREADABLE).is_valid().to_numpy(zero_copy_only=False)
        self.refusals.refuse(np.flatnonzero(unreadable) + piece.start, "type", "not of the contract's type")
        table = pa.Table.from_batches([rows])
        numbers = rows.column(ROW).to_numpy(zero_copy_only=False)
        ids = row_hash(table, self._key) if self._key else position_hash(self.batch.file.sha256, numbers)
        self.ids[piece.positions] = ids
        if self._event_time in rows.schema.names:
            for finding in self._times.findings(rows.column(self._event_time)):
                self.refusals.refuse(finding.rows + piece.start, finding.name, finding.detail)
                if finding.policy == "reject" and finding.rows.size:
                    self.rejected_by[finding.name] += finding.rows.size

    def take(self, tally: Tally, answer: Answer, rows: Positions, asked: int) -> None:
        """Take in an expectation's answer: `rows` of this file failed it, of `asked` in question."""
        tally.add(answer, len(rows), asked)
        if answer.about_rows and tally.question.expectation.severity == "critical":
            self.refusals.refuse(rows, tally.name, tally.expected)

    def reasons(self) -> list[str]:
        """Why the file as a whole is refused; empty where it comes in."""
        failed = [tally for tally in self.tallies if tally.refuses_file]
        told = [f"{tally.name}: {tally.result.detail}" for tally in failed]
        told += [
            f"{name}: {count} rows, and the contract rejects such files" for name, count in self.rejected_by.items()
        ]
        total, refused = len(self.refusals), int(np.count_nonzero(self.refusals.refused))
        counts = ", ".join(f"{count} {name}" for name, count in self.refusals.counts().items())
        if total == 0:
            told.append("no rows; expected at least one")  # an empty batch passes every column expectation
        elif refused == total:
            told.append(f"no row is left: {total} of {total} refused ({counts})")
        elif refused / total > self._share:
            told.append(
                f"{refused} of {total} rows refused ({refused / total:.1%}), allowed {self._share:.1%}: {counts}"
            )
        return told

    @property
    def loses_too_much(self) -> bool:
        """Whether all rows are refused, or more than the configuration allows: then it is the last of the reasons."""
        total, refused = len(self.refusals), int(np.count_nonzero(self.refusals.refused))
        return refused > 0 and (refused == total or refused / total > self._share)

    def stand(self, left: PartialCommit) -> None:
        """What came of the rows in a run that was killed stands, whatever was found against them now."""
        numbers = self.staged.columns([ROW]).column(ROW).to_numpy()
        self.refusals.stand(np.isin(numbers, left.rows), np.isin(numbers, left.duplicates))

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """The rows again."""
        return self.staged.pieces(0, columns)


def examine(cases: Sequence[Case], columns: Sequence[str]) -> None:
    """Find what is against the rows of some files, but for their keys.

    Expectations that judge each row by itself are asked in one pass over all rows, in pieces. For the others whole
    columns are read, those that they need.

    Args:
        cases: Files of one feed.
        columns: The contract's columns of the feed.
    """
    for chunk in chunks([case.staged for case in cases]):
        for piece in chunk:
            cases[piece.file].look(piece)
        _ask_chunk(cases, chunk)
    for case in cases:
        _ask_whole(case, columns)


def _ask_chunk(cases: Sequence[Case], chunk: Sequence[Piece]) -> None:
    questions = [tally.question for tally in cases[0].tallies]
    together = [number for number, one in enumerate(questions) if one.composes and (one.pools or len(chunk) == 1)]
    apart = [number for number, one in enumerate(questions) if one.composes and number not in together]
    _ask_pieces(cases, chunk, together)
    for piece in chunk:
        _ask_pieces(cases, [piece], apart)


def _ask_pieces(cases: Sequence[Case], pieces: Sequence[Piece], numbers: Sequence[int]) -> None:
    """Ask some of the questions of pieces that may be of several files, and give each file what is its own."""
    asked = [cases[0].tallies[number].question for number in numbers]
    columns = [name for name in needed_columns(asked) if name in pieces[0].rows.schema.names]
    table = pa.Table.from_batches([piece.rows.select(columns) for piece in pieces])
    bounds = np.cumsum([0, *(piece.rows.num_rows for piece in pieces)])
    for number, answer in zip(numbers, ask(_frame(table, int(bounds[-1])), asked), strict=True):
        cuts = np.searchsorted(answer.rows, bounds)
        for index, piece in enumerate(pieces):
            case = cases[piece.file]
            tally = case.tallies[number]
            rows = answer.rows[cuts[index] : cuts[index + 1]] - bounds[index] + piece.start
            case.take(tally, answer, rows, answer.asked if len(pieces) == 1 else _asked(tally.question, piece))


def _asked(question: Question, piece: Piece) -> int:
    """Rows of a piece that a question judges: those with a value."""
    column = str(question.expectation.arguments.get("column", ""))
    if "null" in question.expectation.type or column not in piece.rows.schema.names:
        return int(piece.rows.num_rows)
    return int(piece.rows.num_rows - piece.rows.column(column).null_count)


def _ask_whole(case: Case, columns: Sequence[str]) -> None:
    """Ask what does not compose: of a small file all at once, of a large one with one question's columns at a time."""
    due = [tally for tally in case.tallies if not tally.question.composes]
    groups = [due] if len(case.refusals) <= CHUNK_ROWS else [[tally] for tally in due]
    for group in groups:
        with_columns = [tally for tally in group if tally.question.columns]
        needed = needed_columns([tally.question for tally in with_columns])
        frame = case.staged.columns(needed).to_pandas() if needed else pd.DataFrame()
        _ask_each(case, with_columns, frame)
        for tally in group:
            if not tally.question.columns:
                _ask_each(case, [tally], _bare(tally.question, columns, len(case.refusals)))


def _ask_each(case: Case, tallies: Sequence[Tally], frame: pd.DataFrame) -> None:
    for tally, answer in zip(tallies, ask(frame, [tally.question for tally in tallies]), strict=True):
        case.take(tally, answer, answer.rows, answer.asked)


def _bare(question: Question, columns: Sequence[str], rows: int) -> pd.DataFrame:
    """A frame for a question of the table that names no column: its rows without columns, or its columns alone."""
    if "row_count" in question.expectation.type:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    return pd.DataFrame(columns=list(columns))


def _frame(table: pa.Table, rows: int) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas() if table.num_columns else pd.DataFrame(index=pd.RangeIndex(rows))
    return frame


def span(case: Case, event_time: str | None) -> tuple[datetime | None, datetime | None]:
    """First and last event time of the rows that come in; None where the feed has none, or none comes in."""
    if event_time is None or event_time not in case.staged.schema.names:
        return None, None
    accepted = case.refusals.accepted
    found = []
    for piece in case.pieces([event_time]):
        both = pc.min_max(piece.rows.column(0).filter(pa.array(accepted[piece.positions]))).as_py()
        if both["min"] is not None:
            found += [both["min"], both["max"]]
    return (min(found), max(found)) if found else (None, None)
