"""Where a pipeline's files land, which of them it takes, and what identifies one: its content."""

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


class Place(NamedTuple):
    """Where files of a feed lie, and how they are written."""

    feed: Feed
    source: Source
    address: str
    origin: Origin = "landing"


def feeds(config: PipelineConfig) -> dict[Feed, Source]:
    """What a pipeline takes in: the table each feed goes to, and where its files land."""
    observations: dict[Feed, Source] = {"observations": config.source}
    return observations if config.labels is None else {**observations, "labels": config.labels}


def places(config: PipelineConfig, settings: Settings) -> list[Place]:
    """Where a pipeline's files lie: landing places, and folders of what quarantine gave back, where there are any."""
    found = []
    for feed, source in feeds(config).items():
        found.append(Place(feed, source, settings.landing(source.landing)))
        folder = settings.state / "readmitted" / config.name / feed
        if folder.is_dir():
            plain = source.model_copy(update={"ready": "settled", "pattern": "*", "sql": None})
            found.append(Place(feed, plain, str(folder), "readmitted"))
    return found


def place_of(config: PipelineConfig, settings: Settings, file: LandedFile) -> Place:
    """Where a file lies."""
    return next(one for one in places(config, settings) if (one.feed, one.origin) == (file.feed, file.origin))


def takes(source: Source, name: str) -> bool:
    """Whether the source takes files of a name. Hidden and '_' names are left alone, and marker files."""
    marks = source.ready == "marker" and name.endswith(source.marker)
    return not (name.startswith((".", "_")) or marks) and fnmatch.fnmatch(name, source.pattern)


def candidates(landing: Landing, source: Source, tell: Warn) -> list[FileStat]:
    """Files in the landing place that the source takes, sorted by path; where it asks for markers, those that have one.

    Args:
        landing: The place.
        source: What it takes.
        tell: Told of each folder that can't be listed and each name that is refused.
    """
    found = list(landing.files(tell))
    marked = {one.path for one in found} if source.ready == "marker" else set()
    ready = source.ready == "settled"
    return [one for one in found if takes(source, one.name) and (ready or one.path + source.marker in marked)]


def known(ledger: Sequence[BatchRecord], feed: Feed, rules: str) -> list[BatchRecord]:
    """Batches of a feed that are not judged again: accepted ones, those refused by the present rules or for good."""
    return [
        one
        for one in ledger
        if one.feed == feed and (one.verdict == "accepted" or one.rules in (rules, NEVER_REVALIDATE))
    ]


def too_large(file: LandedFile, source: Source) -> str:
    """Why a file is refused for its size as it landed; nothing where it is not."""
    most = source.limits.file_bytes
    if file.size <= most:
        return ""
    section = "source" if file.feed == "observations" else "labels"
    return f"it has {file.size} bytes, and at most {most} are taken. Split it, or raise {section}.limits.file_bytes"


def landed(landing: Landing, path: str, feed: Feed) -> LandedFile:
    """A file as it lies there now.

    Raises:
        OSError: it is gone or can't be opened.
    """
    file = unread(landing, landing.stat(path), feed)
    return file.model_copy(update={"sha256": content_hash(landing, path, feed)})


def unread(landing: Landing, found: FileStat, feed: Feed, origin: Origin = "landing") -> LandedFile:
    """A file by its place and stamp, which stand for its content as long as it is not read."""
    uri = landing.uri(found.path)
    stamp = digest([feed, uri, found.size, found.mtime_ns])
    return LandedFile(
        feed=feed, path=found.path, uri=uri, size=found.size, mtime_ns=found.mtime_ns, sha256=stamp, origin=origin
    )


def content_hash(landing: Landing, path: str, feed: Feed, copy: BinaryIO | None = None) -> str:
    """SHA-256 of a file's bytes, the feed mixed in: one file may land as observations and as labels.

    Args:
        landing: Where the file lies.
        path: Its path there.
        feed: What it lands as.
        copy: Takes the bytes, too, where one is wanted.
    """
    hasher = hashlib.sha256(feed.encode() + b"\0")
    with landing.open(path) as handle:
        while block := handle.read(_BLOCK):
            hasher.update(block)
            if copy is not None:
                copy.write(block)
    return hasher.hexdigest()
