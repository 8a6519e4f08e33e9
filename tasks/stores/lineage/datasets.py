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
from tasks.stores.lineage import columns, facets, places
from tasks.stores.lineage.places import Place
from tasks.stores.lineage.work import Seen, Work
from tasks.stores.settings import Settings

_OURS = (ROW_ID, SEQ, BATCH, ROW)


class Traffic(NamedTuple):
    """What a stage read and wrote."""

    inputs: list[InputDataset]
    outputs: list[OutputDataset]


class Scene(NamedTuple):
    """One run of a stage: where things are, what it is about, what was done, what was seen."""

    settings: Settings
    config: PipelineConfig
    work: Work
    seen: Seen

    def table(self, name: str) -> Place:
        """A table of the lake."""
        return places.table(self.settings, self.config.name, name)

    def columns(self, feed: Feed) -> dict[str, Column]:
        """The contract's columns of a feed."""
        return self.config.columns_of(feed)


def traffic(stage: StageName, scene: Scene) -> Traffic:
    """What one run of a stage read and wrote, as far as it came."""
    reads, writes = _STAGES[stage]
    return Traffic(list(reads(scene)), list(writes(scene)))


# ------------------------------------------------------------------------------------------------ ingestion
def _landed(scene: Scene) -> Iterator[InputDataset]:
    taken = {(one.feed, one.batch): one for one in scene.work.batches}
    for file in scene.work.files:
        batch = taken.get((file.feed, file.sha256))
        if batch is not None or not taken:  # what was found and not taken after all was not read
            yield _file(scene, file, batch)


def _file(scene: Scene, file: LandedFile, batch: BatchRecord | None) -> InputDataset:
    place = places.of_address(file.uri)
    told = {"schema": facets.schema(scene.columns(file.feed)), **facets.file(place, file.sha256)}
    found = scene.seen.expectations.get(file.sha256, ())
    quality = facets.quality(None if batch is None else batch.rows, file.size, results=found)
    return InputDataset(place.namespace, place.name, inputFacets=quality, facets=told)


def _ingested(scene: Scene) -> Iterator[OutputDataset]:
    for feed in ("observations", "labels"):
        batches = [one for one in scene.work.batches if one.feed == feed and one.verdict == "accepted"]
        if batches:
            yield _fed(scene, feed, sum(one.accepted for one in batches))
    refused = sum(one.quarantined for one in scene.work.batches)
    if refused or any(one.verdict == "rejected" for one in scene.work.batches):
        yield _written(scene, "quarantine", facets.arrow_schema(QUARANTINE), None)


def _fed(scene: Scene, feed: Feed, rows: int) -> OutputDataset:
    return _written(scene, feed, facets.schema(scene.columns(feed), _OURS), rows)


def _written(scene: Scene, name: str, schema: SchemaDatasetFacet, rows: int | None) -> OutputDataset:
    place, state = scene.table(name), scene.seen.tables.get(name)
    before = scene.seen.before.get(name)
    size = None if state is None else state.written_since(before)
    if rows is None and state is not None and state.rows is not None and (before is None or before.rows is not None):
        rows = state.rows - ((before.rows or 0) if before is not None else 0)
    told = {"schema": schema, **facets.table(place, state)}
    return OutputDataset(place.namespace, place.name, outputFacets=facets.written(rows, size), facets=told)


# ------------------------------------------------------------------------------------------------ features
def _observed(scene: Scene) -> Iterator[InputDataset]:
    if scene.work.dataset is None:
        return
    yield _fed_from(scene, "observations")
    if scene.config.labels is not None:
        yield _fed_from(scene, "labels")


def _fed_from(scene: Scene, feed: Feed) -> InputDataset:
    place, state = scene.table(feed), scene.seen.tables.get(feed)
    told = {"schema": facets.schema(scene.columns(feed), _OURS), **facets.table(place, state)}
    quality = facets.quality(None) if state is None else facets.quality(state.rows, state.size, state.nulls)
    return InputDataset(place.namespace, place.name, inputFacets=quality, facets=told)


