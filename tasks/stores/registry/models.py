"""Fitted models on disk, by skops with an audited list of types; and what they predict. The only skops module.

Run as a program it is the clean process of gate S01: it loads a model and answers its stored sample.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io as sio
from pydantic import ValidationError

from tasks.errors import PerennialError
from tasks.records.provenance import Provenance

# Types that skops does not trust by itself and that were read and found safe to construct: plain holders of
# arrays and parameters, and scikit-learn's own metrics, whose restoring runs no code from the file.
AUDITED = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.PinballLoss",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn.metrics._classification.accuracy_score",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._classification.brier_score_loss",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._classification.log_loss",
    "sklearn.metrics._ranking.average_precision_score",
    "sklearn.metrics._ranking.roc_auc_score",
    "sklearn.metrics._regression.mean_absolute_error",
    "sklearn.metrics._regression.mean_pinball_loss",
    "sklearn.metrics._regression.mean_squared_error",
    "sklearn.metrics._regression.median_absolute_error",
    "sklearn.metrics._regression.r2_score",
    "sklearn.metrics._regression.root_mean_squared_error",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
    "tasks.features.definitions.AsNumber",
    "tasks.features.definitions.Calendar",
)
MODEL_FILE = "model.skops"
EXTRA = "extra_files"
PROBE_FILE, REFERENCE_FILE, BASELINE_FILE = "probe.parquet", "reference.parquet", "baseline.skops"
PROVENANCE_FILE = "provenance.json"
PROBE_PREDICTION = "_answer_"


class ModelError(PerennialError):
    """A model that can't be stored or loaded."""


def untrusted_types(path: Path, trusted: Sequence[str] = ()) -> list[str]:
    """Types in a stored model that are neither audited nor trusted by the configuration, sorted."""
    found = sio.get_untrusted_types(file=path)
    return sorted(set(found) - set(AUDITED) - set(trusted))


def check_types(model: Any, trusted: Sequence[str] = ()) -> None:
    """Refuse a fitted model with types that a loader would refuse. It is serialised for that.

    Raises:
        ModelError: the model holds a type that is neither audited nor trusted by the configuration.
    """
    found = sio.get_untrusted_types(data=sio.dumps(model))
    _refuse_unknown(set(found) - set(AUDITED) - set(trusted), "the fitted model")


def save(model: Any, path: Path) -> None:
    """Write a fitted model."""
    sio.dump(model, path)


def load(path: Path, trusted: Sequence[str] = ()) -> Any:
    """A stored model. Its types are looked at before any is constructed.

    Raises:
        ModelError: the file is missing, damaged, or holds a type that is neither audited nor trusted.
    """
    try:
        unknown = untrusted_types(path, trusted)
        _refuse_unknown(set(unknown), str(path))
        return sio.load(path, trusted=[*AUDITED, *trusted])
    except (OSError, ValueError, KeyError, ImportError, BadZipFile) as error:
        raise ModelError(f"{path}: can't be loaded as a model: {error}") from None


def provenance(folder: Path) -> Provenance:
    """What the model in a folder was made from.

    Raises:
        ModelError: that was not recorded, or its file is damaged.
    """
    path = folder / EXTRA / PROVENANCE_FILE
    try:
        return Provenance.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"{path} is not there: what the model was made from was not recorded, as with models of before that was "
            "done, or its file is lost. Restore the file, or train the model anew."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.") from None
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in wrong["loc"]) or "the file"
        raise ModelError(
            f"{path} is damaged: {place}: {wrong['msg']}. Restore it from a copy of the registry."
        ) from None


def _refuse_unknown(unknown: set[str], where: str) -> None:
    if unknown:
        raise ModelError(
            f"{where} holds types that are not audited: {', '.join(sorted(unknown))}. "
            "Review them; if restoring them runs no code from the file, name them in training.trusted_types."
        )


# Of these scikit-learn defines predict as the class of the greatest probability. No subclass is meant.
_MOST_PROBABLE = frozenset(
    f"sklearn.{name}"
    for name in (
        "DecisionTreeClassifier",
        "DummyClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "HistGradientBoostingClassifier",
        "LogisticRegression",
        "RandomForestClassifier",
    )
)


def predict(model: Any, frame: pd.DataFrame) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
    """Predictions, shape (n_rows,), and for a classifier that gives them, probabilities, shape (n_rows, n_classes).

    The class is that of the estimator's own `predict`: one with a tuned threshold does not take the most probable one.
    """
    if not (hasattr(model, "predict_proba") and hasattr(model, "classes_")):
        return np.asarray(model.predict(frame)), None
    probabilities = np.asarray(model.predict_proba(frame), dtype=np.float64)
    if _takes_most_probable(model):
        return np.asarray(model.classes_)[probabilities.argmax(axis=1)], probabilities
    return np.asarray(model.predict(frame)), probabilities


def _takes_most_probable(model: Any) -> bool:
    """Whether `predict` is known to be the class of the greatest probability, so that it need not be called, too."""
    final = model[-1] if hasattr(model, "steps") else model
    kind = type(final)
    return f"{kind.__module__.split('.')[0]}.{kind.__qualname__}" in _MOST_PROBABLE


def prediction_columns(model: Any, frame: pd.DataFrame) -> dict[str, pa.Array]:
    """`prediction`, and `probability_<class>` for each class of a classifier, as Arrow columns of n_rows."""
    predicted, probabilities = predict(model, frame)
    columns = {"prediction": pa.array(predicted.tolist() if predicted.dtype == object else predicted)}
    if probabilities is not None:
        for index, name in enumerate(model.classes_):
            columns[f"probability_{name}"] = pa.array(probabilities[:, index])
    return columns


def probe(model: Any, frame: pd.DataFrame) -> pa.Table:
    """A stored sample: feature rows and what the model answers for them."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, answers in prediction_columns(model, frame).items():
        table = table.append_column(f"{PROBE_PREDICTION}{name}", answers)
    return table


def verify_probe(folder: Path, trusted: Sequence[str] = ()) -> str:
    """Load the model in a folder and answer its stored sample: empty if every answer is equal, else what differs."""
    return probe_difference(load(folder / MODEL_FILE, trusted), folder)


def probe_difference(model: Any, folder: Path) -> str:
    """Let a model answer the sample stored in a folder: empty if every answer is as recorded, else what differs.

    Raises:
        ModelError: the sample can't be read.
    """
    try:
        stored = pq.read_table(folder / EXTRA / PROBE_FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise ModelError(f"{folder / EXTRA / PROBE_FILE}: can't be read as the model's sample: {error}") from None
    recorded = [name for name in stored.column_names if name.startswith(PROBE_PREDICTION)]
    predictions = prediction_columns(model, stored.drop_columns(recorded).to_pandas())
    expected = stored.select(recorded).rename_columns([name.removeprefix(PROBE_PREDICTION) for name in recorded])
    differing = [
        row for row, known in zip(pa.table(predictions).to_pylist(), expected.to_pylist(), strict=True) if row != known
    ]
    return f"{len(differing)} of {stored.num_rows} answers differ from those recorded at training" if differing else ""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    try:
        # What a loader needs is imported by now; the question may come much later, or never.
        asked = sys.stdin.read()
        if not asked:
            sys.exit("no question was asked")
        question = json.loads(asked)
        difference = verify_probe(Path(question["folder"]), question["trusted"])
    except PerennialError as failure:
        difference = str(failure)
    sys.stdout.write(json.dumps({"difference": difference}))
