"""Prefect tasks of features."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.features.stored import REF_FILE, champion_columns
from tasks.records.base import artifact_key, digest
from tasks.records.data import DatasetRef, TrainingSetRef
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies
from tasks.retry import RETRIES
from tasks.stores.lake import staging
from tasks.stores.lake.schemas import ROW_ID, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import load_settings


@task(name="training-set", cache_policy=NO_CACHE, **RETRIES)
def training_set(
    config: PipelineConfig,
    dataset: DatasetRef,
    champion: ModelRef | None,
    dependencies: StageDependencies,
    *,
    force: bool = False,
) -> TrainingSetRef:
    """Assemble, split and store the training set, including the champion's columns.

    Args:
        config: The pipeline.
        dataset: The accepted data.
        champion: The model that the candidate will be compared with.
        dependencies: What the training set depends on; it is stored under their fingerprint.
        force: Assemble it again even if it is stored.
    """
    from tasks.features.training_set import assemble, event_times, needed_columns

    settings = load_settings()
    lake = Lake(settings, config)
    columns = list(dict.fromkeys([*needed_columns(config), *champion_columns(config, champion)]))
    folders = settings.state / "training" / config.name
    folder = folders / dependencies.fingerprint[:16]
    if not force and (folder / REF_FILE).is_file():  # stored by an interrupted run
        ref = TrainingSetRef.model_validate_json((folder / REF_FILE).read_text(encoding="utf-8"))
        _publish_page(config, ref)
        return ref
    labels = None
    if config.labels is not None:
        labels = lake.read("labels", [ROW_ID, SEQ, config.contract.target], version=dataset.labels)
    assembled = assemble(config, lake.read("observations", columns, version=dataset.observations), labels)
    shutil.rmtree(folders, ignore_errors=True)  # the model lock is held: no other run reads an older training set
    staging.write(folder / "train.arrow", assembled.train)
    staging.write(folder / "holdout.arrow", assembled.holdout)
    times = event_times(assembled.train, config.contract.event_time)
    newest = None if times is None else datetime.fromtimestamp(int(times[-1]) / 1e6, tz=UTC)
    ref = TrainingSetRef(
        digest=digest([dataset.digest, dependencies.static_fingerprint]),
        dataset=dataset,
        folder=str(folder),
        split=assembled.split,
        train_rows=assembled.train.num_rows,
        holdout_rows=assembled.holdout.num_rows,
        newest_event=newest,
    )
    draft = folder / f".{REF_FILE}"
    draft.write_text(ref.stored_json(), encoding="utf-8")
    draft.replace(folder / REF_FILE)  # last: a training set without it is incomplete
    _publish_page(config, ref)
    return ref


def _publish_page(config: PipelineConfig, ref: TrainingSetRef) -> None:
    boundary = ""
    if ref.split.boundary_us is not None:
        boundary_time = datetime.fromtimestamp(ref.split.boundary_us / 1e6, tz=UTC)
        boundary = f", from {boundary_time:%Y-%m-%d %H:%M} UTC on"
    text = (
        f"# {config.name}: training set\n\n"
        f"{ref.train_rows} training rows, {ref.holdout_rows} holdout rows ({ref.split.kind} split{boundary}).\n\n"
        f"Dataset `{ref.dataset.digest[:12]}`, through batch {ref.dataset.through_seq}."
    )
    create_markdown_artifact(text, key=artifact_key(config.name, "features"), description="training set")
