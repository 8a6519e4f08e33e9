"""What each stage reads and writes, as OpenLineage datasets: pure functions of our records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.generated.schema_dataset import SchemaDatasetFacet

from configs.contract import Column
from configs.schema import PipelineConfig
from tasks.records.data import BatchRecord, Feed, LandedFile, TrainingSetRef
from tasks.records.model import ModelRef
from tasks.records.stages import StageName
from tasks.stores.lake.schemas import BATCH, DECISIONS, QUARANTINE, ROW, ROW_ID, SEQ
from tasks.stores.lineage import columns, facets, naming
from tasks.stores.lineage.naming import DatasetName
from tasks.stores.lineage.stage_data import DataStatistics, StageData
from tasks.stores.settings import Settings

_OURS = (ROW_ID, SEQ, BATCH, ROW)


class StageDatasets(NamedTuple):
    """What a stage read and wrote."""

    inputs: list[InputDataset]
    outputs: list[OutputDataset]


class LineageContext(NamedTuple):
    """One run of a stage: where things are, what it is about, what was done, what was seen."""

    settings: Settings
    config: PipelineConfig
    data: StageData
    statistics: DataStatistics

    def table(self, name: str) -> DatasetName:
        """A table of the lake."""
        return naming.table(self.settings, self.config.name, name)

    def columns(self, feed: Feed) -> dict[str, Column]:
        """The contract's columns of a feed."""
        return self.config.columns_of(feed)


def stage_datasets(stage: StageName, context: LineageContext) -> StageDatasets:
    """What one run of a stage read and wrote, as far as it came."""
    reads, writes = _STAGES[stage]
    return StageDatasets(list(reads(context)), list(writes(context)))


# ------------------------------------------------------------------------------------------------ ingestion
def _ingestion_inputs(context: LineageContext) -> Iterator[InputDataset]:
    taken = {(one.feed, one.batch): one for one in context.data.batches}
    for file in context.data.files:
        batch = taken.get((file.feed, file.sha256))
        if batch is not None or not taken:  # what was found and not taken after all was not read
            yield _file_input(context, file, batch)


def _file_input(context: LineageContext, file: LandedFile, batch: BatchRecord | None) -> InputDataset:
    place = naming.of_address(file.uri)
    dataset_facets = {"schema": facets.schema(context.columns(file.feed)), **facets.file(place, file.sha256)}
    expectations = context.statistics.expectations.get(file.sha256, ())
    quality = facets.quality(None if batch is None else batch.rows, file.size, results=expectations)
    return InputDataset(place.namespace, place.name, inputFacets=quality, facets=dataset_facets)


def _ingestion_outputs(context: LineageContext) -> Iterator[OutputDataset]:
    for feed in ("observations", "labels"):
        batches = [one for one in context.data.batches if one.feed == feed and one.verdict == "accepted"]
        if batches:
            yield _feed_output(context, feed, sum(one.accepted for one in batches))
    refused = sum(one.quarantined for one in context.data.batches)
    if refused or any(one.verdict == "rejected" for one in context.data.batches):
        yield _table_output(context, "quarantine", facets.arrow_schema(QUARANTINE), None)


def _feed_output(context: LineageContext, feed: Feed, rows: int) -> OutputDataset:
    return _table_output(context, feed, facets.schema(context.columns(feed), _OURS), rows)


def _table_output(context: LineageContext, name: str, schema: SchemaDatasetFacet, rows: int | None) -> OutputDataset:
    place, state = context.table(name), context.statistics.tables.get(name)
    before = context.statistics.before.get(name)
    size = None if state is None else state.written_since(before)
    if rows is None and state is not None and state.rows is not None and (before is None or before.rows is not None):
        rows = state.rows - ((before.rows or 0) if before is not None else 0)
    dataset_facets = {"schema": schema, **facets.table(place, state)}
    return OutputDataset(place.namespace, place.name, outputFacets=facets.written(rows, size), facets=dataset_facets)


# ------------------------------------------------------------------------------------------------ features
def _features_inputs(context: LineageContext) -> Iterator[InputDataset]:
    if context.data.dataset is None:
        return
    yield _feed_input(context, "observations")
    if context.config.labels is not None:
        yield _feed_input(context, "labels")


def _feed_input(context: LineageContext, feed: Feed) -> InputDataset:
    place, state = context.table(feed), context.statistics.tables.get(feed)
    dataset_facets = {"schema": facets.schema(context.columns(feed), _OURS), **facets.table(place, state)}
    quality = facets.quality(None) if state is None else facets.quality(state.rows, state.size, state.nulls)
    return InputDataset(place.namespace, place.name, inputFacets=quality, facets=dataset_facets)


