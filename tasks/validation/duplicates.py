"""Rows with a duplicate key, by the contract's policy: rejected, or recorded and replaced by the row that is kept."""

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
from tasks.validation.entries import contents, text_json
from tasks.validation.file_validation import FileValidation
from tasks.validation.keys import (
    DuplicateRows,
    Ids,
    KeyedRows,
    concat_rows,
    find_duplicates,
    isin_sorted,
    keyed_rows,
    repeated_ids,
)
from tasks.validation.rejections import Mask

_LAKE = -1
RowLookup = Callable[[Ids, Sequence[str]], pa.Table]
"""Returns columns of the lake's rows, of other batches, whose `_row_id` is in a sorted array."""


@dataclass(frozen=True)
class DuplicateResolution:
    """Duplicate rows of some files and of the lake.

    Attributes:
        duplicates: The duplicate rows; None if there are none.
        kept: The lake's rows with one of the keys.
    """

    duplicates: DuplicateRows | None
    kept: pa.Table

    def of_file(self, number: int) -> tuple[Ids, Ids]:
        """Return indices into `duplicates`: of a file's rows, and of the lake's rows that the file replaces."""
        if self.duplicates is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        lake = (self.duplicates.origin == _LAKE) & (self.duplicates.kept_origin == number)
        return np.flatnonzero(self.duplicates.origin == number), np.flatnonzero(lake)


def resolve_duplicates(
    config: PipelineConfig, validations: Sequence[FileValidation], accepted: Sequence[int], lookup: RowLookup
) -> DuplicateResolution:
    """Find duplicate rows among the valid rows of files and the lake.

    Args:
        config: The pipeline.
        validations: Files of one feed, in the order they came.
        accepted: Indices of the files that are not rejected.
        lookup: Returns the lake's rows.
    """
    no_duplicates = DuplicateResolution(None, pa.table({}))
    if not config.contract.key or not accepted:
        return no_duplicates
    feed = validations[0].batch.file.feed
    ids = np.concatenate([validations[number].ids[validations[number].rejections.accepted] for number in accepted])
    key_ids = repeated_ids(ids)
    ids.sort()
    columns = list(config.columns_of(feed))
    kept = lookup(ids, [ROW_ID, BATCH, ROW, *columns])
    if kept.num_rows:
        key_ids = np.union1d(key_ids, kept.column(ROW_ID).to_numpy())
    if not key_ids.size:
        return no_duplicates
    file_rows = [_file_rows(config, feed, validations[number], number, key_ids) for number in accepted]
    rows = concat_rows([_table_rows(config, feed, kept, _LAKE, np.arange(kept.num_rows)), *file_rows])
    timed = config.contract.event_time in columns
    return DuplicateResolution(
        find_duplicates(rows, latest=config.contract.policies.duplicate_key == "keep_last", by_event_time=timed), kept
    )


def _file_rows(config: PipelineConfig, feed: Feed, validation: FileValidation, number: int, key_ids: Ids) -> KeyedRows:
    """Return a file's valid rows whose key is repeated."""
    in_question = validation.rejections.accepted & isin_sorted(validation.ids, key_ids)
    columns = list(config.columns_of(feed))
    parts = []
    for piece in validation.pieces(columns):
        selected = in_question[piece.positions]
        if selected.any():
            table = pa.Table.from_batches([piece.rows.filter(pa.array(selected))])
            parts.append(_table_rows(config, feed, table, number, np.flatnonzero(selected) + piece.start))
    return concat_rows(parts) if parts else KeyedRows(*(np.zeros(0, np.int64) for _ in KeyedRows._fields))


def _table_rows(config: PipelineConfig, feed: Feed, table: pa.Table, number: int, positions: Ids) -> KeyedRows:
    if not table.num_rows:
        return KeyedRows(*(np.zeros(0, np.int64) for _ in KeyedRows._fields))
    columns = list(config.columns_of(feed))
    return keyed_rows(table, number, positions, config.contract.key, config.contract.event_time, columns)


def reject_duplicates(validation: FileValidation, number: int, resolution: DuplicateResolution) -> None:
    """Reject a file's duplicate rows."""
    if resolution.duplicates is None:
        return
    indices, _ = resolution.of_file(number)
    same_file = resolution.duplicates.kept_origin[indices] == number
    positions = resolution.duplicates.position[indices]
    validation.rejections.reject(
        np.sort(positions[same_file]), "duplicate_key", "an earlier row of this file has the same key"
    )
    validation.rejections.reject(
        np.sort(positions[~same_file]), "duplicate_key", "a row of an earlier file has the same key"
    )


