"""Files taken into a lake as a run does it, without Prefect: staged, judged, written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from configs import load
from configs.schema import PipelineConfig
from tasks.ingestion.discover import feeds
from tasks.ingestion.staging import stage
from tasks.records.data import BatchRecord, LandedFile, StagedBatch
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.validation.commit import commit_batches

NOW = datetime(2026, 3, 1, tzinfo=UTC)

YAML = """\
name: trips
description: x
task: regression
source: {{landing: trips}}
contract:
  key: [id, place]
  event_time: at
  target: x
  policies: {policies}
  columns:
    id: {{type: integer}}
    place: {{type: string}}
    at: {{type: timestamp}}
    x: {{type: number, nullable: true, minimum: 0, maximum: 100}}
expectations: {expectations}
validation: {{max_quarantined_share: {share}}}
features: {{numeric: [id]}}
split: {{kind: random}}
training: {{estimator: sklearn.linear_model.LinearRegression}}
evaluation: {{primary: mae}}
"""


def pipeline(folder: Path, policies: str = "{}", expectations: str = "[]", share: float = 1.0) -> PipelineConfig:
    path = folder / "trips.yaml"
    path.write_text(YAML.format(policies=policies, expectations=expectations, share=share))
    return load.read(path)


class Home:
    """A lake below a folder, and what files come to in it."""

    def __init__(self, folder: Path, config: PipelineConfig) -> None:
        self.folder = folder
        self.config = config
        self.settings = Settings(home=folder / "home")
        self.settings.state.mkdir(parents=True)
        self.lake = Lake(self.settings, config)
        self.lake.create()

    def staged(self, name: str, content: str | bytes) -> StagedBatch:
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        path.write_bytes(data)
        file = LandedFile(
            feed="observations",
            path=name,
            uri=str(path),
            size=len(data),
            mtime_ns=1,
            sha256=hashlib.sha256(name.encode() + data).hexdigest(),
        )
        source, columns = feeds(self.config)["observations"], self.config.columns_of("observations")
        return stage(self.config, file, path, source, columns, self.folder / f"{file.sha256}.arrow")

    def commit_batches(self, *batches: StagedBatch, now: datetime = NOW) -> list[BatchRecord]:
        return [one for one, _ in commit_batches(self.config, self.settings, batches, now, self.config.expectations)]

    def land(self, name: str, content: str | bytes) -> BatchRecord:
        (record,) = self.commit_batches(self.staged(name, content))
        return record

    def observations(self, columns: Sequence[str] = ("id", "place", "at", "x")) -> list[tuple[object, ...]]:
        rows = self.lake.read("observations", columns).to_pylist()
        return sorted((tuple(row[name] for name in columns) for row in rows), key=repr)
