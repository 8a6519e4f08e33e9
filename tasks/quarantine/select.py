"""Selection of quarantine entries by id, batch, expectation, file or feed."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import UsageError
from tasks.records.base import Record
from tasks.records.data import BatchRecord, Feed

_ID = re.compile(r"(?P<batch>[0-9a-f]{1,64})(:(?P<row>[0-9]{1,18}))?")
_SHORT_LENGTH = 12
KEY_COLUMN = "_key"
_MAX_LISTED = 5


class Selection(Record):
    """Criteria for entries; all of them must match.

    Attributes:
        entries: Ids, or unique prefixes of ids. Empty: all.
        batch: Prefix of a batch's id.
        expectation: Text in the expectation's name, case-insensitive.
        file: Glob for the file's path or name.
        feed: The feed.
    """

    entries: tuple[str, ...] = ()
    batch: str | None = None
    expectation: str | None = None
    file: str | None = None
    feed: Feed | None = None

    @property
    def everything(self) -> bool:
        """Whether there are no criteria."""
        return self == ALL


ALL = Selection()


class Key(NamedTuple):
    """Key of an entry: batch and row; None for a whole file."""

    batch: str
    row: int | None

    @property
    def id(self) -> str:
        """The short id."""
        return short_id(self.batch) if self.row is None else f"{short_id(self.batch)}:{self.row}"


@dataclass(frozen=True)
class EntryFilter:
    """A selection with ids resolved to batches.

    Attributes:
        batch: The batch of `selection.batch`.
        keys: The entries selected by id; empty: all.
    """

    selection: Selection = ALL
    batch: str | None = None
    keys: tuple[Key, ...] = ()

    @cached_property
    def _keys(self) -> pa.Array:
        return pa.array([key_text(key) for key in self.keys], pa.string())

    @property
    def batches(self) -> list[str] | None:
        """The batches that entries can belong to; None: any."""
        named = {key.batch for key in self.keys}
        if self.batch is None:
            return sorted(named) if self.keys else None
        return [self.batch] if not self.keys or self.batch in named else []

    def mask(self, entries: pa.Table) -> pa.ChunkedArray:
        """Return the mask of selected entries, shape (n_rows,).

        Args:
            entries: With batch, row, path, feed, expectation and `_key`.
        """
        selection = self.selection
        mask = pa.chunked_array([pa.repeat(pa.scalar(True), entries.num_rows)])
        if self.batches is not None:
            mask = pc.and_(mask, pc.is_in(entries.column("batch"), pa.array(self.batches, pa.string())))
        if self.keys:
            mask = pc.and_(mask, pc.is_in(entries.column(KEY_COLUMN), self._keys))
        if selection.feed is not None:
            mask = pc.and_(mask, pc.equal(entries.column("feed"), selection.feed))
        if selection.expectation is not None:
            matches = pc.match_substring(entries.column("expectation"), selection.expectation, ignore_case=True)
            mask = pc.and_(mask, matches)
        if selection.file is not None:
            paths = [path for path in entries.column("path").unique().to_pylist() if _matches(path, selection.file)]
            mask = pc.and_(mask, pc.is_in(entries.column("path"), pa.array(paths, pa.string())))
        return mask


def resolve_selection(selection: Selection, ledger: Sequence[BatchRecord]) -> EntryFilter:
    """Resolve a selection against the known batches.

    Raises:
        UsageError: an id is invalid, unknown, or matches several batches.
    """
    known = [one.batch for one in ledger]
    batch = find_batch(selection.batch, known) if selection.batch is not None else None
    return EntryFilter(selection, batch, tuple(parse_key(text, known) for text in selection.entries))


def short_id(batch: str) -> str:
    """Return the short id of a batch."""
    return batch[:_SHORT_LENGTH]


def key_text(key: Key) -> str:
    """Return a key as text."""
    return key.batch if key.row is None else f"{key.batch}:{key.row}"


def keys_of(batch: pa.ChunkedArray, row: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of keys as text."""
    rows = pc.coalesce(pc.cast(row, pa.string()), "")
    return pc.if_else(pc.is_valid(row), pc.binary_join_element_wise(batch, rows, ":"), batch)


def parse_key(text: str, known: Sequence[str]) -> Key:
    """Return the key for an id.

    Raises:
        UsageError: it is invalid, unknown, or matches several batches.
    """
    match = _ID.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(
            f"Found {text!r}, expected an entry's id: 12 letters and digits of a file, then :ROW for a row of it, "
            "such as 3fa9c1d2e4b5:17. `perennial quarantine list NAME --rows` lists them."
        )
    return Key(find_batch(match["batch"], known), None if match["row"] is None else int(match["row"]))


def find_batch(text: str, known: Sequence[str]) -> str:
    """Return the batch of an id or prefix.

    Raises:
        UsageError: it matches none, or several.
    """
    prefix = text.strip().lower()
    matches = sorted({batch for batch in known if prefix and batch.startswith(prefix)})
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(batch[: max(_SHORT_LENGTH, len(prefix) + 4)] for batch in matches[:_MAX_LISTED])
        more = ", …" if len(matches) > _MAX_LISTED else ""
        raise UsageError(f"{text!r} matches {len(matches)} batches: {listed}{more}. Use a longer prefix.")
    near = difflib.get_close_matches(prefix[:_SHORT_LENGTH], [short_id(batch) for batch in known], n=1, cutoff=0.5)
    hint = f"the closest is {near[0]}" if near else f"there are {len(known)} batches"
    raise UsageError(f"No batch {text!r}: {hint}. `perennial quarantine list NAME` lists those with entries.")


def _matches(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
