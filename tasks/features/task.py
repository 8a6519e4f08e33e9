"""Prefect tasks of features."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.features.stored import REF, champion_columns
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
    parts: StageDependencies,
    *,
    force: bool = False,
) -> TrainingSetRef:
    """Labelled observations, split, stored for training and evaluation. The champion's columns are kept too.

    Args:
        config: The pipeline.
        dataset: The accepted data.
        champion: The model that the candidate will be held against.
        parts: What the set depends on; it is stored under their fingerprint.
        force: Make it anew, also where it is there.
    """
    from tasks.features.training_set import assemble, event_times, needed_columns

    settings = load_settings()
    lake = Lake(settings, config)
    columns = list(dict.fromkeys([*needed_columns(config), *champion_columns(config, champion)]))
    base = settings.state / "training" / config.name
    folder = base / parts.fingerprint[:16]
    if not force and (folder / REF).is_file():  # a killed run had made it, and not told
        ref = TrainingSetRef.model_validate_json((folder / REF).read_text(encoding="utf-8"))
        _tell(config, ref)
        return ref
    labels = None
    if config.labels is not None:
        labels = lake.read("labels", [ROW_ID, SEQ, config.contract.target], version=dataset.labels)
    made = assemble(config, lake.read("observations", columns, version=dataset.observations), labels)
    shutil.rmtree(base, ignore_errors=True)  # the model lock is held: no other run reads an older set
    staging.write(folder / "train.arrow", made.train)
    staging.write(folder / "holdout.arrow", made.holdout)
    times = event_times(made.train, config.contract.event_time)
    newest = None if times is None else datetime.fromtimestamp(int(times[-1]) / 1e6, tz=UTC)
    ref = TrainingSetRef(
        digest=digest([dataset.digest, parts.static_fingerprint]),
        dataset=dataset,
        folder=str(folder),
        split=made.split,
        train_rows=made.train.num_rows,
        holdout_rows=made.holdout.num_rows,
        newest_event=newest,
    )
    draft = folder / f".{REF}"
    draft.write_text(ref.stored_json(), encoding="utf-8")
    draft.replace(folder / REF)  # last: a set without it is not whole
    _tell(config, ref)
    return ref


def _tell(config: PipelineConfig, ref: TrainingSetRef) -> None:
    boundary = ""
    if ref.split.boundary_us is not None:
        moment = datetime.fromtimestamp(ref.split.boundary_us / 1e6, tz=UTC)
        boundary = f", from {moment:%Y-%m-%d %H:%M} UTC on"
    text = (
        f"# {config.name}: training set\n\n"
        f"{ref.train_rows} training rows, {ref.holdout_rows} holdout rows ({ref.split.kind} split{boundary}).\n\n"
        f"Dataset `{ref.dataset.digest[:12]}`, through batch {ref.dataset.through_seq}."
    )
    create_markdown_artifact(text, key=artifact_key(config.name, "features"), description="training set")
