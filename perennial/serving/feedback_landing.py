"""Labels that wait, into one file where the pipeline's labels land: once, however often who lands them is killed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from configs.schema import PipelineConfig
from configs.source import LabelSource
from perennial.serving.feedback_file import content, file_name
from tasks.errors import UsageError
from tasks.stores.landing.folder import is_url
from tasks.stores.settings import Settings

WAITING, CLAIM, DONE = ".json", "claim-", "done-"
_MOST_FILES, _MOST_BYTES = 10_000, 64 << 20
_OLD_SECONDS = 3600.0


class LandingClaim(NamedTuple):
    """What is to land as one file: its name, and the names of what waits."""

    name: str
    files: list[str]


def waiting(folder: Path) -> list[Path]:
    """What waits to land, oldest first."""
    return sorted(path for path in folder.glob(f"*{WAITING}") if not path.name.startswith((CLAIM, DONE, ".")))


def land(folder: Path, config: PipelineConfig, places: Settings) -> int:
    """Land what waits, as one file, or several where it is much; how many rows. One process at a time may.

    What is to land is written down first: killed at any moment, the next one lands the same bytes under the same name,
    or finds that they lie there.

    Args:
        folder: Where it waits.
        config: The pipeline's; its labels land in files of their own.
        places: Where landing folders are.

    Raises:
        PerennialError: the landing place can't be reached, or no file can be written for it.
        OSError: the disk can't be written.
    """
    source = config.labels
    if source is None:
        raise UsageError(f"{config.name}: labels wait in {folder}, but its labels come with the observations now.")
    _remove_landed(folder)
    rows = 0
    for path in sorted(folder.glob(f"{CLAIM}*{WAITING}")):
        rows += _land(folder, path, config, source, places)
    while paths := _next(waiting(folder)):
        rows += _land(folder, _claim(folder, source, paths), config, source, places)
    return rows


def _next(paths: Sequence[Path]) -> list[str]:
    found: list[str] = []
    size = 0
    for path in paths[:_MOST_FILES]:
        size += path.stat().st_size
        if found and size > _MOST_BYTES:
            break
        found.append(path.name)
    return found


def _claim(folder: Path, source: LabelSource, files: list[str]) -> Path:
    stamp = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
    path = folder / f"{CLAIM}{stamp}{WAITING}"
    durable(path, orjson.dumps(LandingClaim(file_name(source, f"feedback-{stamp}"), files)._asdict()))
    return path


def _land(folder: Path, path: Path, config: PipelineConfig, source: LabelSource, places: Settings) -> int:
    claim = LandingClaim(**orjson.loads(path.read_bytes()))
    columns: dict[str, list[Any]] = {name: [] for name in config.label_columns}
    rows = 0
    for file in claim.files:
        found = orjson.loads((folder / file).read_bytes())
        count = len(next(iter(found.values())))
        for name, values in columns.items():
            values.extend(found.get(name, [None] * count))
        rows += count
    _deliver(source, places, claim.name, content(source, claim.name, columns, config.label_columns))
    path.rename(folder / path.name.replace(CLAIM, DONE, 1))
    sync_folder(folder)
    _remove_landed(folder)
    return rows


def _remove_landed(folder: Path) -> None:
    """Remove what has landed, and what was never written whole."""
    for path in folder.glob(f"{DONE}*{WAITING}"):
        for file in LandingClaim(**orjson.loads(path.read_bytes())).files:
            (folder / file).unlink(missing_ok=True)
        path.unlink()
    for path in folder.glob(".*.part"):
        if datetime.now(UTC).timestamp() - path.stat().st_mtime > _OLD_SECONDS:
            path.unlink(missing_ok=True)


def _deliver(source: LabelSource, places: Settings, name: str, text: bytes) -> None:
    address = places.landing(source.landing)
    marks = [f"{name}{source.marker}"] if source.ready == "marker" else []
    if is_url(address):
        from perennial.serving.feedback_remote import deliver

        deliver(address, name, text, marks)
        return
    target = Path(address)
    target.mkdir(parents=True, exist_ok=True)
    if not (target / name).exists():  # else it was killed right after
        durable(target / name, text)
    for mark in marks:
        (target / mark).touch()


def durable(path: Path, text: bytes) -> None:
    """Write a file, whose name nobody else uses, whole: hidden at first. The disk keeps it through a power cut."""
    draft = path.with_name(f".{path.name}.part")  # one that a kill left is written over
    try:
        with draft.open("wb") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
