"""A version in memory: its model, what its columns are, and the frame that it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from configs.schema import PipelineConfig
from perennial.serving.fields import Field
from tasks.errors import PerennialError
from tasks.features.frame import feature_frame
from tasks.records.model import ModelRef
from tasks.records.rollout import Exposure
from tasks.stores.lake.schemas import ARROW_TYPES
from tasks.stores.registry import models
from tasks.stores.registry.aliases import AliasedVersion


class RefusedModelError(PerennialError):
    """A version that can't be served."""


class ModelOutput(NamedTuple):
    """What a model answered for some rows.

    Attributes:
        predictions: Shape (n_rows,).
        probabilities: By class, each of shape (n_rows,); empty where the model gives none.
        seconds: What it took.
    """

    predictions: list[Any]
    probabilities: dict[str, list[float]]
    seconds: float

    def rows(self, start: int, stop: int) -> ModelOutput:
        """Those of some of the rows."""
        shares = {name: values[start:stop] for name, values in self.probabilities.items()}
        return ModelOutput(self.predictions[start:stop], shares, self.seconds)


class LoadedModel:
    """A version that answers.

    Args:
        config: The pipeline.
        named: The version.
        folder: Its files on this machine.

    Raises:
        RefusedModelError: it does not load, or its stored sample is not answered as recorded.
    """

    def __init__(self, config: PipelineConfig, named: AliasedVersion, folder: Path) -> None:
        try:
            self.ref = ModelRef.model_validate_json(named.ref)
            self.model = models.load(folder / models.MODEL_FILE, config.training.trusted_types)
            difference = models.probe_difference(self.model, folder)
        except (PerennialError, ValidationError) as error:
            raise RefusedModelError(str(error)) from None
        except Exception as error:  # a model is anything: whatever it throws, the old one goes on
            raise RefusedModelError(f"{type(error).__name__}: {error}") from error
        if difference:
            raise RefusedModelError(difference)
        self.pipeline, self.version = config.name, named.version
        zone, rules = config.contract.timezone, config.serving
        # As it was fitted, and as MLflow's signature has them: a record's own order was not kept.
        self.order = tuple(str(name) for name in getattr(self.model, "feature_names_in_", self.ref.feature_columns))
        self.fields = tuple(Field(name, self.ref.columns[name], rules, zone) for name in self.order)
        self._types = {name: ARROW_TYPES[column.type] for name, column in self.ref.columns.items()}
        self.input_columns = frozenset(self._types)

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> ModelOutput:
        """Predictions for typed columns, those of `fields`, as `perennial score` makes them.

        Raises:
            Exception: whatever the model throws; ValueError where an answer is no number.
        """
        arrays = {name: pa.array(columns[name], kind) for name, kind in self._types.items()}
        frame = feature_frame(pa.table(arrays), self.ref.feature_columns, self.ref.columns)
        began = time.perf_counter()
        predicted, probabilities = models.predict(self.model, frame)
        seconds = time.perf_counter() - began
        if predicted.dtype.kind == "f" and not np.isfinite(predicted).all():
            raise ValueError("the model gave no finite number")
        shares = {}
        if probabilities is not None:
            if not np.isfinite(probabilities).all():
                raise ValueError("the model gave no finite probability")
            shares = {str(name): probabilities[:, index].tolist() for index, name in enumerate(self.model.classes_)}
        return ModelOutput(predicted.tolist(), shares, seconds)


class ServedVersions(NamedTuple):
    """The versions that answer for a pipeline at one moment; a request keeps to those that it began with.

    Attributes:
        challenger: A version on its way to become champion.
        exposure: What of the traffic it is shown.
        fields: The columns that callers send: those that the champion takes.
        more: Columns that only the challenger takes, and those of the key; a caller need not send them.
    """

    config: PipelineConfig
    champion: LoadedModel
    challenger: LoadedModel | None
    exposure: Exposure | None
    fields: tuple[Field, ...]
    optional_fields: tuple[Field, ...]


def served_versions(
    config: PipelineConfig, champion: LoadedModel, challenger: LoadedModel | None, exposure: Exposure | None
) -> ServedVersions:
    """Versions put together."""
    taken = set(champion.input_columns)
    more: list[Field] = []
    others = [] if challenger is None else list(challenger.fields)
    keys = (
        Field(name, config.contract.columns[name], config.serving, config.contract.timezone)
        for name in config.contract.key
    )
    for field in [*keys, *others]:
        if field.name not in taken:
            taken.add(field.name)
            more.append(field)
    return ServedVersions(config, champion, challenger, exposure, champion.fields, tuple(more))
