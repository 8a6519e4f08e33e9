"""Prefect tasks of training."""

from __future__ import annotations

import platform
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.records.base import artifact_key
from tasks.records.data import TrainingSetRef
from tasks.records.model import ModelRef
from tasks.records.provenance import Provenance, StageDependencies
from tasks.retry import RETRIES
from tasks.stores.environment import git_commit, library_versions, lock_digest, packages
from tasks.stores.lake import staging
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.tracking import RunMetadata, Tracking
from tasks.stores.settings import load_settings
from tasks.training.reproduction import Reproduction, headline, page

if TYPE_CHECKING:
    from tasks.training.fit import TrainingResult

_PROBE_ROWS = 20


@task(name="fit", cache_policy=NO_CACHE, **RETRIES)
def fit(
    config: PipelineConfig,
    ref: TrainingSetRef,
    feature_dependencies: StageDependencies,
    training_dependencies: StageDependencies,
    recipe: str,
    now: datetime,
) -> ModelRef:
    """Fit the estimator and a baseline, and log both with the data for monitoring and `reproduce`.

    Args:
        config: The pipeline.
        ref: The training set.
        feature_dependencies: Dependencies of the training set.
        training_dependencies: Dependencies of the fitted model.
        recipe: Digest of all that determines the model except the data.
        now: The run's clock.
    """
    from tasks.stores.registry.fitted import fitted_digest
    from tasks.stores.threads import available_threads
    from tasks.training import fit as fitting

    threads = available_threads(config.training.threads)
    result = fitting.train(config, staging.read(Path(ref.folder) / "train.arrow"), threads)
    provenance = Provenance(
        pipeline=config.name,
        config=config.model_dump(mode="json"),
        dataset=ref.dataset,
        split=ref.split,
        train_rows=ref.train_rows,
        holdout_rows=ref.holdout_rows,
        features=feature_dependencies,
        training=training_dependencies,
        commit=git_commit(),
        lock=lock_digest(),
        packages=dict(packages()),
        python=platform.python_version(),
        platform=platform.platform(),
        threads=threads,
        clock=now,
        fitted=fitted_digest(result.model),
    )
    return _log(config, ref, recipe, provenance, result)


def _log(
    config: PipelineConfig, ref: TrainingSetRef, recipe: str, provenance: Provenance, result: TrainingResult
) -> ModelRef:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.stores.threads import limit_threads
    from tasks.training.fit import sample_positions

    settings, model = load_settings(), result.model
    types = models.present_types(model, config.training.trusted_types)
    rows = sample_positions(len(result.frame), config.monitoring.sample_rows, config.seed)
    reference = result.frame.assign(**{config.contract.target: result.target}).iloc[rows]
    sample = reference.head(_PROBE_ROWS)[list(config.feature_columns)]
    # Beside the training set, where the next training removes files of an interrupted one.
    with tempfile.TemporaryDirectory(dir=Path(ref.folder).parent) as name:
        folder = Path(name)
        with limit_threads(provenance.threads):
            pq.write_table(models.probe(model, sample), folder / models.PROBE_FILE)
        pq.write_table(pa.Table.from_pandas(reference, preserve_index=False), folder / models.REFERENCE_FILE)
        models.save(result.baseline, folder / models.BASELINE_FILE)
        (folder / models.PROVENANCE_FILE).write_text(provenance.stored_json(indent=2), encoding="utf-8")
        run_id, uri, stored = Tracking(settings, config.name).log_model(
            model,
            sample,
            models.predict(model, sample)[0],
            logged=RunMetadata(
                run_name=f"{config.name}-{provenance.clock:%Y%m%d-%H%M%S}",
                params=_params(config, ref),
                tags=_tags(provenance, recipe),
                dataset_uri=Lake(settings, config).url("observations"),
            ),
            dataset=ref.dataset,
            types=types,
            extra=sorted(folder.iterdir()),
        )
    model_ref = ModelRef(
        pipeline=config.name,
        run_id=run_id,
        model_uri=uri,
        folder=stored,
        recipe=recipe,
        training=provenance.training.fingerprint,
        columns={name: config.contract.columns[name] for name in config.feature_columns},
        dataset_digest=ref.dataset.digest,
        through_seq=ref.dataset.through_seq,
        labelled=ref.dataset.labelled,
        observations=ref.dataset.observations,
        labels=ref.dataset.labels,
        train_rows=ref.train_rows,
        newest_event=ref.newest_event,
        split=ref.split,
    )
    _publish_page(config, model_ref)
    return model_ref


def _params(config: PipelineConfig, ref: TrainingSetRef) -> dict[str, Any]:
    return {
        "estimator": config.training.estimator,
        **{f"estimator.{name}": value for name, value in config.training.parameters.items()},
        "seed": config.seed,
        "features": list(config.feature_columns),
        "split": ref.split.model_dump_json(),
        "train_rows": ref.train_rows,
        "holdout_rows": ref.holdout_rows,
    }


def _tags(provenance: Provenance, recipe: str) -> dict[str, str]:
    return {
        "pipeline": provenance.pipeline,
        "recipe": recipe,
        "dataset_digest": provenance.dataset.digest,
        "lock_digest": provenance.lock,
        "git_commit": provenance.commit,
        "clock": provenance.clock.isoformat(),
        "libraries": str(library_versions()),
        "threads": str(provenance.threads),
        "fitted_digest": provenance.fitted,
    }


def _publish_page(config: PipelineConfig, model: ModelRef) -> None:
    text = (
        f"# {config.name}: fitted\n\n`{config.training.estimator}` on {model.train_rows} rows, "
        f"{len(model.feature_columns)} columns.\n\nMLflow run `{model.run_id}`, model `{model.model_uri}`."
    )
    create_markdown_artifact(text, key=artifact_key(config.name, "training"), description="fitted")


@task(name="reproduce", cache_policy=NO_CACHE, **RETRIES)
def reproduce_version(pipeline: str, version: int | None) -> Reproduction:
    """Rebuild a version, the champion by default, and compare the two. Nothing is stored."""
    from tasks.training.rebuild import load_recorded, reproduce

    settings = load_settings()
    return reproduce(settings, load_recorded(settings, pipeline, version))


@task(name="publish-reproduction", cache_policy=NO_CACHE, **RETRIES)
def publish_reproduction(reproduction: Reproduction) -> None:
    """Publish the page of the run."""
    key = artifact_key(reproduction.pipeline, "reproduce")
    create_markdown_artifact(page(reproduction), key=key, description=headline(reproduction))
