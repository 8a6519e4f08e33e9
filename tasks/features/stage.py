"""The stage features: the training set, assembled, split and stored."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from tasks.context import StageContext
from tasks.features.page import RANDOM_SPLIT_OF_TIMED_ROWS
from tasks.features.stored import REF_FILE, champion_columns
from tasks.progress import say
from tasks.records.base import Record, digest
from tasks.records.data import DatasetRef, TrainingSetRef
from tasks.records.model import ModelRef
from tasks.records.provenance import StageDependencies
from tasks.stores.lake import staging
from tasks.stores.lake.schemas import ROW_ID, SEQ
from tasks.stores.lake.tables import Lake


class FeaturesInputs(Record):
    """What the stage is given.

    Attributes:
        dataset: The accepted data.
        champion: The model that the candidate will be compared with: its columns are kept, too.
        dependencies: What the training set depends on; it is stored under their fingerprint.
        force: Assemble it again even if it is stored.
    """

    dataset: DatasetRef
    champion: ModelRef | None
    dependencies: StageDependencies
    force: bool = False


def run_features(context: StageContext, inputs: FeaturesInputs) -> TrainingSetRef:
    """Assemble, split and store the training set, including the champion's columns."""
    from tasks.features.training_set import assemble, event_times, needed_columns

    config, settings, dataset, dependencies = context.config, context.settings, inputs.dataset, inputs.dependencies
    lake = Lake(settings, config)
    columns = list(dict.fromkeys([*needed_columns(config), *champion_columns(config, inputs.champion)]))
    folders = settings.state / "training" / config.name
    folder = folders / dependencies.fingerprint[:16]
    if not inputs.force and (folder / REF_FILE).is_file():  # stored by an interrupted run
        return TrainingSetRef.model_validate_json((folder / REF_FILE).read_text(encoding="utf-8"))
    labels = None
    if config.labels is not None:
        labels = lake.read("labels", [ROW_ID, SEQ, config.contract.target], version=dataset.labels)
    assembled = assemble(config, lake.read("observations", columns, version=dataset.observations), labels)
    if assembled.split.kind != "time" and config.contract.event_time is not None:
        say(f"warning: {RANDOM_SPLIT_OF_TIMED_ROWS}")
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
    return ref
