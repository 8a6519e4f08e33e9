"""The prediction log as the service uses it."""

from __future__ import annotations

from collections.abc import Mapping

from configs.schema import PipelineConfig
from serving.log.answer import Answer, InputCounts, Meters, Role, Why
from serving.log.settings import LogSettings
from tasks.stores.settings import Settings

__all__ = ["Answer", "InputCounts", "LogSettings", "Meters", "PredictionLog", "Role", "Why"]


class PredictionLog:
    """Answers on their way to the lake's table `served`: in memory, in files below `settings.folder`, shipped.

    Threads of its own write and ship. One log a process; made after a fork, never before one.

    Args:
        settings: Bounds and rhythms.
        places: Where the lake is.
        configs: The pipelines by name. It may change while the log works; answers of others are refused.
        meters: Told of what happens.
    """

    def __init__(
        self, settings: LogSettings, places: Settings, configs: Mapping[str, PipelineConfig], meters: Meters
    ) -> None:
        raise NotImplementedError

    def put(self, answer: Answer) -> bool:
        """Take an answer; to be called before it is sent, from any thread. Whether it will be kept, sampling aside.

        Takes microseconds. Where `lose_rows` would be passed, it first writes what waits to the disk, itself: heed
        `full`. It never raises for the disk's sake: what can't be kept is dropped and counted.

        Raises:
            KeyError: no such pipeline.
        """
        raise NotImplementedError

    @property
    def pending(self) -> int:
        """Rows in memory that are not on disk yet; never more than `lose_rows`."""
        raise NotImplementedError

    @property
    def full(self) -> bool:
        """Whether three quarters of `lose_rows` wait: hold the next request back for a moment."""
        raise NotImplementedError

    def hurry(self, pipelines: set[str]) -> None:
        """These are in a rollout, no others: ship theirs every `hurry_seconds`."""
        raise NotImplementedError

    def close(self) -> None:
        """Write all to disk, ship what can be within `close_seconds`, end the threads. Then nothing may be put."""
        raise NotImplementedError
