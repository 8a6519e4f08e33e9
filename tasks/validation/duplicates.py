"""Rows whose key is there already, by the contract's policy: refused, or recorded while another stands for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from configs.schema import PipelineConfig
from tasks.records.data import Feed
from tasks.stores.lake.schemas import BATCH, DUPLICATES, ROW, ROW_ID
from tasks.validation.case import Case
from tasks.validation.entries import contents, text_json
from tasks.validation.keys import Ids, Losers, Rows, among, describe, joined, losers, repeated
from tasks.validation.refusals import Mask

_LAKE = -1
Known = Callable[[Ids, Sequence[str]], pa.Table]
"""Gives the lake's rows, of other batches, whose `_row_id` is among some sorted ones: the named columns."""


@dataclass(frozen=True)
class Settled:
    """Which rows of some files and of the lake lose against others of the same key.

    Attributes:
        kept: The lake's rows that are in question.
    """

    losers: Losers | None
    kept: pa.Table

    def mine(self, case: int) -> tuple[Ids, Ids]:
        """Numbers, among the losers, of a file's rows, and of the lake's rows that lose against the file's."""
        if self.losers is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        lake = (self.losers.origin == _LAKE) & (self.losers.kept_origin == case)
        return np.flatnonzero(self.losers.origin == case), np.flatnonzero(lake)


def settle(config: PipelineConfig, cases: Sequence[Case], live: Sequence[int], known: Known) -> Settled:
    """Find which rows lose against others of the same key. Only rows with nothing else against them take part.

    Args:
        config: The pipeline.
        cases: Files of one feed, in the order they came.
        live: Numbers of those that are not refused as a whole.
        known: The lake's rows.
    """
    nothing = Settled(None, pa.table({}))
    if not config.contract.key or not live:
        return nothing
    feed = cases[0].batch.file.feed
    ids = np.concatenate([cases[number].ids[cases[number].refusals.accepted] for number in live])
    wanted = repeated(ids)
    ids.sort()
    columns = list(config.columns_of(feed))
    kept = known(ids, [ROW_ID, BATCH, ROW, *columns])
    if kept.num_rows:
        wanted = np.union1d(wanted, kept.column(ROW_ID).to_numpy())
    if not wanted.size:
        return nothing
    rivals = [_described(config, feed, cases[number], number, wanted) for number in live]
    rows = joined([_describe(config, feed, kept, _LAKE, np.arange(kept.num_rows)), *rivals])
    timed = config.contract.event_time in columns
    return Settled(losers(rows, latest=config.contract.policies.duplicate_key == "keep_last", timed=timed), kept)


def _described(config: PipelineConfig, feed: Feed, case: Case, number: int, wanted: Ids) -> Rows:
    """A file's rows whose key is in question."""
    asked = case.refusals.accepted & among(case.ids, wanted)
    columns = list(config.columns_of(feed))
    parts = []
    for piece in case.pieces(columns):
        mine = asked[piece.positions]
        if mine.any():
            table = pa.Table.from_batches([piece.rows.filter(pa.array(mine))])
            parts.append(_describe(config, feed, table, number, np.flatnonzero(mine) + piece.start))
    return joined(parts) if parts else Rows(*(np.zeros(0, np.int64) for _ in Rows._fields))


def _describe(config: PipelineConfig, feed: Feed, table: pa.Table, number: int, positions: Ids) -> Rows:
    if not table.num_rows:
        return Rows(*(np.zeros(0, np.int64) for _ in Rows._fields))
    columns = list(config.columns_of(feed))
    return describe(table, number, positions, config.contract.key, config.contract.event_time, columns)


def refuse(case: Case, number: int, found: Settled) -> None:
    """Refuse a file's losing rows."""
    if found.losers is None:
        return
    mine, _ = found.mine(number)
    inside = found.losers.kept_origin[mine] == number
    positions = found.losers.position[mine]
    case.refusals.refuse(np.sort(positions[inside]), "duplicate_key", "its key stands in an earlier row of this file")
    case.refusals.refuse(np.sort(positions[~inside]), "duplicate_key", "its key came in with an earlier file")