def duplicate_entries(
    config: PipelineConfig,
    validations: Sequence[FileValidation],
    number: int,
    resolution: DuplicateResolution,
    at: datetime,
) -> tuple[pa.Table, int]:
    """Mark a file's duplicate rows, and return them and the lake's rows that it replaces.

    Returns:
        Entries for the table `duplicates`, and the number of rows of the lake to replace.
    """
    if resolution.duplicates is None:
        return DUPLICATES.empty_table(), 0
    duplicates, validation = resolution.duplicates, validations[number]
    indices, superseded = resolution.of_file(number)
    indices = indices[np.argsort(duplicates.position[indices])]
    validation.rejections.duplicate(duplicates.position[indices])
    columns, key = list(config.columns_of(validation.batch.file.feed)), config.contract.key
    kept_rows = _KeptRows(validations, resolution.kept)
    identical = duplicates.identical[indices]
    numbers, contents_of_others = _row_contents(validation, columns, duplicates.position[indices], identical)
    own_columns = {
        "batch": pa.repeat(pa.scalar(validation.batch.file.sha256), len(indices)),
        "row": pa.array(numbers),
        "kind": pa.array(np.where(identical, "identical", "older")),
        **kept_rows.of(duplicates.kept_origin[indices], duplicates.kept_position[indices]),
        **_texts(contents_of_others, key, identical),
    }
    tables = [_entries(own_columns, validation, at)]
    if superseded.size:
        rows = resolution.kept.take(pa.array(duplicates.position[superseded]))
        superseded_columns = {
            "batch": rows.column(BATCH),
            "row": rows.column(ROW),
            "kind": pa.repeat(pa.scalar("superseded"), len(superseded)),
            **kept_rows.of(duplicates.kept_origin[superseded], duplicates.kept_position[superseded]),
            **_texts(contents(rows.select(columns)), key, np.zeros(len(superseded), dtype=bool)),
        }
        tables.append(_entries(superseded_columns, validation, at))
    return pa.concat_tables(tables), len(superseded)


def _entries(columns: Mapping[str, pa.Array], validation: FileValidation, at: datetime) -> pa.Table:
    constants = {"by": validation.batch.file.sha256, "feed": validation.batch.file.feed, "at": at}
    rows = len(columns["kind"])
    repeats = {
        name: pa.repeat(pa.scalar(value, DUPLICATES.field(name).type), rows) for name, value in constants.items()
    }
    return pa.table({**columns, **repeats}).select(DUPLICATES.names).cast(DUPLICATES)


def _texts(rows: Sequence[dict[str, Any]], key: Sequence[str], masked: Mask) -> dict[str, pa.Array]:
    """Return keys and contents as JSON; null where masked."""
    indices = pa.array(np.cumsum(~masked) - 1, mask=masked)
    keys = pa.array([text_json({name: row.get(name) for name in key}) for row in rows], pa.string())
    return {"key": keys.take(indices), "content": pa.array([text_json(row) for row in rows], pa.string()).take(indices)}


def _row_contents(
    validation: FileValidation, columns: Sequence[str], positions: Ids, identical: Mask
) -> tuple[Ids, list[dict[str, Any]]]:
    """Return the row numbers at ascending positions, and the contents of the rows that are not identical."""
    numbers: list[Ids] = [np.zeros(0, np.int64)]
    contents_of_rows: list[dict[str, Any]] = []
    for piece in validation.pieces([*columns, ROW]):
        low, high = np.searchsorted(positions, [piece.start, piece.start + piece.rows.num_rows])
        selected = positions[low:high] - piece.start
        numbers.append(piece.rows.column(ROW).take(pa.array(selected)).to_numpy())
        others = piece.rows.take(pa.array(selected[~identical[low:high]])).select(columns)
        contents_of_rows += contents(pa.Table.from_batches([others]))
    return np.concatenate(numbers), contents_of_rows


class _KeptRows:
    """Looks up batch and row number of the rows that are kept."""

    def __init__(self, validations: Sequence[FileValidation], kept: pa.Table) -> None:
        self._validations = validations
        self._kept = kept

    def of(self, origins: Ids, positions: Ids) -> dict[str, pa.Array]:
        batches = np.empty(len(origins), dtype=object)
        rows = np.zeros(len(origins), dtype=np.int64)
        for origin in np.unique(origins):
            where = origins == origin
            if origin == _LAKE:
                lake_rows = self._kept.select([BATCH, ROW]).take(pa.array(positions[where]))
                batches[where], rows[where] = lake_rows.column(BATCH).to_numpy(), lake_rows.column(ROW).to_numpy()
            else:
                validation = self._validations[int(origin)]
                batches[where] = validation.batch.file.sha256
                rows[where] = validation.staged.columns([ROW]).column(ROW).to_numpy()[positions[where]]
        return {"kept_batch": pa.array(batches, pa.string()), "kept_row": pa.array(rows)}
