"""Search for landed files that are not in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.ingestion.discover import (
    FeedLocation,
    content_hash,
    matching_files,
    processed_batches,
    size_limit_error,
    unhashed_file,
)
from tasks.ingestion.download_cache import DownloadCache
from tasks.records.data import BatchRecord, LandedFile, rules_digest
from tasks.stores.landing.folder import FileStat, Warn, open_landing, path_problem, printable
from tasks.stores.settings import Settings
from tasks.stores.state.contents import Content, Contents

_T = TypeVar("_T")


class Search:
    """The files of one location, compared with the known batches.

    A file of a path, size and time that the ledger knows is not read; nor is one that was read before and holds the
    same as one that the ledger knows. Files rejected by other rules are new, so that a
    corrected configuration applies to them.

    Attributes:
        incomplete: Whether a file that lies there could not be had.

    Args:
        config: The pipeline.
        settings: Where the state is.
        location: Where to look.
        ledger: The batches known.
        emit: Receives a message for what can't be had now, and of what is refused for its name.

    Raises:
        LandingError: any look, where the place can't be reached.
    """

    def __init__(
        self,
        config: PipelineConfig,
        settings: Settings,
        location: FeedLocation,
        ledger: Sequence[BatchRecord],
        emit: Warn = lambda _: None,
    ) -> None:
        self._location, self._emit = location, emit
        self._landing = open_landing(location.address)
        batches = processed_batches(ledger, location.feed, rules_digest(config))
        self._seen = {FileStat(one.path, one.size, one.mtime_ns) for one in batches}
        self._by_digest = {one.batch: one for one in batches}
        self._sizes = {one.size for one in batches}
        self._contents = partial(Contents, settings, config.name, location.feed)
        self._known_contents: dict[FileStat, Content] = {}
        self.incomplete = False

    def unprocessed(self) -> list[FileStat]:
        """Files that may be new and could be read now. One is read only where it may hold what came in before."""
        return [
            one
            for one in self._unseen_files()
            if not self._is_processed(one) and self._attempt(one.path, self._can_open)
        ]

    def new_files(self, only: Collection[str] | None = None, drafts: DownloadCache | None = None) -> list[LandedFile]:
        """Files of a content that the ledger does not have, each content once. The data lock is held.

        Args:
            only: Paths to look at; the others are left alone.
            drafts: Takes copies of remote files while they are read for their content.

        Raises:
            UsageError: a path in `only` does not lead below the landing place.
        """
        for path in only or ():
            if path_problem(path):
                raise UsageError(
                    f"Found {printable(path)}; expected paths below {self._location.address}, without '..'."
                )
        found: dict[str, LandedFile] = {}
        for one in self._unseen_files():
            if (only is not None and one.path not in only) or self._is_duplicate(one, found):
                continue
            file = self._attempt(one.path, partial(self._hashed_file, drafts=drafts))
            if file is not None and (file.sha256 in self._by_digest or file.sha256 in found):
                self._record_duplicate(FileStat(file.path, file.size, file.mtime_ns), file.sha256, found)
            elif file is not None:
                found[file.sha256] = file
                if drafts is not None:
                    drafts.keep(file)
        if drafts is not None:
            drafts.discard()
        return list(found.values())

    def _unseen_files(self) -> list[FileStat]:
        """What lies there and is not in the ledger as it lies there."""
        listed = [
            one for one in matching_files(self._landing, self._location.source, self._emit) if one not in self._seen
        ]
        self._known_contents = self._contents().known() if listed else {}
        return listed

    def _is_processed(self, one: FileStat) -> bool:
        """Whether a file holds what came in before: by what was noted, else by its content, which is noted then."""
        noted = self._known_contents.get(one)
        if noted is not None:
            return noted.sha256 in self._by_digest
        if not self._landing.is_local or one.size not in self._sizes:
            return False
        file = self._attempt(one.path, self._hashed_file)
        if file is None or file.sha256 not in self._by_digest:
            return False
        self._contents().record(FileStat(file.path, file.size, file.mtime_ns), file.sha256, reported=False)
        return True

    def _is_duplicate(self, one: FileStat, found: Mapping[str, LandedFile]) -> bool:
        """Whether a file was noted as having the content of another one, which came before or comes now."""
        noted = self._known_contents.get(one)
        if noted is None or (noted.sha256 not in self._by_digest and noted.sha256 not in found):
            return False
        if not noted.reported:
            self._record_duplicate(one, noted.sha256, found)
        return True

    def _attempt(self, path: str, what: Callable[[str], _T]) -> _T | None:
        """What is found of a file; None where it can't be had now: then it is tried again with the next run."""
        uri = printable(self._landing.uri(path))
        try:
            if self._landing.open_for_writing(path):
                self.incomplete = True
                self._emit(f"{uri} is still being written. It is ingested once its writer has closed it.")
                return None
            return what(path)
        except FileNotFoundError:
            return None  # it was taken away since the folder was listed
        except OSError as error:
            self.incomplete = True
            self._emit(f"{uri} can't be opened: {error.strerror or error}. The next run tries again.")
            return None

    def _can_open(self, path: str) -> bool:
        with self._landing.open(path):
            return True

    def _hashed_file(self, path: str, drafts: DownloadCache | None = None) -> LandedFile:
        """A file as it lies there now, with its identity: its content; of a remote one too large, its stamp."""
        now = self._landing.stat(path)
        file = unhashed_file(self._landing, now, self._location.feed, self._location.origin)
        if not self._landing.is_local and size_limit_error(file, self._location.source):
            return file
        if self._landing.is_local or drafts is None:
            content = content_hash(self._landing, path, file.feed)
        else:
            with drafts.writer(now.size) as copy:
                content = content_hash(self._landing, path, file.feed, copy)
        return file.model_copy(update={"sha256": content})

    def _record_duplicate(self, file: FileStat, content: str, found: Mapping[str, LandedFile]) -> None:
        """Tell, once, that a file has the content of another one."""
        self._contents().record(file, content, reported=True)
        if content in found:
            self._emit(f"{file.path} has the same content as {found[content].path}, which is ingested in this run")
            return
        earlier = self._by_digest[content]
        status = "was accepted" if earlier.verdict == "accepted" else "was rejected"
        if earlier.path != file.path:
            self._emit(f"{file.path} has the same content as {earlier.path}, which {status}")
