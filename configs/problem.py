"""A mistake in a pipeline's configuration: where it is, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from configs.schema import PipelineConfig

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """One mistake: where, what was found, what is allowed."""

    path: Path
    found: str
    allowed: str


def unknown_column(config: PipelineConfig, path: Path, name: str) -> Iterator[Problem]:
    """The mistake of naming a column that the contract does not have, if it is one."""
    if name not in config.contract.columns:
        yield Problem(path, repr(name), "a column of contract.columns: " + ", ".join(config.contract.columns))
