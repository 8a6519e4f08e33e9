"""Prefect tasks of training."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.provenance import Parts
from tasks.refs import ModelRef, TrainingSetRef, artifact_key
from tasks.retry import RETRIES
from tasks.stores import models, staging
from tasks.stores.environment import git_commit, library_versions, lock_digest
from tasks.stores.lake import Lake
from tasks.stores.settings import load_settings
from tasks.stores.tracking import Logging, Tracking

_PROBE_ROWS = 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@task(name="fit", cache_policy=NO_CACHE, **RETRIES)
def fit(
    config: PipelineConfig, ref: TrainingSetRef, features: Parts, training: Parts, recipe: str, now: datetime
) -> ModelRef:
    """Fit the estimator and a baseline on the training rows, and log both with what monitoring will need."""
    from tasks.features.definitions import build, make
    from tasks.features.frame import feature_frame, target_values
    from tasks.training import fit as fitting

    table = staging.read(Path(ref.folder) / "train.arrow")
    frame = feature_frame(table, config.feature_columns, config.contract.columns)
    target = target_values(table.select(["_target"]), config.contract.columns[config.contract.target])
    estimator = make(config.training.estimator, config.training.parameters, "training.estimator")
    fitting.refuse_other_task(config, estimator)
    unfitted = fitting.assemble(config, build(config.features, config.contract.event_time), estimator)
    model = fitting.fit(unfitted, frame, target)
    baseline = fitting.fit_baseline(config.task, target)
    return _log(config, ref, training, recipe, now, model, frame.assign(**{config.contract.target: target}), baseline)


def _log(
    config: PipelineConfig,
    ref: TrainingSetRef,
    training: Parts,
    recipe: str,
    now: datetime,
    model: Any,
    frame: Any,
    baseline: Any,
) -> ModelRef:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.training.fit import sample_positions

    settings = load_settings()
    types = models.present_types(model, config.training.trusted_types)
    reference = frame.iloc[sample_positions(len(frame), config.monitoring.sample_rows, config.seed)]
    sample = reference.head(_PROBE_ROWS)[list(config.feature_columns)]
    # Beside the training set: the next training clears away what a killed one left.
    with tempfile.TemporaryDirectory(dir=Path(ref.folder).parent) as name:
        folder = Path(name)
        pq.write_table(models.probe(model, sample), folder / models.PROBE_FILE)
        pq.write_table(pa.Table.from_pandas(reference, preserve_index=False), folder / models.REFERENCE_FILE)
        models.save(baseline, folder / models.BASELINE_FILE)
        run_id, uri, stored = Tracking(settings, config.name).log_model(
            model,
            sample,
            models.predict(model, sample)[0],
            logged=Logging(
                run_name=f"{config.name}-{now:%Y%m%d-%H%M%S}",
                params=_params(config, ref),
                tags=_tags(config, ref, recipe, now),
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
        training=training.fingerprint,
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


def _tags(config: PipelineConfig, ref: TrainingSetRef, recipe: str, now: datetime) -> dict[str, str]:
    return {
        "pipeline": config.name,
        "recipe": recipe,
        "dataset_digest": ref.dataset.digest,
        "lock_digest": lock_digest(),
        "git_commit": git_commit(),
        "clock": now.isoformat(),
        "libraries": str(library_versions()),
        "threads": str({name: os.environ.get(name, "") for name in _THREADS} | {"cores": os.cpu_count()}),
    }


def _tell(config: PipelineConfig, made: ModelRef) -> None:
    text = (
        f"# {config.name}: fitted\n\n`{config.training.estimator}` on {made.train_rows} rows, "
        f"{len(made.feature_columns)} columns.\n\nMLflow run `{made.run_id}`, model `{made.model_uri}`."
    )
    create_markdown_artifact(text, key=artifact_key(config.name, "train"), description="fitted")
