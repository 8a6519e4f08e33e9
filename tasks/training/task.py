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
from tasks.training.proof import Reproduction, headline, page

if TYPE_CHECKING:
    from tasks.training.fit import Fitted

_PROBE_ROWS = 20


@task(name="fit", cache_policy=NO_CACHE, **RETRIES)
def fit(
    config: PipelineConfig,
    ref: TrainingSetRef,
    features: StageDependencies,
    training: StageDependencies,
    recipe: str,
    now: datetime,
) -> ModelRef:
    """Fit the estimator and a baseline, and log both with what monitoring and `reproduce` will need.

    Args:
        config: The pipeline.
        ref: The training set.
        features: What that depended on.
        training: What the fitted model depends on.
        recipe: Digest of all that decides what the model is but the data.
        now: The run's clock.
    """
    from tasks.stores.registry.fitted import fitted_digest
    from tasks.stores.threads import available_threads
    from tasks.training import fit as fitting

    threads = available_threads(config.training.threads)
    made = fitting.train(config, staging.read(Path(ref.folder) / "train.arrow"), threads)
    provenance = Provenance(
        pipeline=config.name,
        config=config.model_dump(mode="json"),
        dataset=ref.dataset,
        split=ref.split,
        train_rows=ref.train_rows,
        holdout_rows=ref.holdout_rows,
        features=features,
        training=training,
        commit=git_commit(),
        lock=lock_digest(),
        packages=dict(packages()),
        python=platform.python_version(),
        platform=platform.platform(),
        threads=threads,
        clock=now,
        fitted=fitted_digest(made.model),
    )
    return _log(config, ref, recipe, provenance, made)


def _log(config: PipelineConfig, ref: TrainingSetRef, recipe: str, made_of: Provenance, fitted: Fitted) -> ModelRef:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.stores.threads import limit_threads
    from tasks.training.fit import sample_positions

    settings, model = load_settings(), fitted.model
    types = models.present_types(model, config.training.trusted_types)
    rows = sample_positions(len(fitted.frame), config.monitoring.sample_rows, config.seed)
    reference = fitted.frame.assign(**{config.contract.target: fitted.target}).iloc[rows]
    sample = reference.head(_PROBE_ROWS)[list(config.feature_columns)]
    # Beside the training set: the next training clears away what a killed one left.
    with tempfile.TemporaryDirectory(dir=Path(ref.folder).parent) as name:
        folder = Path(name)
        with limit_threads(made_of.threads):
            pq.write_table(models.probe(model, sample), folder / models.PROBE_FILE)
        pq.write_table(pa.Table.from_pandas(reference, preserve_index=False), folder / models.REFERENCE_FILE)
        models.save(fitted.baseline, folder / models.BASELINE_FILE)
        (folder / models.PROVENANCE_FILE).write_text(made_of.stored_json(indent=2), encoding="utf-8")
        run_id, uri, stored = Tracking(settings, config.name).log_model(
            model,
            sample,
            models.predict(model, sample)[0],
            logged=RunMetadata(
                run_name=f"{config.name}-{made_of.clock:%Y%m%d-%H%M%S}",
                params=_params(config, ref),
                tags=_tags(made_of, recipe),
                dataset_uri=Lake(settings, config).url("observations"),
            ),
            dataset=ref.dataset,
            types=types,
            extra=sorted(folder.iterdir()),
        )
    made = ModelRef(
        pipeline=config.name,
        run_id=run_id,
        model_uri=uri,
        folder=stored,
        recipe=recipe,
        training=made_of.training.fingerprint,
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
    _tell(config, made)
    return made


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


def _tags(made_of: Provenance, recipe: str) -> dict[str, str]:
    return {
        "pipeline": made_of.pipeline,
        "recipe": recipe,
        "dataset_digest": made_of.dataset.digest,
        "lock_digest": made_of.lock,
        "git_commit": made_of.commit,
        "clock": made_of.clock.isoformat(),
        "libraries": str(library_versions()),
        "threads": str(made_of.threads),
        "fitted_digest": made_of.fitted,
    }


def _tell(config: PipelineConfig, made: ModelRef) -> None:
    text = (
        f"# {config.name}: fitted\n\n`{config.training.estimator}` on {made.train_rows} rows, "
        f"{len(made.feature_columns)} columns.\n\nMLflow run `{made.run_id}`, model `{made.model_uri}`."
    )
    create_markdown_artifact(text, key=artifact_key(config.name, "training"), description="fitted")


@task(name="reproduce", cache_policy=NO_CACHE, **RETRIES)
def prove(pipeline: str, version: int | None) -> Reproduction:
    """Rebuild a version, the champion by default, and hold the two against each other. Nothing of it is stored."""
    from tasks.training.rebuild import prove, recorded

    settings = load_settings()
    return prove(settings, recorded(settings, pipeline, version))


@task(name="show-proof", cache_policy=NO_CACHE, **RETRIES)
def show_proof(found: Reproduction) -> None:
    """The run's page."""
    key = artifact_key(found.pipeline, "reproduce")
    create_markdown_artifact(page(found), key=key, description=headline(found))
