"""The corpus' pipeline, and what becomes of its files without Prefect: read one by one, judged, written to a lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from configs import load
from configs.schema import PipelineConfig
from tasks.records.data import BatchRecord, BatchVerdict, StagedBatch
from tests.support.corpus.base import KINDS, Sample
from tests.support.validation.batches import Home

_TOGETHER = 64
NOW = datetime(2026, 3, 1, tzinfo=UTC)
# Limits are low, so that bombs are small.
YAML = f"""\
name: corpus
description: Damaged files, and sound ones beside them.
task: regression
source:
  landing: corpus
  limits:
    {{file_bytes: 2100000, decompressed_bytes: 20971520, ratio: 100, rows: 20000, columns: 200, row_bytes: 65536,
     nesting: 16}}
contract:
  key: [id, place]
  event_time: at
  target: y
  policies: {{future: quarantine}}
  columns:
    id: {{type: integer}}
    place: {{type: string}}
    at: {{type: timestamp, minimum: "2020-01-01"}}
    x: {{type: number, nullable: true, minimum: 0, maximum: 100}}
    y: {{type: number, minimum: 1000, maximum: 2000}}
    n: {{type: integer, nullable: true}}
    kind: {{type: string, allowed: [{", ".join(KINDS)}], aliases: [mode]}}
    ok: {{type: boolean, nullable: true, required: false}}
    note: {{type: string, nullable: true, required: false}}
validation: {{max_quarantined_share: 0.5}}
features: {{numeric: [x, n]}}
split: {{kind: random}}
training: {{estimator: sklearn.linear_model.LinearRegression}}
evaluation: {{primary: mae}}
"""


class Verdict(NamedTuple):
    """What became of a file.

    Attributes:
        reason: Why the file was refused, or rows of it were, each reason once. Of a file that made an exception, that.
    """

    verdict: BatchVerdict | Literal["exception"]
    reason: str
    rows: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0


def judged(folder: Path, samples: Sequence[Sample]) -> dict[str, Verdict]:
    """The verdicts on files, by name. What makes an exception does not keep the others from their verdict."""
    home = Home(folder, corpus_config(folder))
    found: dict[str, Verdict] = {}
    staged: list[StagedBatch] = []
    names: dict[str, str] = {}
    for one in samples:
        try:
            staged.append(home.staged(one.name.replace("/", "--"), one.content))
            names[staged[-1].file.path] = one.name
        except Exception as error:  # whatever it is, its file is to be named
            found[one.name] = Verdict("exception", repr(error))
    records = [
        record
        for start in range(0, len(staged), _TOGETHER)
        for record in _taken(home, staged[start : start + _TOGETHER])
    ]
    told: dict[str, dict[str, None]] = {}
    for entry in home.lake.read("quarantine", ["path", "reason"]).to_pylist():
        told.setdefault(entry["path"], {})[entry["reason"]] = None
    for record, path in records:
        if isinstance(record, str):
            found[names[path]] = Verdict("exception", record)
            continue
        found[names[path]] = Verdict(record.verdict, "; ".join(told.get(path, ())), record.rows, record.accepted,
                                     record.quarantined, record.duplicates)  # fmt: skip
    return found


def _taken(home: Home, batches: Sequence[StagedBatch]) -> list[tuple[BatchRecord | str, str]]:
    """Each file's record; of one that makes an exception, the exception."""
    try:
        return [(record, record.path) for record in home.commit_batches(*batches, now=NOW)]
    except Exception as error:  # whatever it is, its file is to be named
        if len(batches) == 1:
            return [(repr(error), batches[0].file.path)]
    half = len(batches) // 2
    return _taken(home, batches[:half]) + _taken(home, batches[half:])


def corpus_config(folder: Path) -> PipelineConfig:
    """The pipeline, from a YAML that is written to the folder."""
    path = folder / "corpus.yaml"
    path.write_text(YAML, encoding="utf-8")
    return load.read(path)
