"""How much each change between two versions did: rebuilt with one change at a time, on the same held-out rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from configs.schema import PipelineConfig
from perennial.reporting.changes import variants
from perennial.reporting.changes.candidates import EvaluatedVersion
from perennial.reporting.changes.describe import code_lines, data_line
from perennial.reporting.changes.rebuild import (
    RebuiltModel,
    VersionData,
    VersionSetup,
    rebuild,
    recorded_version,
    registered_predictions,
    training_set,
    version_data,
)
from perennial.reporting.changes.records import Attribution, ChangeEffect, VersionChange
from tasks.errors import DataRejectedError, PerennialError, UsageError
from tasks.evaluation.evaluate import compare_models
from tasks.evaluation.gates.base import Holdout
from tasks.evaluation.holdout import build_holdout
from tasks.progress import say, timed
from tasks.records.base import digest
from tasks.records.decision import Interval
from tasks.statistics.metrics import ModelPredictions, metric_value
from tasks.stores.lake.schemas import ROW_ID
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings

_DECIDES = {"contract", "features", "split", "training", "seed", "task"}
_Rows = npt.NDArray[np.int64]


def attribute(
    config: PipelineConfig, settings: Settings, before: EvaluatedVersion, now: EvaluatedVersion, change: VersionChange
) -> Attribution:
    """Rebuild both versions and all between that have one change, and compare them on rows that none was trained on.

    Args:
        config: The pipeline as it is now: says where the data are.
        settings: Where its stores are.
        before: The older version.
        now: The newer one.
        change: What differs between them.

    Raises:
        UsageError: one of them can't be rebuilt, or their tasks differ.
        PerennialError: too few rows are left to compare on.
    """
    tracking = Tracking(settings, config.name)
    old, new = (recorded_version(one, tracking.with_local_files(one.candidate.model)) for one in (before, now))
    _check_comparable(old, new)
    lake, configs = Lake(settings, config), (old.config, new.config)
    return _Attributor(old, new, version_data(lake, old, configs), version_data(lake, new, configs)).attribute(
        before, now, change
    )


def _check_comparable(old: VersionSetup, new: VersionSetup) -> None:
    if old.config.task != new.config.task:
        raise UsageError(f"a {old.config.task} and a {new.config.task} have no metric in common: nothing to attribute.")
    if (old.config.labels is None) != (new.config.labels is None):
        raise UsageError("labels came in another way to the one than to the other: changes can't be tried one by one.")


class _Attributor:
    """Two versions, and what lies between them."""

    def __init__(self, old: VersionSetup, new: VersionSetup, old_data: VersionData, new_data: VersionData) -> None:
        self.old, self.new, self.old_data, self.new_data = old, new, old_data, new_data
        self.start = variants.base_config(old.config, new.config)
        self.rows = training_set(new.config, new_data).holdout
        self.built: dict[str, RebuiltModel] = {}
        self.known: dict[str, RebuiltModel] = {}

    def attribute(self, before: EvaluatedVersion, now: EvaluatedVersion, change: VersionChange) -> Attribution:
        """Build all, then compare all on the rows that are left."""
        base = self._build("the older version", self.start, self.old_data, self.old.threads)
        whole = self._build("the newer version", self.new.config, self.new_data, self.new.threads)
        tried = [*self._data_change(change), *self._config_changes()]
        among, rows = self._unseen()
        metric = self.new.config.evaluation.primary
        parts = tuple(self._change_effect(one, problem, base, among, rows) for one, problem in tried)
        every = self._effect(whole.predictions, base.predictions, among, rows)
        if every is None:
            least = self.new.config.evaluation.comparison.min_rows
            raise PerennialError(
                f"only {len(rows)} held-out rows of {now.name} are left that no rebuilt model was trained on, and "
                f"evaluation.comparison.min_rows asks for {least}: nothing can be said of the changes."
            )
        total = sum(one.effect.estimate for one in parts if one.effect is not None)
        return Attribution(
            pipeline=self.new.config.name,
            before=before.version,
            version=now.version,
            metric=metric,
            rows=len(rows),
            before_value=metric_value(metric, among.truth[rows], base.predictions.take(rows)),
            value=metric_value(metric, among.truth[rows], whole.predictions.take(rows)),
            parts=parts,
            whole=every,
            sum=total,
            left=every.estimate - total,
            code=tuple(code_lines(change)),
            notes=tuple(self._notes(base, whole, before, now)),
        )

    def _build(self, name: str, config: PipelineConfig, data: VersionData, threads: int) -> RebuiltModel:
        """A model of a configuration and data, built once: a single change is the whole already."""
        key = digest([config.model_dump(mode="json", include=_DECIDES), data is self.new_data, threads])
        with timed(f"rebuild {name}") as running:
            if key not in self.known:
                self.known[key] = rebuild(config, data, self.rows, threads)
            running.note = f"{len(self.known[key].trained_on)} training rows"
        self.built[name] = self.known[key]
        return self.built[name]

    def _data_change(self, change: VersionChange) -> Iterator[tuple[variants.ConfigChange, str]]:
        """The newer data, with the older configuration."""
        if self.old.model.dataset_digest == self.new.model.dataset_digest:
            return
        description = (data_line(change.data),)
        step = variants.ConfigChange("data", description, ())
        yield step, self._build_problem(step, self.start, self.new_data)

    def _config_changes(self) -> Iterator[tuple[variants.ConfigChange, str]]:
        """Each change of the configuration with the older data; those that fail alone, together."""
        alone = variants.config_changes(self.old.config, self.new.config)
        failed = []
        for step in alone:
            problem = self._config_problem(step)
            if problem:
                say(f"{step.name} can't be tried alone: {problem}")
                failed.append((step, problem))
            else:
                yield step, ""
        if len(failed) > 1:
            group = variants.combined([step for step, _ in failed])
            yield group, self._config_problem(group)
        else:
            yield from failed

    def _config_problem(self, step: variants.ConfigChange) -> str:
        try:
            config = variants.apply_change(self.start, self.new.config, step)
        except ValueError as error:
            return str(error)
        return self._build_problem(step, config, self.old_data)

    def _build_problem(self, step: variants.ConfigChange, config: PipelineConfig, data: VersionData) -> str:
        """Why it can't be built; empty where it was."""
        try:
            self._build(step.name, config, data, self.old.threads)
        except (UsageError, DataRejectedError) as error:
            return str(error)
        return ""

    def _unseen(self) -> tuple[Holdout, _Rows]:
        """The newer version's held-out rows, and which of them no rebuilt model was trained on."""
        seen = np.concatenate([one.trained_on for one in self.built.values()])
        ids = self.rows.column(ROW_ID).to_numpy()
        return build_holdout(self.new.config, self.rows, None), np.flatnonzero(~np.isin(ids, seen))

    def _change_effect(
        self,
        step: variants.ConfigChange,
        problem: str,
        base: RebuiltModel,
        among: Holdout,
        rows: _Rows,
    ) -> ChangeEffect:
        built = self.built.get(step.name)
        effect = None if built is None else self._effect(built.predictions, base.predictions, among, rows)
        return ChangeEffect(name=step.name, description=step.description, effect=effect, problem=problem)

    def _effect(self, one: ModelPredictions, other: ModelPredictions, among: Holdout, rows: _Rows) -> Interval | None:
        metric = self.new.config.evaluation.primary
        return compare_models(self.new.config, among, one, other, rows).get(metric)

    def _notes(
        self, base: RebuiltModel, whole: RebuiltModel, before: EvaluatedVersion, now: EvaluatedVersion
    ) -> Iterator[str]:
        """Whether what was rebuilt answers as what was registered."""
        for evaluated, one, built in ((before, self.old, base), (now, self.new, whole)):
            registered = registered_predictions(one, self.rows).point
            other = int(np.sum(registered != built.predictions.point))
            message = "predicts every row exactly as the registered model"
            if other:
                message = f"differs from the registered model in {other} of {len(registered)} rows"
            yield f"{evaluated.name}, rebuilt with the current code and packages, {message}"
