"""Labels by key: kept durably, then landed as files of the pipeline's labels, which the ordinary ingest takes in."""

from __future__ import annotations

import csv
import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from configs.schema import PipelineConfig
from configs.serving import Serving
from configs.source import LabelSource
from perennial.serving.feedback_file import content, file_name, is_text
from perennial.serving.feedback_landing import WAITING, durable, land, waiting
from perennial.serving.fields import Field
from perennial.serving.problem import FieldError, RequestRejectedError, rejected_rows
from tasks.errors import UsageError
from tasks.stores.locks.file import FileLock
from tasks.stores.settings import Settings

_log = logging.getLogger("perennial.serving.feedback")
# Whether a value is allowed, and within its range, is for the ingest to validate: it keeps what it refuses.
_ANY = Serving(unknown_category="accept", out_of_range="accept")
_MOST_TRIES = 6


class Feedback:
    """Labels on their way from callers to where they land. One a process; its thread lands them.

    Args:
        places: Where the state and landing folders are.
        configs: The pipelines by name. It may change meanwhile.
        land_seconds: Seconds between two files of a pipeline.
        most_mebibytes: Most disk that labels which wait may take; beyond, callers are asked to try again later.
    """

    def __init__(
        self,
        places: Settings,
        configs: Mapping[str, PipelineConfig],
        land_seconds: float = 5.0,
        most_mebibytes: float = 1024.0,
    ) -> None:
        self._places, self._configs, self._pause = places, configs, land_seconds
        self._most = most_mebibytes * (1 << 20)
        self._root = places.state / "served" / "feedback"
        self._failing: dict[str, int] = {}  # pipelines whose labels could not be landed, and how often
        self._skip: dict[str, int] = {}
        self._over = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feedback-land", daemon=True)
        self._thread.start()

    def put(self, pipeline: str, rows: Sequence[Mapping[str, Any]]) -> str:
        """Keep labels; on return they are on disk for good. It waits for the disk: call it from a thread.

        Args:
            pipeline: The pipeline.
            rows: Each with the key's columns and the target, as JSON has them; timestamps as ISO 8601 text.

        Returns:
            An id of what was kept.

        Raises:
            RefusedError: 400: rows that are not of the contract. 409: the pipeline takes no labels by key. 503: the
                disk is full, or too much waits to land.
            KeyError: no such pipeline.
        """
        config = self._configs[pipeline]
        source = _label_source(config)
        columns = _typed(config, rows)
        _check_writable(config, source, columns)
        if self._over:
            raise RequestRejectedError(503, "Too many labels wait to land. Try again later.", retry_after=60)
        key = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%f')}-{secrets.token_hex(4)}"
        folder = self._root / pipeline
        try:
            folder.mkdir(parents=True, exist_ok=True)
            durable(folder / f"{key}{WAITING}", orjson.dumps(columns))
        except OSError as error:
            _log.error("%s: labels can't be stored: %s", pipeline, error)
            raise RequestRejectedError(
                503, "Labels can't be stored: the disk can't be written.", retry_after=60
            ) from None
        return key

    def close(self) -> None:
        """Land what waits, and end the thread."""
        self._stop.set()
        self._thread.join(self._pause + 10.0)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._land_all()
        self._skip.clear()
        self._land_all()

    def _land_all(self) -> None:
        """Land what waits, of every pipeline, unless another process is at it."""
        try:
            names = [name for name in list(self._configs) if (self._root / name).is_dir()]
            self._over = sum(_size(self._root / name) for name in names) >= self._most
            if not names:
                return
            lock = FileLock(self._root, "land")
        except OSError as error:
            _log.error("labels can't be landed: %s", error)
            return
        try:
            if lock.try_acquire():
                for name in names:
                    self._land_pipeline(name)
        finally:
            lock.close()

    def _land_pipeline(self, name: str) -> None:
        if self._skip.get(name, 0) > 0:
            self._skip[name] -= 1
            return
        try:
            rows = land(self._root / name, self._configs[name], self._places)
        except Exception as error:  # whatever it is, the labels wait, and other pipelines' are landed
            tries = self._failing[name] = self._failing.get(name, 0) + 1
            self._skip[name] = int(2 ** min(tries, _MOST_TRIES)) - 1
            if tries == 1:
                _log.exception("%s: labels can't be landed and wait (%s)", name, type(error).__name__)
            return
        if self._failing.pop(name, 0):
            _log.info("%s: labels are landed again", name)
        if rows:
            _log.info("%s: %d labels landed", name, rows, extra={"pipeline": name, "rows": rows})


def _label_source(config: PipelineConfig) -> LabelSource:
    """Where a pipeline's labels land.

    Raises:
        RefusedError: they come with the observations, or in files that can't be written here.
    """
    if config.labels is None:
        raise RequestRejectedError(
            409,
            f"This pipeline takes no labels by key: its {config.contract.target} comes with the observations. Land it "
            "there, or give the pipeline a section `labels`.",
        )
    try:
        file_name(config.labels, "feedback-x")
    except UsageError as error:
        raise RequestRejectedError(409, str(error)) from None
    return config.labels


def _typed(config: PipelineConfig, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows as typed columns.

    Raises:
        RefusedError: a value is missing or not of its column's type, or there is a column that is none of labels.
    """
    columns = config.label_columns
    if not rows:
        raise RequestRejectedError(400, f"No labels; expected rows with {', '.join(columns)}.")
    # A name is reported only if it is the contract's: another one may be anything.
    wrong = [
        FieldError(
            name if name in config.contract.columns else "?", row, f"none of labels; expected {', '.join(columns)}"
        )
        for row, one in enumerate(rows)
        for name in one
        if name not in columns
    ]
    found = {}
    for name, column in columns.items():
        field = Field(name, column, _ANY, config.contract.timezone)
        found[name], mistakes = field.read([one.get(name) for one in rows])
        wrong += mistakes
    if wrong:
        raise rejected_rows(sorted(wrong, key=lambda one: one.row))
    return found


def _check_writable(config: PipelineConfig, source: LabelSource, columns: Mapping[str, list[Any]]) -> None:
    """Texts that the form of the files can't say: they would come in as others, or not at all.

    Raises:
        RefusedError: there are some.
    """
    name = file_name(source, "feedback-x")
    texts = [one for one, column in config.label_columns.items() if column.type == "string"]
    if is_text(source, name):
        wrong = [
            FieldError(one, row, "a text that means missing in files of these labels; expected another")
            for one in texts
            for row, value in enumerate(columns[one])
            if value is not None and value.strip() in source.missing
        ]
        if wrong:
            raise rejected_rows(wrong)
    try:
        content(source, name, columns, config.label_columns)
    except (UnicodeEncodeError, csv.Error):
        raise RequestRejectedError(
            400, "A text has characters that files of these labels can't hold (labels.encoding, labels.quote)."
        ) from None


def _size(folder: Path) -> int:
    total = 0
    for path in waiting(folder):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # landed meanwhile
    return total
