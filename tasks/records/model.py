"""The reference to a fitted model."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from configs.contract import Column
from tasks.records.base import StoredRecord
from tasks.records.data import SplitRecord


class ModelRef(StoredRecord):
    """One logged model: where it lies and what it was made from.

    Attributes:
        folder: Its files on local disk: model.skops and, below extra_files, a probe, a reference sample, the baseline.
        recipe: Digest of all that decides what it is but the data: configuration, code, libraries, seed.
        training: Fingerprint of its training: the recipe and the data.
        columns: Columns that its Pipeline takes, in order, as the contract had them.
        through_seq: Sequence number of the newest batch that it was trained on.
        labelled: Labelled rows there were when it was trained.
        observations, labels: Versions of the Delta tables that it was trained on. Models of before that was noted have
            no version of `observations`.
    """

    schema_number: ClassVar[int] = 2

    pipeline: str
    run_id: str
    model_uri: str
    folder: str
    version: int | None = None
    recipe: str
    training: str
    columns: dict[str, Column]
    dataset_digest: str
    through_seq: int
    labelled: int
    observations: int | None = None
    labels: int | None = None
    train_rows: int
    newest_event: datetime | None
    split: SplitRecord

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Names of the columns that its Pipeline takes, in order."""
        return tuple(self.columns)
