"""A registered version built again in memory and held against itself. Nothing is written to registry or lake.

Run as a program, `NAME VERSION`, it prints the record as JSON: so code and packages of then prove it.
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
from tasks.statistics.metrics import Answers, digest_of
from tasks.stores.lake.schemas import ROW_ID, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.artifacts import require_registry
from tasks.stores.registry.fitted import fitted_digest
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings, load_settings, prepare
from tasks.stores.threads import limit_threads
from tasks.training import conditions
from tasks.training.fit import train
from tasks.training.proof import Check, Reproduction


class Recorded(NamedTuple):
    """A registered version with its files on local disk, what it was made from, and what was judged of it."""

    model: ModelRef
    made_of: Provenance
    verdict: Verdict | None


def recorded(settings: Settings, pipeline: str, version: int | None) -> Recorded:
    """What the registry has of a version; of the champion by default.

    Raises:
        UsageError: there is no such version, or no champion.
        PerennialError: the registry can't be reached, or what it has is damaged or not there.
    """
    require_registry(settings)
    tracking = Tracking(settings, pipeline)
    model = tracking.resolve(version)
    made_of = models.provenance(Path(model.folder))
    told = tracking.run_text(model.run_id, "verdict.json")
    try:
        verdict = None if told is None else Verdict.model_validate_json(told)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]["msg"]
        raise PerennialError(
            f"{pipeline} version {model.version}: verdict.json of run {model.run_id} is damaged: {wrong}. Restore it "
            "from a copy of the registry."
        ) from None
    return Recorded(model, made_of, verdict)


def prove(settings: Settings, known: Recorded) -> Reproduction:
    """Rebuild a version and hold the two against each other; where what it was made from differs, only tell that.

    Raises:
        PerennialError: the model's files, or the lake, can't be read.
    """
    config, first = conditions.configuration(known.made_of)
    checks = [first, conditions.environment(known.made_of)]
    if config is not None:
        checks += [conditions.code(known.made_of, config), *conditions.data(known.made_of, config, settings)]
    ready = config is not None and all(check.outcome == "equal" for check in checks)
    if config is not None and ready:
        checks += compare(config, known, assembled(Lake(settings, config), config, known.made_of.dataset))
    return Reproduction(
        pipeline=known.made_of.pipeline,
        version=known.model.version or 0,
        commit=known.made_of.commit,
        python=conditions.minor(known.made_of.python),
        threads=known.made_of.threads,
        rebuilt=ready,
        checks=tuple(checks),
    )


def assembled(lake: Lake, config: PipelineConfig, dataset: DatasetRef) -> TrainingSet:
    """The training set as it was: the tables' versions of then.

    Raises:
        UsageError: one of the versions can't be read any more.
        DataRejectedError: there is nothing to train on.
    """
    target = [ROW_ID, SEQ, config.contract.target]
    labels = None if config.labels is None else lake.read("labels", target, version=dataset.labels)
    return assemble(config, lake.read("observations", needed_columns(config), version=dataset.observations), labels)


def compare(config: PipelineConfig, known: Recorded, made: TrainingSet) -> list[Check]:
    """A model fitted on a training set beside the registered one, all with the threads of then.

    Raises:
        ModelError: the registered model can't be loaded.
        UsageError: the estimator can't be made.
        DataRejectedError: the estimator refuses the data.
    """
    made_of, folder = known.made_of, Path(known.model.folder)
    stored = models.load(folder / models.MODEL_FILE, config.training.trusted_types)
    with limit_threads(made_of.threads):
        model = train(config, made.train, made_of.threads).model
        fitted = fitted_digest(model)
        frame = feature_frame(made.holdout, known.model.feature_columns, known.model.columns)
        rebuilt, registered = _answers(model, frame), _answers(stored, frame)
        probe = models.probe_difference(model, folder)
    return [
        _rows(made_of, made),
        _same("fitted object", fitted, made_of.fitted, f"digest {fitted[:16]} as recorded"),
        _same("registered object", fitted_digest(stored), made_of.fitted, f"digest {fitted[:16]} from its files"),
        _check("probe rows", probe, "every recorded answer"),
        _check("holdout", _differing(rebuilt, registered), f"{made.holdout.num_rows} rows, in one batch, to the bit"),
        _verdict(known.verdict, digest_of(rebuilt)),
    ]


def _answers(model: Any, frame: Any) -> Answers:
    point, probabilities = models.predict(model, frame)
    return Answers(point, probabilities, tuple(getattr(model, "classes_", ())))


def _rows(made_of: Provenance, made: TrainingSet) -> Check:
    then = (made_of.train_rows, made_of.holdout_rows, made_of.split)
    now = (made.train.num_rows, made.holdout.num_rows, made.split)
    told = "{} training and {} holdout rows"
    differs = (
        "" if then == now else f"{told.format(*now)}, {made.split}; recorded: {told.format(*then)}, {made_of.split}"
    )
    return _check("training set", differs, told.format(*now))


def _differing(one: Answers, other: Answers) -> str:
    if not _equal(np.asarray(one.classes), np.asarray(other.classes)):
        return f"classes {list(one.classes)}, registered: {list(other.classes)}"
    rows = _unequal(one.point, other.point)
    if one.probabilities is not None and other.probabilities is not None:
        rows = rows | _unequal(one.probabilities, other.probabilities).any(axis=1)
    return f"{int(rows.sum())} of {len(rows)} predictions differ" if rows.any() else ""


def _equal(one: Any, other: Any) -> bool:
    return one.shape == other.shape and not _unequal(one, other).any()


def _unequal(one: Any, other: Any) -> Any:
    """Where two arrays of one shape differ; two that are not a number do not."""
    return (one != other) & ~((one != one) & (other != other))  # only NaN is not itself


def _verdict(verdict: Verdict | None, now: str) -> Check:
    if verdict is None or not verdict.answers:
        told = "what the judged model answered was not recorded"
        return Check(name="judged answers", kind="model", outcome="not_recorded", found=told)
    return _same("judged answers", now, verdict.answers, f"digest {now[:16]} as in the verdict")


def _same(name: str, now: str, then: str, equal: str) -> Check:
    return _check(name, "" if now == then else f"digest {now[:16]}, recorded: {then[:16]}", equal)


def _check(name: str, differs: str, equal: str) -> Check:
    if differs:
        return Check(name=name, kind="model", outcome="differs", found=differs)
    return Check(name=name, kind="model", outcome="equal", found=equal)


def main(words: list[str]) -> int:
    """Prove one version and print the record as JSON; 0 if all is equal."""
    warnings.simplefilter("ignore")
    settings = load_settings()
    prepare(settings)
    try:
        found = prove(settings, recorded(settings, words[0], int(words[1])))
    except PerennialError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(found.stored_json())
    return 0 if found.equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
