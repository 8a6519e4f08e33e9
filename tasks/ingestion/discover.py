"""Locations of a pipeline's files, which of them it accepts, and their identity: the content hash."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from typing import BinaryIO, Literal, NamedTuple

from configs.schema import PipelineConfig
from configs.source import Source
from tasks.records.base import digest
from tasks.records.data import NEVER_REVALIDATE, BatchRecord, Feed, LandedFile
from tasks.stores.landing.folder import FileStat, Landing, Warn
from tasks.stores.settings import Settings

_BLOCK = 1 << 20
Origin = Literal["landing", "readmitted"]


class FeedLocation(NamedTuple):
    """Location of a feed's files, and their format."""

    feed: Feed
    source: Source
    address: str
    origin: Origin = "landing"


def feeds(config: PipelineConfig) -> dict[Feed, Source]:
    """Return a pipeline's feeds and their sources."""
    observations: dict[Feed, Source] = {"observations": config.source}
    return observations if config.labels is None else {**observations, "labels": config.labels}


def locations(config: PipelineConfig, settings: Settings) -> list[FeedLocation]:
    """Return the locations of a pipeline's files: landing places, and existing folders of readmitted files."""
    result = []
    for feed, source in feeds(config).items():
        result.append(FeedLocation(feed, source, settings.landing(source.landing)))
        folder = settings.state / "readmitted" / config.name / feed
        if folder.is_dir():
            readmitted_source = source.model_copy(update={"ready": "stable", "pattern": "*", "sql": None})
            result.append(FeedLocation(feed, readmitted_source, str(folder), "readmitted"))
    return result


def location_of(config: PipelineConfig, settings: Settings, file: LandedFile) -> FeedLocation:
    """Return the location of a file."""
    return next(
        location
        for location in locations(config, settings)
        if (location.feed, location.origin) == (file.feed, file.origin)
    )


def accepts(source: Source, name: str) -> bool:
    """Return whether a file name matches the source. Hidden and '_' names and marker files do not."""
    is_marker = source.ready == "marker" and name.endswith(source.marker)
    return not (name.startswith((".", "_")) or is_marker) and fnmatch.fnmatch(name, source.pattern)


def matching_files(landing: Landing, source: Source, emit: Warn) -> list[FileStat]:
    """Return files in the landing place that match the source, sorted by path; with a marker if required.

    Args:
        landing: The place.
        source: The source.
        emit: Receives a message for each folder that can't be listed and each name that is refused.
    """
    listed = list(landing.files(emit))
    marked = {file.path for file in listed} if source.ready == "marker" else set()
    ready = source.ready == "stable"
    return [file for file in listed if accepts(source, file.name) and (ready or file.path + source.marker in marked)]


def processed_batches(ledger: Sequence[BatchRecord], feed: Feed, rules: str) -> list[BatchRecord]:
    """Return a feed's batches that are not validated again: accepted, or rejected by the current rules or for good."""
    return [
        batch
        for batch in ledger
        if batch.feed == feed and (batch.verdict == "accepted" or batch.rules in (rules, NEVER_REVALIDATE))
    ]


def size_limit_error(file: LandedFile, source: Source) -> str:
    """Return why a file exceeds the size limit; empty if it does not."""
    max_bytes = source.limits.file_bytes
    if file.size <= max_bytes:
        return ""
    section = "source" if file.feed == "observations" else "labels"
    return f"it has {file.size} bytes; at most {max_bytes} are accepted. Split it, or raise {section}.limits.file_bytes"


def landed_file(landing: Landing, path: str, feed: Feed) -> LandedFile:
    """Return a landed file with its content hash.

    Raises:
        OSError: it does not exist or can't be opened.
    """
    file = unhashed_file(landing, landing.stat(path), feed)
    return file.model_copy(update={"sha256": content_hash(landing, path, feed)})


def unhashed_file(landing: Landing, status: FileStat, feed: Feed, origin: Origin = "landing") -> LandedFile:
    """Return a file identified by path, size and time instead of its content."""
    uri = landing.uri(status.path)
    stat_digest = digest([feed, uri, status.size, status.mtime_ns])
    return LandedFile(
        feed=feed,
        path=status.path,
        uri=uri,
        size=status.size,
        mtime_ns=status.mtime_ns,
        sha256=stat_digest,
        origin=origin,
    )


def content_hash(landing: Landing, path: str, feed: Feed, copy: BinaryIO | None = None) -> str:
    """Return the SHA-256 of feed and bytes of a file: one file may land as observations and as labels.

    Args:
        landing: Where the file lies.
        path: Its path there.
        feed: What it lands as.
        copy: Receives a copy of the bytes, if given.
    """
    hasher = hashlib.sha256(feed.encode() + b"\0")
    with landing.open(path) as handle:
        while block := handle.read(_BLOCK):
            hasher.update(block)
            if copy is not None:
                copy.write(block)
    return hasher.hexdigest()
