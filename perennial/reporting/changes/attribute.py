"""How much each change between two versions did: rebuilt with one change at a time, on the same held-out rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from configs.schema import PipelineConfig
from flows.progress import say, timed
from perennial.reporting.changes import variants
from perennial.reporting.changes.candidates import Made
from perennial.reporting.changes.describe import code_lines, data_line
from perennial.reporting.changes.rebuild import (
    Data,
    Rebuilt,
    Recorded,
    data,
    rebuild,
    recorded,
    registered,
    training_set,
)
from perennial.reporting.changes.records import Attribution, Change, Part
from tasks.errors import DataRejectedError, PerennialError, UsageError
from tasks.evaluation.evaluate import Holdout, compare_models
from tasks.evaluation.holdout import build_holdout
from tasks.records.base import digest
from tasks.records.decision import Interval
from tasks.statistics.metrics import ModelPredictions, metric_value
from tasks.stores.lake.schemas import ROW_ID
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings

_DECIDES = {"contract", "features", "split", "training", "seed", "task"}
_Rows = npt.NDArray[np.int64]


def attribute(config: PipelineConfig, settings: Settings, before: Made, now: Made, change: Change) -> Attribution:
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
    old, new = (recorded(one, tracking.with_local_files(one.candidate.model)) for one in (before, now))
    _refuse_other_kinds(old, new)
    lake, configs = Lake(settings, config), (old.config, new.config)
    return _Attribution(old, new, data(lake, old, configs), data(lake, new, configs)).told(before, now, change)


def _refuse_other_kinds(old: Recorded, new: Recorded) -> None:
    if old.config.task != new.config.task:
        raise UsageError(f"a {old.config.task} and a {new.config.task} have no metric in common: nothing to attribute.")
    if (old.config.labels is None) != (new.config.labels is None):
        raise UsageError("labels came in another way to the one than to the other: changes can't be tried one by one.")


class _Attribution:
    """Two versions, and what lies between them."""

    def __init__(self, old: Recorded, new: Recorded, old_data: Data, new_data: Data) -> None:
        self.old, self.new, self.old_data, self.new_data = old, new, old_data, new_data
        self.start = variants.start(old.config, new.config)
        self.rows = training_set(new.config, new_data).holdout
        self.built: dict[str, Rebuilt] = {}
        self.known: dict[str, Rebuilt] = {}

    def told(self, before: Made, now: Made, change: Change) -> Attribution:
        """Build all, then compare all on the rows that are left."""
        base = self._build("the older version", self.start, self.old_data, self.old.threads)
        whole = self._build("the newer version", self.new.config, self.new_data, self.new.threads)
        tried = [*self._data(change), *self._steps()]
        among, rows = self._unseen()
        metric = self.new.config.evaluation.primary
        parts = tuple(self._part(one, problem, base, among, rows) for one, problem in tried)
        every = self._effect(whole.answers, base.answers, among, rows)
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
            before_value=metric_value(metric, among.truth[rows], base.answers.take(rows)),
            value=metric_value(metric, among.truth[rows], whole.answers.take(rows)),
            parts=parts,
            whole=every,
            sum=total,
            left=every.estimate - total,
            code=tuple(code_lines(change)),
            notes=tuple(self._same(base, whole, before, now)),
        )

    def _build(self, name: str, config: PipelineConfig, found: Data, threads: int) -> Rebuilt:
        """A model of a configuration and data, built once: a single change is the whole already."""
        key = digest([config.model_dump(mode="json", include=_DECIDES), found is self.new_data, threads])
        with timed(f"rebuild {name}") as running:
            if key not in self.known:
                self.known[key] = rebuild(config, found, self.rows, threads)
            running.note = f"{len(self.known[key].trained_on)} training rows"
        self.built[name] = self.known[key]
        return self.built[name]

    def _data(self, change: Change) -> Iterator[tuple[variants.Step, str]]:
        """The newer data, with the older configuration."""
        if self.old.model.dataset_digest == self.new.model.dataset_digest:
            return
        told = (data_line(change.data),)
        step = variants.Step("data", told, ())
        yield step, self._try(step, self.start, self.new_data)

    def _steps(self) -> Iterator[tuple[variants.Step, str]]:
        """Each change of the configuration with the older data; those that fail alone, together."""
        alone = variants.steps(self.old.config, self.new.config)
        failed = []
        for step in alone:
            problem = self._try_step(step)
            if problem:
                say(f"{step.name} can't be tried alone: {problem}")
                failed.append((step, problem))
            else:
                yield step, ""
        if len(failed) > 1:
            group = variants.together([step for step, _ in failed])
            yield group, self._try_step(group)
        else:
            yield from failed

    def _try_step(self, step: variants.Step) -> str:
        try:
            config = variants.changed(self.start, self.new.config, step)
        except ValueError as error:
            return str(error)
        return self._try(step, config, self.old_data)

    def _try(self, step: variants.Step, config: PipelineConfig, found: Data) -> str:
        """Why it can't be built; empty where it was."""
        try:
            self._build(step.name, config, found, self.old.threads)
        except (UsageError, DataRejectedError) as error:
            return str(error)
        return ""

    def _unseen(self) -> tuple[Holdout, _Rows]:
        """The newer version's held-out rows, and which of them no rebuilt model was trained on."""
        seen = np.concatenate([one.trained_on for one in self.built.values()])
        ids = self.rows.column(ROW_ID).to_numpy()
        return build_holdout(self.new.config, self.rows, None), np.flatnonzero(~np.isin(ids, seen))

    def _part(
        self,
        step: variants.Step,
        problem: str,
        base: Rebuilt,
        among: Holdout,
        rows: _Rows,
    ) -> Part:
        built = self.built.get(step.name)
        effect = None if built is None else self._effect(built.answers, base.answers, among, rows)
        return Part(name=step.name, told=step.told, effect=effect, problem=problem)

    def _effect(self, one: ModelPredictions, other: ModelPredictions, among: Holdout, rows: _Rows) -> Interval | None:
        metric = self.new.config.evaluation.primary
        return compare_models(self.new.config, among, one, other, rows).get(metric)

    def _same(self, base: Rebuilt, whole: Rebuilt, before: Made, now: Made) -> Iterator[str]:
        """Whether what was rebuilt answers as what was registered."""
        for made, one, built in ((before, self.old, base), (now, self.new, whole)):
            was = registered(one, self.rows).point
            other = int(np.sum(was != built.answers.point))
            told = "answers every row exactly as the registered one"
            if other:
                told = f"answers {other} of {len(was)} rows otherwise than the registered one"
            yield f"{made.name}, rebuilt by the code and packages of now, {told}"
