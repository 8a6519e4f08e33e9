"""Which entries of quarantine are meant: by their ids, their batch, expectation, file or feed."""

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
_SHORT = 12
KEY_COLUMN = "_key"
_LISTED = 5


class Selection(Record):
    """What a person named: entries that fit all of it.

    Attributes:
        entries: Ids; a beginning that fits one batch alone will do. None by name: all.
        batch: Beginning of a batch's id.
        expectation: Text in the expectation's name, of any case.
        file: Glob that the file's path or its name matches.
        feed: Which feed.
    """

    entries: tuple[str, ...] = ()
    batch: str | None = None
    expectation: str | None = None
    file: str | None = None
    feed: Feed | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is named."""
        return self == ALL


ALL = Selection()


class Key(NamedTuple):
    """An entry: a batch, and its row; None where the file as a whole was refused."""

    batch: str
    row: int | None

    @property
    def id(self) -> str:
        """As people write it."""
        return short(self.batch) if self.row is None else f"{short(self.batch)}:{self.row}"


@dataclass(frozen=True)
class Chosen:
    """A selection whose ids are known to be those of batches.

    Attributes:
        batch: The batch that `selection.batch` means.
        keys: The entries that are meant by name; none where all are.
    """

    selection: Selection = ALL
    batch: str | None = None
    keys: tuple[Key, ...] = ()

    @cached_property
    def _keys(self) -> pa.Array:
        return pa.array([joined(key) for key in self.keys], pa.string())

    @property
    def batches(self) -> list[str] | None:
        """The only batches that entries can be of; None where that is open."""
        named = {key.batch for key in self.keys}
        if self.batch is None:
            return sorted(named) if self.keys else None
        return [self.batch] if not self.keys or self.batch in named else []

    def mask(self, entries: pa.Table) -> pa.ChunkedArray:
        """Entries that are meant, shape (n_rows,).

        Args:
            entries: With batch, row, path, feed, expectation and `_key`.
        """
        wanted = self.selection
        kept = pa.chunked_array([pa.repeat(pa.scalar(True), entries.num_rows)])
        if self.batches is not None:
            kept = pc.and_(kept, pc.is_in(entries.column("batch"), pa.array(self.batches, pa.string())))
        if self.keys:
            kept = pc.and_(kept, pc.is_in(entries.column(KEY_COLUMN), self._keys))
        if wanted.feed is not None:
            kept = pc.and_(kept, pc.equal(entries.column("feed"), wanted.feed))
        if wanted.expectation is not None:
            found = pc.match_substring(entries.column("expectation"), wanted.expectation, ignore_case=True)
            kept = pc.and_(kept, found)
        if wanted.file is not None:
            paths = [one for one in entries.column("path").unique().to_pylist() if _fits(one, wanted.file)]
            kept = pc.and_(kept, pc.is_in(entries.column("path"), pa.array(paths, pa.string())))
        return kept


def choose(selection: Selection, ledger: Sequence[BatchRecord]) -> Chosen:
    """A selection held against the batches there are.

    Raises:
        UsageError: an id is none, unknown, or fits several batches.
    """
    known = [one.batch for one in ledger]
    batch = find_batch(selection.batch, known) if selection.batch is not None else None
    return Chosen(selection, batch, tuple(parse(text, known) for text in selection.entries))


def short(batch: str) -> str:
    """A batch's id as people write it."""
    return batch[:_SHORT]


def joined(key: Key) -> str:
    """A key as one text."""
    return key.batch if key.row is None else f"{key.batch}:{key.row}"


def keys_of(batch: pa.ChunkedArray, row: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys as texts, a column of them."""
    rows = pc.coalesce(pc.cast(row, pa.string()), "")
    return pc.if_else(pc.is_valid(row), pc.binary_join_element_wise(batch, rows, ":"), batch)


def parse(text: str, known: Sequence[str]) -> Key:
    """The entry that an id means.

    Raises:
        UsageError: it is none, unknown, or fits several batches.
    """
    found = _ID.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(
            f"Found {text!r}, expected an entry's id: 12 letters and digits of a file, then :ROW for a row of it, "
            "such as 3fa9c1d2e4b5:17. `perennial quarantine list NAME --rows` tells them."
        )
    return Key(find_batch(found["batch"], known), None if found["row"] is None else int(found["row"]))


def find_batch(text: str, known: Sequence[str]) -> str:
    """The batch that an id, or its beginning, means.

    Raises:
        UsageError: none, or several.
    """
    wanted = text.strip().lower()
    hits = sorted({one for one in known if wanted and one.startswith(wanted)})
    if len(hits) == 1:
        return hits[0]
    if hits:
        listed = ", ".join(one[: max(_SHORT, len(wanted) + 4)] for one in hits[:_LISTED])
        more = ", …" if len(hits) > _LISTED else ""
        raise UsageError(f"{text!r} fits {len(hits)} batches: {listed}{more}. Write more of the one that is meant.")
    near = difflib.get_close_matches(wanted[:_SHORT], [short(one) for one in known], n=1, cutoff=0.5)
    hint = f"the nearest is {near[0]}" if near else f"{len(known)} are known"
    raise UsageError(f"No batch {text!r}: {hint}. `perennial quarantine list NAME` tells those with entries.")


def _fits(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