def record(
    config: PipelineConfig, cases: Sequence[Case], number: int, found: Settled, at: datetime
) -> tuple[pa.Table, int]:
    """Note a file's losing rows, and the lake's that lose against it.

    Returns:
        Entries for the table `duplicates`, and how many rows of the lake are to be replaced.
    """
    if found.losers is None:
        return DUPLICATES.empty_table(), 0
    lost, case = found.losers, cases[number]
    mine, replaced = found.mine(number)
    mine = mine[np.argsort(lost.position[mine])]
    case.refusals.duplicate(lost.position[mine])
    columns, key = list(config.columns_of(case.batch.file.feed)), config.contract.key
    winners = _Winners(cases, found.kept)
    same = lost.identical[mine]
    numbers, others = _told(case, columns, lost.position[mine], same)
    own = {
        "batch": pa.repeat(pa.scalar(case.batch.file.sha256), len(mine)),
        "row": pa.array(numbers),
        "kind": pa.array(np.where(same, "identical", "older")),
        **winners.of(lost.kept_origin[mine], lost.kept_position[mine]),
        **_texts(others, key, same),
    }
    parts = [_entries(own, case, at)]
    if replaced.size:
        rows = found.kept.take(pa.array(lost.position[replaced]))
        old = {
            "batch": rows.column(BATCH),
            "row": rows.column(ROW),
            "kind": pa.repeat(pa.scalar("superseded"), len(replaced)),
            **winners.of(lost.kept_origin[replaced], lost.kept_position[replaced]),
            **_texts(contents(rows.select(columns)), key, np.zeros(len(replaced), dtype=bool)),
        }
        parts.append(_entries(old, case, at))
    return pa.concat_tables(parts), len(replaced)


def _entries(columns: Mapping[str, pa.Array], case: Case, at: datetime) -> pa.Table:
    constants = {"by": case.batch.file.sha256, "feed": case.batch.file.feed, "at": at}
    rows = len(columns["kind"])
    repeats = {
        name: pa.repeat(pa.scalar(value, DUPLICATES.field(name).type), rows) for name, value in constants.items()
    }
    return pa.table({**columns, **repeats}).select(DUPLICATES.names).cast(DUPLICATES)


def _texts(rows: Sequence[dict[str, Any]], key: Sequence[str], left_out: Mask) -> dict[str, pa.Array]:
    """Keys and contents in JSON; missing where a row is left out, the others in their order."""
    place = pa.array(np.cumsum(~left_out) - 1, mask=left_out)
    keys = pa.array([text_json({name: row.get(name) for name in key}) for row in rows], pa.string())
    return {"key": keys.take(place), "content": pa.array([text_json(row) for row in rows], pa.string()).take(place)}


def _told(case: Case, columns: Sequence[str], positions: Ids, identical: Mask) -> tuple[Ids, list[dict[str, Any]]]:
    """Row numbers of some rows, ascending by position, and the contents of those that are not identical to another."""
    numbers: list[Ids] = [np.zeros(0, np.int64)]
    told: list[dict[str, Any]] = []
    for piece in case.pieces([*columns, ROW]):
        low, high = np.searchsorted(positions, [piece.start, piece.start + piece.rows.num_rows])
        mine = positions[low:high] - piece.start
        numbers.append(piece.rows.column(ROW).take(pa.array(mine)).to_numpy())
        others = piece.rows.take(pa.array(mine[~identical[low:high]])).select(columns)
        told += contents(pa.Table.from_batches([others]))
    return np.concatenate(numbers), told


class _Winners:
    """Batch and row number of the rows that stay."""

    def __init__(self, cases: Sequence[Case], kept: pa.Table) -> None:
        self._cases = cases
        self._kept = kept

    def of(self, origins: Ids, positions: Ids) -> dict[str, pa.Array]:
        batches = np.empty(len(origins), dtype=object)
        rows = np.zeros(len(origins), dtype=np.int64)
        for origin in np.unique(origins):
            where = origins == origin
            if origin == _LAKE:
                taken = self._kept.select([BATCH, ROW]).take(pa.array(positions[where]))
                batches[where], rows[where] = taken.column(BATCH).to_numpy(), taken.column(ROW).to_numpy()
            else:
                case = self._cases[int(origin)]
                batches[where] = case.batch.file.sha256
                rows[where] = case.staged.columns([ROW]).column(ROW).to_numpy()[positions[where]]
        return {"kept_batch": pa.array(batches, pa.string()), "kept_row": pa.array(rows)}
