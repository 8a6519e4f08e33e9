"""Column lineage: from the lake's columns to the training set's, and from those to what the model sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from openlineage.client.generated.column_lineage_dataset import (
    ColumnLineageDatasetFacet,
    Fields,
    InputField,
    Transformation,
)

from configs.schema import PipelineConfig
from tasks.records.data import SplitRecord
from tasks.stores.lake.schemas import ROW_ID, SEQ
from tasks.stores.lineage.naming import DatasetName

TARGET = "_target"


class ModelColumn(NamedTuple):
    """One thing that a model sees, or what it answers: its name, the columns it is made of, and how."""

    name: str
    sources: tuple[str, ...]
    how: str


def of_training_set(
    config: PipelineConfig,
    columns: Iterable[str],
    split: SplitRecord | None,
    observations: DatasetName,
    labels: DatasetName | None,
) -> ColumnLineageDatasetFacet:
    """Each column of the training set from its source; key, split and order as what the whole depends on."""
    target, feed = config.contract.target, labels or observations
    same = Transformation("DIRECT", "IDENTITY")
    fields = {name: Fields([_field(observations, name, same)]) for name in (*columns, ROW_ID)}
    fields[SEQ] = Fields(
        [_field(place, SEQ, _sequence_transformation(labels)) for place in (observations, labels) if place is not None]
    )
    fields[TARGET] = Fields([_field(feed, target, same)])
    return ColumnLineageDatasetFacet(fields=fields, dataset=list(_dataset_fields(config, split, observations, labels)))


def _sequence_transformation(labels: DatasetName | None) -> Transformation:
    if labels is None:
        return Transformation("DIRECT", "IDENTITY")
    return Transformation("DIRECT", "TRANSFORMATION", "the later one of row and label")


def _dataset_fields(
    config: PipelineConfig, split: SplitRecord | None, observations: DatasetName, labels: DatasetName | None
) -> Iterator[InputField]:
    labelled = Transformation("INDIRECT", "FILTER", "rows that have a label")
    yield _field(labels or observations, config.contract.target, labelled)
    if labels is not None:
        for place in (observations, labels):
            yield _field(place, ROW_ID, Transformation("INDIRECT", "JOIN", "a row and its newest label"))
    if split is not None:
        by = Transformation("INDIRECT", "FILTER", f"{split.kind} split, {split.holdout:g} of the rows held out")
        yield _field(observations, split.column or ROW_ID, by)
    if config.contract.event_time:
        yield _field(observations, config.contract.event_time, Transformation("INDIRECT", "SORT"))


def of_model(config: PipelineConfig, training_set: DatasetName) -> ColumnLineageDatasetFacet:
    """Each thing that the model sees from the columns it is made of, and its answer from all of them."""
    return ColumnLineageDatasetFacet(
        fields={
            column.name: Fields(
                [
                    _field(training_set, source, Transformation("DIRECT", "TRANSFORMATION", column.how))
                    for source in column.sources
                ]
            )
            for column in model_columns(config)
        }
    )


def model_columns(config: PipelineConfig) -> Iterator[ModelColumn]:
    """What the model sees, named as its Pipeline names it, then its answer, named by the target."""
    features = config.features
    numeric = "missing values become the training median" + ("; standardised" if features.scale else "")
    for name in features.numeric:
        yield ModelColumn(f"numeric__{name}", (name,), numeric)
    encoding = {
        "onehot": "one column each value (one-hot); unseen values are none of them",
        "ordinal": "one integer each value (ordinal); unseen and missing values have one each",
    }[features.encoding]
    for name in features.categorical:
        yield ModelColumn(f"categorical__{name}", (name,), encoding)
    if config.contract.event_time:
        for part in features.calendar:
            yield ModelColumn(f"calendar__{part}", (config.contract.event_time,), f"{part} of the time in UTC")
    for custom in features.custom:
        yield ModelColumn(custom.name, custom.columns, custom.transformer)
    sources = tuple(dict.fromkeys([*config.feature_columns, TARGET]))
    yield ModelColumn(config.contract.target, sources, f"prediction of {config.training.estimator}, fitted on them")


def _field(place: DatasetName, name: str, how: Transformation) -> InputField:
    return InputField(place.namespace, place.name, name, [how])
