"""The stage training: a model and a baseline, fitted and logged."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.schema import PipelineConfig
from tasks.context import StageContext
from tasks.records.base import Record
from tasks.records.data import TrainingSetRef
from tasks.records.model import ModelRef
from tasks.records.provenance import Provenance, StageDependencies
from tasks.stores.environment import git_commit, library_versions, lock_digest, packages
from tasks.stores.lake import staging
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.tracking import RunMetadata, Tracking

if TYPE_CHECKING:
    from tasks.training.fit import TrainingResult

_PROBE_ROWS = 20


class TrainingInputs(Record):
    """What the stage is given.

    Attributes:
        training_set: The training set.
        features: Dependencies of the training set.
        training: Dependencies of the fitted model.
        recipe: Digest of all that determines the model except the data.
    """

    training_set: TrainingSetRef
    features: StageDependencies
    training: StageDependencies
    recipe: str


def run_training(context: StageContext, inputs: TrainingInputs) -> ModelRef:
    """Fit the estimator and a baseline, and log both with the data for monitoring and `reproduce`."""
    from tasks.stores.registry.fitted import fitted_digest
    from tasks.stores.threads import available_threads
    from tasks.training import fit as fitting

    config, ref = context.config, inputs.training_set
    threads = available_threads(config.training.threads)
    result = fitting.train(config, staging.read(Path(ref.folder) / "train.arrow"), threads)
    provenance = Provenance(
        pipeline=config.name,
        config=config.model_dump(mode="json"),
        dataset=ref.dataset,
        split=ref.split,
        train_rows=ref.train_rows,
        holdout_rows=ref.holdout_rows,
        features=inputs.features,
        training=inputs.training,
        commit=git_commit(),
        lock=lock_digest(),
        packages=dict(packages()),
        python=platform.python_version(),
        platform=platform.platform(),
        threads=threads,
        clock=context.now,
        fitted=fitted_digest(result.model),
    )
    return _log(context, inputs, provenance, result)


def _log(context: StageContext, inputs: TrainingInputs, provenance: Provenance, result: TrainingResult) -> ModelRef:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.stores.threads import limit_threads
    from tasks.training.fit import sample_positions

    config, ref, settings, model = context.config, inputs.training_set, context.settings, result.model
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
                tags=_tags(provenance, inputs.recipe),
                dataset_uri=Lake(settings, config).url("observations"),
            ),
            dataset=ref.dataset,
            trusted=config.training.trusted_types,
            extra=sorted(folder.iterdir()),
        )
    return ModelRef(
        pipeline=config.name,
        run_id=run_id,
        model_uri=uri,
        folder=stored,
        recipe=inputs.recipe,
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
