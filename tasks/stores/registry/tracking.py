"""Runs, models and the registry. The only module that talks to MLflow; `tracking_database` makes its file."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import JsonValue

from tasks.errors import UsageError
from tasks.records.base import Record
from tasks.records.data import DatasetRef
from tasks.records.decision import MetricSet, Verdict
from tasks.records.model import ModelRef
from tasks.records.rollout import Exposure
from tasks.stores.registry import artifacts, models
from tasks.stores.registry.aliases import CHALLENGER, CHAMPION, EXPOSURE_TAG, REF_TAG
from tasks.stores.registry.artifacts import RegistryError
from tasks.stores.registry.database import make_database
from tasks.stores.settings import QUIET, Settings

_ROLLED_BACK_TAG = "perennial.rolled_back"
_MODEL = "model.skops"
_REQUIREMENTS = ("numpy", "pandas", "scikit-learn", "skops")


class RunMetadata(Record):
    """What is logged with a model beside the model itself."""

    run_name: str
    params: dict[str, JsonValue]
    tags: dict[str, str]
    dataset_uri: str


class Tracking:
    """MLflow, as one pipeline sees it.

    Args:
        settings: Says where MLflow is.
        pipeline: Name of the experiment and of the registered model.
    """

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self.pipeline = pipeline
        self._settings = settings
        self._client = _connect(settings.tracking_uri)

    def log_model(
        self,
        model: Any,
        sample: pd.DataFrame,
        prediction: Any,
        *,
        logged: RunMetadata,
        dataset: DatasetRef,
        trusted: Sequence[str],
        extra: Sequence[Path],
    ) -> tuple[str, str, str]:
        """Log a fitted Pipeline in a run of its own.

        Args:
            model: The fitted Pipeline.
            sample: A few feature rows, for the signature.
            prediction: What the model answers for them.
            logged: Parameters, tags and names.
            dataset: What it was trained on.
            trusted: Types that the configuration trusts beside the audited ones.
            extra: Files stored with the model.

        Returns:
            The run's id, the model's address, and its folder on local disk.

        Raises:
            ModelError: the model holds a type that is neither audited nor trusted. The run is marked as failed.
        """
        import mlflow
        from mlflow.data.delta_dataset_source import DeltaDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.models import infer_signature

        try:
            with mlflow.start_run(experiment_id=self._experiment(), run_name=logged.run_name) as run:
                mlflow.log_params({name: _short(value) for name, value in logged.params.items()})
                mlflow.set_tags(logged.tags)
                source = DeltaDatasetSource(path=logged.dataset_uri, delta_table_version=dataset.observations)
                # MLflow's digests hold 36 characters.
                logged_data = MetaDataset(source, name=self.pipeline, digest=dataset.digest[:36])
                mlflow.log_input(logged_data, context="training")
                info = mlflow.sklearn.log_model(
                    model,
                    name="model",
                    serialization_format="skops",
                    skops_trusted_types=[*models.AUDITED, *trusted],
                    signature=_signature(infer_signature, sample, prediction),
                    pip_requirements=[f"{name}=={installed(name)}" for name in _REQUIREMENTS],
                    extra_files=[str(path) for path in extra],
                )
        except mlflow.MlflowException:
            models.check_types(model, trusted)  # says which type it is, where that was why
            raise
        return run.info.run_id, info.model_uri, self._folder(info.model_uri)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run."""
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value)

    def log_text(self, run_id: str, text: str, file: str) -> None:
        """Add a text file to a run."""
        self._client.log_text(run_id, text, file)

    def register(self, ref: ModelRef, verdict: Verdict, tags: Mapping[str, str], description: str, about: str) -> int:
        """Register an evaluated candidate as a version, once; its number.

        Args:
            ref: The candidate.
            verdict: What the gates said.
            tags: Tags of the version.
            description: Of the version.
            about: Of the model, used when its first version is made.
        """
        from mlflow.exceptions import MlflowException

        status = "passed" if verdict.passed else "rejected"
        known = self.version_of_run(ref.run_id)
        if known is not None:  # evaluated anew, perhaps under other gates
            self._client.set_model_version_tag(self.pipeline, str(known), "validation_status", status)
            self._client.update_model_version(self.pipeline, str(known), description)
            return known
        try:
            self._client.get_registered_model(self.pipeline)
        except MlflowException as error:
            if not _is_missing(error):
                raise
            self._client.create_registered_model(self.pipeline, description=about)
        created = self._client.create_model_version(
            self.pipeline,
            source=ref.model_uri,
            run_id=ref.run_id,
            model_id=ref.model_uri.removeprefix("models:/"),  # a server asks for it, to know that the source is ours
            tags={**tags, "validation_status": status, REF_TAG: ref.stored_json()},
            description=description,
        )
        return int(created.version)

    def version_of_run(self, run_id: str) -> int | None:
        """The version that was registered from a run, if any."""
        found = self._client.search_model_versions(f"name = '{self.pipeline}' and run_id = '{run_id}'")
        return int(found[0].version) if found else None

    def champion(self) -> ModelRef | None:
        """The version that the alias champion points to, with its files on local disk."""
        found = self._aliased(CHAMPION)
        return None if found is None else self._ref(found)

    def model(self, version: int) -> ModelRef:
        """A registered version, with its files on local disk."""
        return self._ref(self._client.get_model_version(self.pipeline, str(version)))

    def resolve(self, version: int | None) -> ModelRef:
        """A registered version, or the champion, with its files on local disk.

        Raises:
            UsageError: there is no such version, or no champion.
            RegistryError: MLflow can't be asked.
            MissingFilesError: its files are not there.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self.champion() if version is None else self.model(version)
        except MlflowException as error:
            if not _is_missing(error):
                first = (str(error).splitlines() or ["no reason was given"])[0]
                raise RegistryError(
                    f"the registry {self._settings.tracking_uri} can't be asked: {first[:300]}. Start it, or correct "
                    "PERENNIAL_MLFLOW_TRACKING_URI, and run this again."
                ) from None
            raise UsageError(f"{self.pipeline} has no version {version}; {self._known()}") from None
        if found is None:
            raise UsageError(f"{self.pipeline} has no champion; {self._known()}")
        return found

    def _known(self) -> str:
        versions = sorted(one.version for one in self.registered() if one.version is not None)
        shown = ", ".join(str(one) for one in versions[-20:])
        return f"versions in the registry: {shown}." if versions else "no version is registered yet: train one first."

    def with_local_files(self, ref: ModelRef) -> ModelRef:
        """A logged model, with its files on local disk."""
        return ref.model_copy(update={"folder": self._folder(ref.model_uri)})

    def missing_reason(self, ref: ModelRef) -> str:
        """Empty where a logged model's run and files are there; else what is missing."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(ref.run_id)
            folder = Path(self._folder(ref.model_uri))
        except MlflowException as error:
            if not _is_missing(error):
                raise
            return f"run {ref.run_id} is not in the registry any more"
        except OSError:
            return f"the files of run {ref.run_id} are not there any more"
        incomplete = run.info.lifecycle_stage != "active" or not (folder / _MODEL).is_file()
        return f"the files of run {ref.run_id} are not there any more" if incomplete else ""

    def registered(self) -> list[ModelRef]:
        """Every version that Perennial registered, without fetching its files: `folder` is as it was when logged."""
        found, token = [], None
        while True:
            page = self._client.search_model_versions(f"name = '{self.pipeline}'", page_token=token)
            found += page
            token = page.token
            if not token:
                break
        known = [(one, one.tags[REF_TAG]) for one in found if REF_TAG in one.tags]
        return [
            ModelRef.model_validate_json(ref).model_copy(update={"version": int(one.version)}) for one, ref in known
        ]

    def set_champion(self, version: int) -> None:
        """Point the alias champion to a version: one atomic write."""
        self._client.set_registered_model_alias(self.pipeline, CHAMPION, str(version))

    def expose(self, version: int, exposure: Exposure) -> None:
        """Show traffic to a challenger: its tag first, so that the alias, once it points there, says all at once."""
        self._client.set_model_version_tag(self.pipeline, str(version), EXPOSURE_TAG, exposure.stored_json())
        self._client.set_registered_model_alias(self.pipeline, CHALLENGER, str(version))

    def clear_challenger(self) -> None:
        """Take the alias challenger away, if it is there: no traffic goes to a challenger any more."""
        self._client.delete_registered_model_alias(self.pipeline, CHALLENGER)

    def challenger_version(self) -> int | None:
        """The number of the version that the alias challenger points to."""
        return self._number(CHALLENGER)

    def exposed(self) -> tuple[int, Exposure | None] | None:
        """The challenger's number, and what its tag says that it is shown; None where there is no challenger."""
        found = self._aliased(CHALLENGER)
        if found is None:
            return None
        tag = found.tags.get(EXPOSURE_TAG)
        return int(found.version), None if tag is None else Exposure.model_validate_json(tag)

    def tag_rolled_back(self, version: int, reason: str) -> None:
        """Mark a version as rolled back, for who looks at it in MLflow; without a reason, take the mark away."""
        if reason:
            self._client.set_model_version_tag(self.pipeline, str(version), _ROLLED_BACK_TAG, _short(reason))
        else:
            self._client.delete_model_version_tag(self.pipeline, str(version), _ROLLED_BACK_TAG)

    def champion_version(self) -> int | None:
        """The number of the version that the alias champion points to."""
        return self._number(CHAMPION)

    def _number(self, alias: str) -> int | None:
        found = self._aliased(alias)
        return None if found is None else int(found.version)

    def _aliased(self, alias: str) -> Any:
        """MLflow's record of the version that an alias points to; None where it points to none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(self.pipeline, alias)
        except MlflowException as error:
            if not _is_missing(error):
                raise
            return None

    def _ref(self, found: Any) -> ModelRef:
        stored = ModelRef.model_validate_json(found.tags[REF_TAG])
        folder = self._folder(stored.model_uri)
        return stored.model_copy(update={"version": int(found.version), "folder": folder})

    def run_text(self, run_id: str, file: str) -> str | None:
        """The content of a text file of a run; None where it is not there.

        Raises:
            MissingFilesError: the run's files are not there.
        """
        import mlflow

        run = self._client.get_run(run_id)
        if not artifacts.is_local(run.info.artifact_uri):
            return str(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{file}"))
        path = self._present(run.info.artifact_uri, run.info.experiment_id) / file
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def _folder(self, model_uri: str) -> str:
        import mlflow

        logged = self._client.get_logged_model(model_uri.removeprefix("models:/"))
        if artifacts.is_local(logged.artifact_location):
            return str(self._present(logged.artifact_location, logged.experiment_id))
        return str(Path(mlflow.artifacts.download_artifacts(model_uri)))

    def _present(self, location: str, experiment_id: str) -> Path:
        experiment = self._client.get_experiment(experiment_id).artifact_location
        return artifacts.local_folder(location, experiment, self._settings.artifacts / self.pipeline)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.pipeline)
        if found is not None:
            return str(found.experiment_id)
        local = not self._settings.tracking_uri.startswith(("http://", "https://"))  # a server has a place of its own
        location = (self._settings.artifacts / self.pipeline).as_uri() if local else None
        return str(self._client.create_experiment(self.pipeline, artifact_location=location))


@cache
def _connect(uri: str) -> Any:
    os.environ.update(QUIET)
    import mlflow

    for noisy in ("mlflow", "alembic"):  # MLflow sets its own levels while it is imported
        logging.getLogger(noisy).setLevel(logging.WARNING)
    make_database(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def _is_missing(error: Exception) -> bool:
    """Whether MLflow said that a thing is not there, rather than that it could not look."""
    return getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def _signature(infer: Any, sample: pd.DataFrame, prediction: Any) -> Any:
    with warnings.catch_warnings():
        # MLflow warns that integer columns can't hold missing values; the contract says which can.
        warnings.simplefilter("ignore")
        return infer(sample, prediction)


def _short(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 500 else text[:497] + "..."


def metric_names(prefix: str, metrics: MetricSet) -> dict[str, float]:
    """Metrics with a prefix, for one run's page."""
    return {f"{prefix}{name}": value for name, value in metrics.values.items()}
