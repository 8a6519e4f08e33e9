"""Find what landed and is not yet in the ledger. A file is known by its content."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Container, Sequence

from configs.schema import PipelineConfig
from configs.source import Compression, Source
from tasks.refs import BatchRecord, Feed, LandedFile
from tasks.stores.landing import Found, Landing, Tell, open_landing

_BLOCK = 1 << 20
ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".feather": "feather",
    ".arrow": "feather",
    ".xlsx": "excel",
}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zip": "zip"}


def feeds(config: PipelineConfig) -> dict[Feed, Source]:
    """What a pipeline takes in: the table each feed goes to, and where its files land."""
    observations: dict[Feed, Source] = {"observations": config.source}
    return observations if config.labels is None else {**observations, "labels": config.labels}


def takes(source: Source, name: str) -> bool:
    """Whether the source takes files of a name. Hidden and '_' names are left alone, and marker files."""
    marks = source.ready == "marker" and name.endswith(source.marker)
    return not (name.startswith((".", "_")) or marks) and fnmatch.fnmatch(name, source.pattern)


def candidates(landing: Landing, source: Source, tell: Tell) -> list[Found]:
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
    """Batches of a feed that are not judged again: accepted ones, and those refused by the rules there are now."""
    return [one for one in ledger if one.feed == feed and (one.verdict == "accepted" or one.rules == rules)]


def new_files(
    address: str,
    source: Source,
    feed: Feed,
    ledger: Sequence[BatchRecord],
    rules: str,
    tell: Tell = lambda _: None,
    only: Container[str] | None = None,
) -> list[LandedFile]:
    """Landed files whose content the ledger does not have, each content once.

    A file of a path, size and time that the ledger knows is not read again. One that was refused under other rules is
    new again: a mended configuration takes it.

    Args:
        address: The landing place's address.
        source: What it takes.
        feed: Which table it feeds.
        ledger: The batches known.
        rules: Digest of what files are judged by now.
        tell: Told of each file that can't be opened or is being written; it is tried again with the next run.
        only: Paths to look at; the others are left alone.

    Raises:
        LandingError: the place can't be reached.
    """
    landing = open_landing(address)
    settled = known(ledger, feed, rules)
    seen = {(batch.path, batch.size, batch.mtime_ns) for batch in settled}
    contents = {batch.batch for batch in settled}
    found = []
    for one in candidates(landing, source, tell):
        if one in seen or (only is not None and one.path not in only):
            continue
        file = _open_new(landing, one.path, feed, tell)
        if file is not None and file.sha256 not in contents:
            contents.add(file.sha256)
            found.append(file)
    return found


def _open_new(landing: Landing, path: str, feed: Feed, tell: Tell) -> LandedFile | None:
    """A new file as it lies there now; None where it can't be had yet."""
    try:
        if landing.busy(path):
            tell(f"{landing.uri(path)} is still being written. It is taken once its writer has closed it.")
            return None
        return landed(landing, path, feed)
    except FileNotFoundError:
        return None  # it was taken away since the folder was listed
    except OSError as error:
        tell(f"{landing.uri(path)} can't be opened: {error.strerror or error}. It is tried again with the next run.")
        return None


def landed(landing: Landing, path: str, feed: Feed) -> LandedFile:
    """A file as it lies there now.

    Raises:
        OSError: it is gone or can't be opened.
    """
    now = landing.look(path)
    return LandedFile(
        feed=feed,
        path=path,
        uri=landing.uri(path),
        size=now.size,
        mtime_ns=now.mtime_ns,
        sha256=content_hash(landing, path, feed),
    )


def content_hash(landing: Landing, path: str, feed: Feed) -> str:
    """SHA-256 of a file's bytes, the feed mixed in: one file may land as observations and as labels."""
    hasher = hashlib.sha256(feed.encode() + b"\0")
    with landing.open(path) as handle:
        while block := handle.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
