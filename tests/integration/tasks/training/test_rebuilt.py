"""A training done again gives the same model: ten times of ten, in this process and in others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.stores.lake import staging
from tasks.stores.registry import models
from tasks.stores.registry.fitted import fitted_digest
from tasks.training.fit import train
from tests.support.fits import ALL, THREADS, answered, config, fit, rows, training_set
from tests.support.world import ROOT


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Digests of every fit from a process that begins with a single thread, and hashes texts in another way."""
    path = tmp_path_factory.mktemp("rows") / "rows.arrow"
    staging.write(path, rows())
    own = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "5"}
    words = [sys.executable, "-m", "tests.support.fits", str(path)]
    done = subprocess.run(words, cwd=ROOT, env=own, capture_output=True, text=True, check=True, timeout=200)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ALL)
def test_ten_of_ten_are_equal_here_and_in_another_process(
    name: str, elsewhere: dict[str, list[str]], tmp_path: Path
) -> None:
    made = training_set(name, rows())
    threads = 1 if "boosting" in name else THREADS  # whose result does not depend on it; the other process has two
    model_digest, answers_digest, model = fit(name, made, threads)
    for _ in range(9):
        assert fit(name, made, threads)[:2] == (model_digest, answers_digest)
    assert elsewhere[name] == [model_digest, answers_digest]
    models.check_types(model)  # every type is audited: a YAML can name it as it is
    models.save(model, tmp_path / "model.skops")
    stored = models.load(tmp_path / "model.skops")
    assert fitted_digest(stored) == model_digest
    assert answered(name, stored, made) == answers_digest


@pytest.mark.parametrize("name", ["forest", "logistic", "boosting", "random over boosting"])
def test_another_seed_or_one_row_less_is_another_model(name: str) -> None:
    made = training_set(name, rows())
    known = fit(name, made)[0]
    fewer = train(config(name), made.train.slice(1), THREADS).model
    assert fitted_digest(fewer) != known
    if name != "logistic":  # its solver draws nothing
        other = train(config(name).model_copy(update={"seed": 4}), made.train, THREADS).model
        assert fitted_digest(other) != known


def test_an_estimator_within_that_is_not_there_is_told_with_its_place() -> None:
    own = config("grid over ridge")
    parameters = {**own.training.parameters, "estimator": {"estimator": "sklearn.linear_model.Rigde"}}
    wrong = own.model_copy(update={"training": own.training.model_copy(update={"parameters": parameters})})
    with pytest.raises(
        UsageError, match=r"^training.parameters.estimator.estimator: 'sklearn.linear_model.Rigde' can't"
    ):
        train(wrong, training_set("grid over ridge", rows()).train, THREADS)
