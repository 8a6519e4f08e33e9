"""What every stage is given beside its inputs, and how stages are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar

from configs.schema import PipelineConfig
from tasks.progress import say
from tasks.stores.locks.lock import HeldLock, hold
from tasks.stores.settings import Settings

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output")


@dataclass(frozen=True)
class StageContext:
    """The pipeline, the clock and the person that a run has: a stage takes them from here, never from its process.

    Attributes:
        config: The pipeline.
        settings: Where its stores are.
        now: The run's clock.
        actor: Who runs it.
        flow_run: Id of the flow run in Prefect; empty outside of one.
    """

    config: PipelineConfig
    settings: Settings
    now: datetime
    actor: str
    flow_run: str = ""

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.config.name


class Execute(Protocol):
    """Calls a stage: a flow passes one that runs Prefect's task or sub-flow of it, tests and replays `direct`."""

    def __call__(
        self,
        stage: Callable[Concatenate[StageContext, Inputs], Output],
        context: StageContext,
        /,
        *args: Inputs.args,
        **options: Inputs.kwargs,
    ) -> Output:
        """What the stage returns."""


def direct(
    stage: Callable[Concatenate[StageContext, Inputs], Output],
    context: StageContext,
    /,
    *args: Inputs.args,
    **options: Inputs.kwargs,
) -> Output:
    """Call a stage in this process, without Prefect."""
    return stage(context, *args, **options)


@contextmanager
def writing(settings: Settings, pipeline: str, what: Literal["data", "model", "alias"]) -> Iterator[HeldLock]:
    """Be the one writer of a pipeline's data, or of its model, or the one who moves its aliases, for a block.

    Data and model are held for as long as a stage works. The aliases only while they are moved, and last: a rollback
    must not wait for a training.

    Raises:
        LockTimeoutError: another holds it for longer than `settings.lock_timeout`.
        LockLostError: at the end of the block: the lock was lost in it.
    """
    with hold(settings, f"{pipeline}.{what}", say) as held:
        yield held
