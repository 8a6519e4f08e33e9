"""Facets of datasets, from our records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import attr
import pyarrow as pa
from openlineage.client.facet_v2 import DatasetFacet, InputDatasetFacet, OutputDatasetFacet
from openlineage.client.generated.data_quality_assertions_dataset import Assertion, DataQualityAssertionsDatasetFacet
from openlineage.client.generated.data_quality_metrics_input_dataset import (
    ColumnMetrics,
    DataQualityMetricsInputDatasetFacet,
)
from openlineage.client.generated.dataset_type_dataset import DatasetTypeDatasetFacet
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet
from openlineage.client.generated.schema_dataset import SchemaDatasetFacet, SchemaDatasetFacetFields
from openlineage.client.generated.storage_dataset import StorageDatasetFacet

from configs.contract import Column
from configs.schema import PipelineConfig
from tasks.records.data import ExpectationResult
from tasks.records.model import ModelRef
from tasks.stores.lake.schemas import BATCH, ROW, ROW_ID, SEQ
from tasks.stores.lineage.columns import TARGET, model_columns
from tasks.stores.lineage.naming import DatasetName
from tasks.stores.lineage.stage_data import TableState

Facets = dict[str, DatasetFacet]
_LONGEST = 200
_OURS = {
    ROW_ID: "The row's identity",
    SEQ: "Number of the batch that it came with",
    BATCH: "SHA-256 of the file that it came with",
    ROW: "Its place in the file",
}


@attr.define
class ModelDatasetFacet(DatasetFacet):
    """What a model is: OpenLineage has no facet for models yet."""

    modelUri: str  # noqa: N815  # named as facets' fields are
    mlflowRunId: str  # noqa: N815
    estimator: str
    recipe: str
    trainingFingerprint: str  # noqa: N815
    datasetDigest: str  # noqa: N815
    trainRows: int  # noqa: N815


def field(position: int, name: str, kind: str, description: str | None) -> SchemaDatasetFacetFields:
    """A column in a schema facet; positions count from 1."""
    return SchemaDatasetFacetFields(name, kind, description, position)


def schema(columns: Mapping[str, Column], ours: Iterable[str] = ()) -> SchemaDatasetFacet:
    """Contract columns, and those that Perennial adds."""
    fields: list[tuple[str, str, str | None]] = [
        (name, column.type, _description(column)) for name, column in columns.items()
    ]
    kinds = {ROW_ID: "integer", SEQ: "integer", BATCH: "string", ROW: "integer"}
    fields += [(name, kinds[name], _OURS[name]) for name in ours]
    return SchemaDatasetFacet([field(place, *one) for place, one in enumerate(fields, 1)])


def arrow_schema(table: pa.Schema) -> SchemaDatasetFacet:
    """The columns of a table of the lake that no contract describes."""
    return SchemaDatasetFacet([field(place, one.name, str(one.type), None) for place, one in enumerate(table, 1)])


def training_schema(config: PipelineConfig, columns: Iterable[str]) -> SchemaDatasetFacet:
    """The training set's columns: those of the observations, the target, and ours."""
    found = {name: config.contract.columns[name] for name in columns}
    return schema({**found, TARGET: config.contract.columns[config.contract.target]}, (ROW_ID, SEQ))


def model_schema(config: PipelineConfig) -> SchemaDatasetFacet:
    """What the model sees, as numbers, and what it answers."""
    answer = config.contract.columns[config.contract.target]
    kinds = {config.contract.target: "number" if config.task == "regression" else answer.type}
    fields = [(one.name, kinds.get(one.name, "number"), one.how) for one in model_columns(config)]
    return SchemaDatasetFacet([field(place, *one) for place, one in enumerate(fields, 1)])


def _description(column: Column) -> str | None:
    parts = [text for text in (column.description, column.unit and f"unit: {column.unit}") if text]
    return "; ".join(parts) or None


def version(name: object) -> Facets:
    """The version of a dataset."""
    return {"version": DatasetVersionDatasetFacet(str(name))}


def source(place: DatasetName) -> Facets:
    """Where a dataset can be found."""
    return {"dataSource": DatasourceDatasetFacet(place.namespace, place.uri)}


def table(place: DatasetName, state: TableState | None) -> Facets:
    """A Delta table, at a version if it is known."""
    facets: Facets = {
        **source(place),
        "storage": StorageDatasetFacet("delta", "parquet"),
        "datasetType": DatasetTypeDatasetFacet("TABLE"),
    }
    return facets if state is None else {**facets, **version(state.version)}


def file(place: DatasetName, digest: str) -> Facets:
    """A file, known by its content."""
    endings = [suffix.lstrip(".") for suffix in PurePosixPath(place.name).suffixes[-2:]]
    kind = DatasetTypeDatasetFacet("FILE", ".".join(endings) or None)
    return {**source(place), "datasetType": kind, **version(digest)}


def model(place: DatasetName, ref: ModelRef, estimator: str) -> Facets:
    """A logged model; its version is MLflow's id of it, which it has before it is registered."""
    facet = ModelDatasetFacet(
        modelUri=ref.model_uri,
        mlflowRunId=ref.run_id,
        estimator=estimator,
        recipe=ref.recipe,
        trainingFingerprint=ref.training,
        datasetDigest=ref.dataset_digest,
        trainRows=ref.train_rows,
    )
    named = version(ref.model_uri.rpartition("/")[2])
    return {**source(place), **named, "datasetType": DatasetTypeDatasetFacet("MODEL"), "perennial_model": facet}


def written(rows: int | None, size: int | None, files: int | None = None) -> dict[str, OutputDatasetFacet]:
    """How much was written."""
    return {"outputStatistics": OutputStatisticsOutputDatasetFacet(rows, size, files)}


def quality(
    rows: int | None,
    size: int | None = None,
    nulls: Mapping[str, int] | None = None,
    results: Iterable[ExpectationResult] = (),
) -> dict[str, InputDatasetFacet]:
    """Rows and missing values that were read, and what the expectations found."""
    columns = {name: ColumnMetrics(nullCount=count) for name, count in (nulls or {}).items()}
    found: dict[str, InputDatasetFacet] = {
        "dataQualityMetrics": DataQualityMetricsInputDatasetFacet(columns, rowCount=rows, bytes=size)
    }
    assertions = [assertion(one) for one in results]
    return {**found, "dataQualityAssertions": DataQualityAssertionsDatasetFacet(assertions)} if assertions else found


def assertion(result: ExpectationResult) -> Assertion:
    """What one expectation found."""
    return Assertion(
        assertion=result.expectation,
        success=result.success,
        column=result.column or None,
        severity="error" if result.severity == "critical" else "warn",
        description=result.detail or None,
        actual=None if result.observed is None else json.dumps(result.observed)[:_LONGEST],
        params=result.arguments,
    )