def _features_outputs(context: LineageContext) -> Iterator[OutputDataset]:
    training_set = context.data.training_set
    if training_set is None:
        return
    labels = context.table("labels") if context.config.labels is not None else None
    names = _training_columns(context)
    lineage = columns.of_training_set(context.config, names, training_set.split, context.table("observations"), labels)
    for side, rows in (("train", training_set.train_rows), ("holdout", training_set.holdout_rows)):
        place = _side(context, side, training_set)
        dataset_facets = {**_side_facets(context, place, training_set), "columnLineage": lineage}
        amount = facets.written(rows, context.statistics.sizes.get(side), 1)
        yield OutputDataset(place.namespace, place.name, outputFacets=amount, facets=dataset_facets)


def _training_columns(context: LineageContext) -> tuple[str, ...]:
    """The training set's columns: the pipeline's, and those that only the champion takes."""
    champion = context.data.champion
    wanted = [*champion.feature_columns, champion.split.column] if champion else []
    extra = [name for name in wanted if name in context.config.observation_columns]
    both = dict.fromkeys([*context.config.training_columns, *extra])
    return tuple(name for name in both if name != context.config.contract.target)


def _side(context: LineageContext, side: str, training_set: TrainingSetRef) -> DatasetName:
    return naming.training_set(context.settings, context.config.name, side, training_set.folder)


def _side_facets(context: LineageContext, place: DatasetName, training_set: TrainingSetRef) -> facets.Facets:
    schema = facets.training_schema(context.config, _training_columns(context))
    return {"schema": schema, **facets.source(place), **facets.version(training_set.digest)}


# ------------------------------------------------------------------------------------------------ training and after
def _from_side(context: LineageContext, side: str) -> Iterator[InputDataset]:
    training_set = context.data.training_set
    if training_set is None:
        return
    place = _side(context, side, training_set)
    rows = training_set.train_rows if side == "train" else training_set.holdout_rows
    quality = facets.quality(rows, context.statistics.sizes.get(side))
    yield InputDataset(
        place.namespace, place.name, inputFacets=quality, facets=_side_facets(context, place, training_set)
    )


def _training_inputs(context: LineageContext) -> Iterator[InputDataset]:
    yield from _from_side(context, "train")


def _training_outputs(context: LineageContext) -> Iterator[OutputDataset]:
    ref, training_set = context.data.model, context.data.training_set
    if ref is None:
        return
    place, dataset_facets = _model(context, ref)
    if training_set is not None:
        dataset_facets["columnLineage"] = columns.of_model(context.config, _side(context, "train", training_set))
    yield OutputDataset(place.namespace, place.name, facets=dataset_facets)


def _model(context: LineageContext, ref: ModelRef) -> tuple[DatasetName, facets.Facets]:
    place = naming.model(context.settings, context.config.name)
    dataset_facets = facets.model(place, ref, context.config.training.estimator)
    return place, {"schema": facets.model_schema(context.config), **dataset_facets}


def _evaluation_inputs(context: LineageContext) -> Iterator[InputDataset]:
    yield from _candidate(context)
    if context.data.champion is not None:
        place = naming.model(context.settings, context.config.name, "champion")
        dataset_facets = {**facets.source(place), **facets.version(context.data.champion.version)}
        yield InputDataset(place.namespace, place.name, facets=dataset_facets)
    yield from _from_side(context, "holdout")


def _candidate(context: LineageContext) -> Iterator[InputDataset]:
    if context.data.model is not None:
        place, dataset_facets = _model(context, context.data.model)
        yield InputDataset(place.namespace, place.name, facets=dataset_facets)


def _evaluation_outputs(context: LineageContext) -> Iterator[OutputDataset]:
    if context.data.verdict is not None:
        yield _table_output(context, "decisions", facets.arrow_schema(DECISIONS), 1)


def _release_outputs(context: LineageContext) -> Iterator[OutputDataset]:
    promotion = context.data.promotion
    if promotion is None:
        return
    yield _table_output(context, "decisions", facets.arrow_schema(DECISIONS), 1)
    if promotion.outcome == "promoted":
        place = naming.model(context.settings, context.config.name, "champion")
        dataset_facets = {**facets.source(place), **facets.version(promotion.version)}
        yield OutputDataset(place.namespace, place.name, facets=dataset_facets)


_STAGES: dict[
    StageName,
    tuple[Callable[[LineageContext], Iterator[InputDataset]], Callable[[LineageContext], Iterator[OutputDataset]]],
] = {
    "ingestion": (_ingestion_inputs, _ingestion_outputs),
    "features": (_features_inputs, _features_outputs),
    "training": (_training_inputs, _training_outputs),
    "evaluation": (_evaluation_inputs, _evaluation_outputs),
    "release": (_candidate, _release_outputs),
}
