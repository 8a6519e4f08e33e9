"""Find what landed and is not yet in the ledger. A file is known by its content."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from configs.schema import PipelineConfig, Source
from tasks.refs import BatchRecord, Feed, LandedFile

_BLOCK = 1 << 20
ENDINGS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def feeds(config: PipelineConfig) -> dict[Feed, Source]:
    """What a pipeline takes in: the table each feed goes to, and where its files land."""
    observations: dict[Feed, Source] = {"observations": config.source}
    return observations if config.labels is None else {**observations, "labels": config.labels}


def candidates(landing: Path, source: Source) -> Iterator[Path]:
    """Files in the landing folder that the source takes, sorted by path. Hidden and '_' names are left alone."""
    if not landing.is_dir():
        return
    root = landing.resolve()
    for path in sorted(landing.rglob("*")):
        name = path.name
        if name.startswith((".", "_")) or not fnmatch.fnmatch(name, source.pattern):
            continue
        if path.is_file() and path.resolve().is_relative_to(root):
            yield path


def new_files(
    landing: Path,
    source: Source,
    feed: Feed,
    ledger: Sequence[BatchRecord],
    rules: str,
    tell: Callable[[str], None] = lambda _: None,
) -> list[LandedFile]:
    """Landed files whose content the ledger does not have, each content once.

    A file of a path, size and time that the ledger knows is not read again. One that was refused under other rules is
    new again: a mended configuration takes it.

    Args:
        landing: The landing folder.
        source: What it takes.
        feed: Which table it feeds.
        ledger: The batches known.
        rules: Digest of what files are judged by now.
        tell: Told of each file that can't be opened; it is tried again with the next run.
    """
    settled = [one for one in ledger if one.feed == feed and (one.verdict == "accepted" or one.rules == rules)]
    seen = {(batch.path, batch.size, batch.mtime_ns) for batch in settled}
    contents = {batch.batch for batch in settled}
    found = []
    for path in candidates(landing, source):
        try:
            status = path.stat()
            if (path.relative_to(landing).as_posix(), status.st_size, status.st_mtime_ns) in seen:
                continue
            file = landed(path, landing, feed)
        except FileNotFoundError:
            continue  # it was taken away since the folder was listed
        except OSError as error:
            tell(f"{path} can't be opened: {error.strerror or error}. It is tried again with the next run.")
            continue
        if file.sha256 not in contents:
            contents.add(file.sha256)
            found.append(file)
    return found


def landed(path: Path, landing: Path, feed: Feed) -> LandedFile:
    """A file as it lies there now.

    Raises:
        OSError: it is gone or can't be opened.
    """
    status = path.stat()
    return LandedFile(
        feed=feed,
        path=path.relative_to(landing).as_posix(),
        uri=str(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=content_hash(path, feed),
    )


def content_hash(path: Path, feed: Feed) -> str:
    """SHA-256 of a file's bytes, the feed mixed in: one file may land as observations and as labels."""
    hasher = hashlib.sha256(feed.encode() + b"\0")
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
