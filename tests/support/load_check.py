"""Gate S01's question, answered in this process instead of a clean one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import PerennialError
from tasks.evaluation.probe import CleanProcess, clean_process


class LoadCheck(CleanProcess):
    """Loads the stored model and answers its sample as the clean process does, without a new interpreter."""

    def start(self) -> None:
        """Nothing is to be started."""

    def difference(self, folder: str, trusted: Sequence[str]) -> str:
        """What differed, empty if nothing."""
        from tasks.stores.registry import models

        try:
            return models.verify_probe(Path(folder), trusted)
        except PerennialError as error:
            return str(error)


@contextmanager
def load_check_here(kind: type[CleanProcess] = LoadCheck) -> Iterator[CleanProcess]:
    """In the place of `tasks.evaluation.probe.clean_process`."""
    with clean_process(kind) as process:
        yield process