def _split(scene: Scene) -> Iterator[OutputDataset]:
    made = scene.work.training_set
    if made is None:
        return
    labels = scene.table("labels") if scene.config.labels is not None else None
    names = _training_columns(scene)
    lineage = columns.of_training_set(scene.config, names, made.split, scene.table("observations"), labels)
    for side, rows in (("train", made.train_rows), ("holdout", made.holdout_rows)):
        place = _side(scene, side, made)
        told = {**_side_facets(scene, place, made), "columnLineage": lineage}
        amount = facets.written(rows, scene.seen.sizes.get(side), 1)
        yield OutputDataset(place.namespace, place.name, outputFacets=amount, facets=told)


def _training_columns(scene: Scene) -> tuple[str, ...]:
    """The training set's columns: the pipeline's, and those that only the champion takes."""
    champion = scene.work.champion
    wanted = [*champion.feature_columns, champion.split.column] if champion else []
    extra = [name for name in wanted if name in scene.config.observation_columns]
    both = dict.fromkeys([*scene.config.training_columns, *extra])
    return tuple(name for name in both if name != scene.config.contract.target)


def _side(scene: Scene, side: str, made: TrainingSetRef) -> Place:
    return places.training_set(scene.settings, scene.config.name, side, made.folder)


def _side_facets(scene: Scene, place: Place, made: TrainingSetRef) -> facets.Facets:
    schema = facets.training_schema(scene.config, _training_columns(scene))
    return {"schema": schema, **facets.source(place), **facets.version(made.digest)}


# ------------------------------------------------------------------------------------------------ training and after
def _from_side(scene: Scene, side: str) -> Iterator[InputDataset]:
    made = scene.work.training_set
    if made is None:
        return
    place = _side(scene, side, made)
    rows = made.train_rows if side == "train" else made.holdout_rows
    quality = facets.quality(rows, scene.seen.sizes.get(side))
    yield InputDataset(place.namespace, place.name, inputFacets=quality, facets=_side_facets(scene, place, made))


def _trained_on(scene: Scene) -> Iterator[InputDataset]:
    yield from _from_side(scene, "train")


def _fitted(scene: Scene) -> Iterator[OutputDataset]:
    ref, made = scene.work.model, scene.work.training_set
    if ref is None:
        return
    place, told = _model(scene, ref)
    if made is not None:
        told["columnLineage"] = columns.of_model(scene.config, _side(scene, "train", made))
    yield OutputDataset(place.namespace, place.name, facets=told)


def _model(scene: Scene, ref: ModelRef) -> tuple[Place, facets.Facets]:
    place = places.model(scene.settings, scene.config.name)
    told = facets.model(place, ref, scene.config.training.estimator)
    return place, {"schema": facets.model_schema(scene.config), **told}


def _judged_on(scene: Scene) -> Iterator[InputDataset]:
    yield from _candidate(scene)
    if scene.work.champion is not None:
        place = places.model(scene.settings, scene.config.name, "champion")
        told = {**facets.source(place), **facets.version(scene.work.champion.version)}
        yield InputDataset(place.namespace, place.name, facets=told)
    yield from _from_side(scene, "holdout")


def _candidate(scene: Scene) -> Iterator[InputDataset]:
    if scene.work.model is not None:
        place, told = _model(scene, scene.work.model)
        yield InputDataset(place.namespace, place.name, facets=told)


def _decided(scene: Scene) -> Iterator[OutputDataset]:
    if scene.work.verdict is not None:
        yield _written(scene, "decisions", facets.arrow_schema(DECISIONS), 1)


def _placed(scene: Scene) -> Iterator[OutputDataset]:
    promotion = scene.work.promotion
    if promotion is None:
        return
    yield _written(scene, "decisions", facets.arrow_schema(DECISIONS), 1)
    if promotion.outcome == "promoted":
        place = places.model(scene.settings, scene.config.name, "champion")
        told = {**facets.source(place), **facets.version(promotion.version)}
        yield OutputDataset(place.namespace, place.name, facets=told)


_STAGES: dict[
    StageName, tuple[Callable[[Scene], Iterator[InputDataset]], Callable[[Scene], Iterator[OutputDataset]]]
] = {
    "ingestion": (_landed, _ingested),
    "features": (_observed, _split),
    "training": (_trained_on, _fitted),
    "evaluation": (_judged_on, _decided),
    "release": (_candidate, _placed),
}
