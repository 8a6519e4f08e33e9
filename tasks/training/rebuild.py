"""Rebuild a registered version in memory and compare the two. Nothing is written to registry or lake.

Run as a program, `NAME VERSION`, it prints the record as JSON, to reproduce with the recorded code and packages.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from configs.schema import PipelineConfig
from tasks.errors import PerennialError
from tasks.features.frame import feature_frame
from tasks.features.training_set import TrainingSet, assemble, needed_columns
from tasks.records.data import DatasetRef
from tasks.records.decision import Verdict
from tasks.records.model import ModelRef
from tasks.records.provenance import Provenance
from tasks.statistics.metrics import ModelPredictions, predictions_digest
from tasks.stores.lake.schemas import ROW_ID, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.artifacts import require_registry
from tasks.stores.registry.fitted import fitted_digest
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings, load_settings, prepare
from tasks.stores.threads import limit_threads
from tasks.training import input_checks
from tasks.training.fit import train
from tasks.training.reproduction import Check, Reproduction


class RecordedVersion(NamedTuple):
    """A registered version with its files on local disk, its provenance and its verdict."""

    model: ModelRef
    provenance: Provenance
    verdict: Verdict | None


def load_recorded(settings: Settings, pipeline: str, version: int | None) -> RecordedVersion:
    """Load a version from the registry; the champion by default.

    Raises:
        UsageError: there is no such version, or no champion.
        PerennialError: the registry can't be reached, or its files are damaged or missing.
    """
    require_registry(settings)
    tracking = Tracking(settings, pipeline)
    model = tracking.resolve(version)
    provenance = models.provenance(Path(model.folder))
    text = tracking.run_text(model.run_id, "verdict.json")
    try:
        verdict = None if text is None else Verdict.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise PerennialError(
            f"{pipeline} version {model.version}: verdict.json of run {model.run_id} is damaged: {problem}. Restore it "
            "from a backup of the registry."
        ) from None
    return RecordedVersion(model, provenance, verdict)


def reproduce(settings: Settings, recorded: RecordedVersion) -> Reproduction:
    """Rebuild a version and compare the two; if the inputs differ, report only that.

    Raises:
        PerennialError: the model's files, or the lake, can't be read.
    """
    config, configuration_check = input_checks.check_configuration(recorded.provenance)
    checks = [configuration_check, input_checks.check_environment(recorded.provenance)]
    if config is not None:
        checks += [
            input_checks.check_code(recorded.provenance, config),
            *input_checks.check_data(recorded.provenance, config, settings),
        ]
    inputs_equal = config is not None and all(check.outcome == "equal" for check in checks)
    if config is not None and inputs_equal:
        checks += compare_rebuilt(
            config, recorded, assemble_recorded(Lake(settings, config), config, recorded.provenance.dataset)
        )
    return Reproduction(
        pipeline=recorded.provenance.pipeline,
        version=recorded.model.version or 0,
        commit=recorded.provenance.commit,
        python=input_checks.minor_version(recorded.provenance.python),
        threads=recorded.provenance.threads,
        rebuilt=inputs_equal,
        checks=tuple(checks),
    )


def assemble_recorded(lake: Lake, config: PipelineConfig, dataset: DatasetRef) -> TrainingSet:
    """Assemble the training set from the recorded table versions.

    Raises:
        UsageError: one of the versions can no longer be read.
        DataRejectedError: there is nothing to train on.
    """
    target = [ROW_ID, SEQ, config.contract.target]
    labels = None if config.labels is None else lake.read("labels", target, version=dataset.labels)
    return assemble(config, lake.read("observations", needed_columns(config), version=dataset.observations), labels)


def compare_rebuilt(config: PipelineConfig, recorded: RecordedVersion, training_set: TrainingSet) -> list[Check]:
    """Compare a model fitted on the training set with the registered one, with the recorded number of threads.

    Raises:
        ModelError: the registered model can't be loaded.
        UsageError: the estimator can't be instantiated.
        DataRejectedError: the estimator rejects the data.
    """
    provenance, folder = recorded.provenance, Path(recorded.model.folder)
    stored = models.load(folder / models.MODEL_FILE, config.training.trusted_types)
    with limit_threads(provenance.threads):
        model = train(config, training_set.train, provenance.threads).model
        fitted = fitted_digest(model)
        frame = feature_frame(training_set.holdout, recorded.model.feature_columns, recorded.model.columns)
        rebuilt, registered = _predict(model, frame), _predict(stored, frame)
        probe = models.probe_difference(model, folder)
    return [
        _training_set_check(provenance, training_set),
        _digest_check("fitted object", fitted, provenance.fitted, f"digest {fitted[:16]} as recorded"),
        _digest_check(
            "registered object", fitted_digest(stored), provenance.fitted, f"digest {fitted[:16]} from its files"
        ),
        _model_check("probe rows", probe, "all recorded predictions"),
        _model_check(
            "holdout",
            _prediction_differences(rebuilt, registered),
            f"{training_set.holdout.num_rows} rows, in one batch, to the bit",
        ),
        _verdict_check(recorded.verdict, predictions_digest(rebuilt)),
    ]


def _predict(model: Any, frame: Any) -> ModelPredictions:
    point, probabilities = models.predict(model, frame)
    return ModelPredictions(point, probabilities, tuple(getattr(model, "classes_", ())))


def _training_set_check(provenance: Provenance, training_set: TrainingSet) -> Check:
    recorded = (provenance.train_rows, provenance.holdout_rows, provenance.split)
    rebuilt = (training_set.train.num_rows, training_set.holdout.num_rows, training_set.split)
    row_counts = "{} training and {} holdout rows"
    difference = (
        ""
        if recorded == rebuilt
        else (
            f"{row_counts.format(*rebuilt)}, {training_set.split}; recorded: {row_counts.format(*recorded)}, "
            f"{provenance.split}"
        )
    )
    return _model_check("training set", difference, row_counts.format(*rebuilt))


def _prediction_differences(rebuilt: ModelPredictions, registered: ModelPredictions) -> str:
    if not _equal(np.asarray(rebuilt.classes), np.asarray(registered.classes)):
        return f"classes {list(rebuilt.classes)}, registered: {list(registered.classes)}"
    rows = _unequal(rebuilt.point, registered.point)
    if rebuilt.probabilities is not None and registered.probabilities is not None:
        rows = rows | _unequal(rebuilt.probabilities, registered.probabilities).any(axis=1)
    return f"{int(rows.sum())} of {len(rows)} predictions differ" if rows.any() else ""


def _equal(one: Any, other: Any) -> bool:
    return one.shape == other.shape and not _unequal(one, other).any()


def _unequal(one: Any, other: Any) -> Any:
    """Return where two arrays of the same shape differ; NaN equals NaN."""
    return (one != other) & ~((one != one) & (other != other))  # only NaN is not itself


def _verdict_check(verdict: Verdict | None, digest: str) -> Check:
    if verdict is None or not verdict.answers:
        message = "the predictions of the evaluated model were not recorded"
        return Check(name="evaluated predictions", kind="model", outcome="not_recorded", found=message)
    return _digest_check("evaluated predictions", digest, verdict.answers, f"digest {digest[:16]} as in the verdict")


def _digest_check(name: str, digest: str, recorded: str, summary: str) -> Check:
    return _model_check(name, "" if digest == recorded else f"digest {digest[:16]}, recorded: {recorded[:16]}", summary)


def _model_check(name: str, difference: str, summary: str) -> Check:
    if difference:
        return Check(name=name, kind="model", outcome="differs", found=difference)
    return Check(name=name, kind="model", outcome="equal", found=summary)


def main(arguments: list[str]) -> int:
    """Reproduce one version and print the record as JSON; return 0 if all is equal."""
    warnings.simplefilter("ignore")
    settings = load_settings()
    prepare(settings)
    try:
        reproduction = reproduce(settings, load_recorded(settings, arguments[0], int(arguments[1])))
    except PerennialError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(reproduction.stored_json())
    return 0 if reproduction.equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
