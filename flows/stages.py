"""The stages of a training: each is taken from its manifest where nothing that it depends on changed, or run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import JsonValue

from configs.schema import PipelineConfig
from flows.progress import Stage, say, stage
from tasks.errors import UsageError
from tasks.records.base import StoredRecord
from tasks.records.provenance import Manifest, StageDependencies
from tasks.records.stages import STAGES, StageName, StartFrom, TrainingStage
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.settings import Settings
from tasks.stores.state.manifests import Manifests
from tasks.stores.usage import Meter

Output = TypeVar("Output", bound=StoredRecord)
_TASKS: dict[TrainingStage, str] = {"features": "training-set", "training": "fit", "evaluation": "evaluate"}


@task(name="reuse", cache_policy=NO_CACHE)
def _reuse(why: str) -> State[None]:
    """Show in the UI that a stage was taken as it was."""
    return Completed(name="Cached", message=why)


class Steps:
    """The stages of one training.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        moment: The run's clock.
        start_from: Stages before it are not looked at: what they gave last is taken.
        force: Stages that run though nothing changed.
    """

    def __init__(
        self,
        config: PipelineConfig,
        settings: Settings,
        moment: datetime,
        start_from: StartFrom = "features",
        force: tuple[TrainingStage, ...] = (),
    ) -> None:
        self.config, self.moment, self.start_from, self.force = config, moment, start_from, force
        self.manifests = Manifests(settings, config.name)

    def show(self, step: TrainingStage) -> AbstractContextManager[Stage]:
        """Tell of a stage while it runs."""
        return stage(step)

    def skips(self, step: StageName) -> bool:
        """Whether a stage comes before the one that the run starts from."""
        return self.start_from in STAGES and STAGES.index(step) < STAGES.index(self.start_from)

    def take_last(
        self, step: TrainingStage, kind: type[Output], lacks: Callable[[Output], str], running: Stage
    ) -> tuple[Output, StageDependencies]:
        """What a stage gave last, and what it depended on then, whatever changed since.

        Args:
            step: The stage.
            kind: What it gives.
            lacks: What is missing of what it gave; empty where all is there.
            running: Is marked as reused.

        Raises:
            UsageError: there is nothing to take.
        """
        found = self.manifests.newest(step)
        missing = "it never ran"
        if found is not None:
            output = self.manifests.output(found, kind)
            missing = lacks(output)
            if not missing:
                self._reused(step, f"{_as_of(found)}, not looked at", running)
                return output, found.parts
        raise UsageError(
            f"{self.config.name} can't start from {self.start_from}: there is no result of {step} to take ({missing}). "
            f"Start from {step}."
        )

    def take(
        self,
        step: TrainingStage,
        parts: StageDependencies,
        kind: type[Output],
        lacks: Callable[[Output], str],
        make: Callable[[], Output],
        work: StageData,
        running: Stage,
        facts: dict[str, JsonValue] | None = None,
    ) -> Output:
        """What a stage gave when it last ran on just the same, if that is still there; else it runs.

        Args:
            step: The stage.
            parts: What it depends on.
            kind: What it gives.
            lacks: What is missing of what it gave; empty where all is there.
            make: Runs it.
            work: What it is given, for its OpenLineage events.
            running: Is marked as reused.
            facts: What a person wants to know of its inputs.
        """
        found = None if step in self.force else self.manifests.find(step, parts.fingerprint)
        if found is not None:
            output = self.manifests.output(found, kind)
            missing = lacks(output)
            if not missing:
                self._reused(step, f"{_as_of(found)}, nothing changed", running)
                return output
            say(f"{step} runs again: {missing}")
        meter = Meter()
        with emit_stage(self.config, step, work, at=self.moment) as stage_run:
            output = make()
            keep(self.manifests, step, parts, output, meter, self.moment, facts)
            stage_run.add_output(output)
        return output

    def _reused(self, step: TrainingStage, why: str, running: Stage) -> None:
        running.reused = True
        _reuse.with_options(name=_TASKS[step], task_run_name=_TASKS[step])(why)


def _as_of(manifest: Manifest) -> str:
    return f"as of {manifest.at:%Y-%m-%d %H:%M} UTC"


def keep(
    manifests: Manifests,
    step: StageName,
    parts: StageDependencies,
    output: StoredRecord | dict[str, Any],
    meter: Meter,
    moment: datetime,
    facts: dict[str, JsonValue] | None = None,
) -> None:
    """Keep the manifest of a stage that ended well."""
    given = output.document() if isinstance(output, StoredRecord) else output
    manifests.put(
        Manifest(
            pipeline=manifests.pipeline,
            stage=step,
            fingerprint=parts.fingerprint,
            parts=parts,
            output=given,
            facts=facts or {},
            run=str(flow_run.id or ""),
            at=moment,
            cost=meter.cost(),
        )
    )
