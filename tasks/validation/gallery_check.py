"""Check of the configured expectations against Great Expectations' classes, with a cached result.

Importing Great Expectations takes three seconds. The problems found are cached under a digest of what they depend on.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path as File

from pydantic import JsonValue

from configs.base import ColumnType
from configs.contract import Expectation
from configs.load import mistake
from configs.problem import Path, Problem
from configs.schema import PipelineConfig
from tasks.records.base import digest
from tasks.stores.environment import ROOT
from tasks.stores.settings import Settings

_CODE = ("tasks/validation/expectations.py", "tasks/validation/gallery.py", "tasks/validation/gallery_check.py")


def check_expectations(config: PipelineConfig, settings: Settings) -> None:
    """Check that Great Expectations accepts every expectation, for columns of the contract's types.

    Raises:
        ConfigError: an unknown name, invalid arguments, or columns of an unsupported type.
    """
    if not config.expectations:
        return
    types = {name: column.type for name, column in config.observation_columns.items()}
    cache_file = settings.state / "checked" / f"{_fingerprint(config, types)}.json"
    if cache_file.is_file():
        problems_found = [
            Problem(tuple(path), *texts) for path, *texts in json.loads(cache_file.read_text(encoding="utf-8"))
        ]
    else:
        problems_found = list(problems(config.expectations, types))
        _write(cache_file, json.dumps(problems_found))
    if problems_found:
        raise mistake(config.name, problems_found)


def problems(expectations: tuple[Expectation, ...], types: Mapping[str, ColumnType]) -> Iterator[Problem]:
    """Yield the problems in expectations, at most one each."""
    from tasks.validation import gallery
    from tasks.validation.expectations import invalid_expectations

    for number, reason in invalid_expectations(expectations, types):
        expectation = expectations[number]
        yield _problem(number, expectation, reason, gallery.names(), gallery.arguments(expectation.type))


def _problem(
    number: int, expectation: Expectation, reason: str, names: tuple[str, ...], known: tuple[str, ...]
) -> Problem:
    path: Path = ("expectations", number)
    if expectation.type not in names:
        return Problem(
            (*path, "type"),
            f"{expectation.type!r}",
            f"a name that Great Expectations has{_suggestion(expectation.type, names)}",
        )
    unknown_argument = next((name for name in expectation.arguments if name not in known), None)
    if unknown_argument is not None:
        allowed = f"the arguments of {expectation.type}: {', '.join(known)}{_suggestion(unknown_argument, known)}"
        return Problem((*path, "arguments", unknown_argument), "an unknown argument", allowed)
    _, rejects, detail = reason.partition("rejects its arguments: ")
    if rejects:
        found = f"arguments that Great Expectations rejects: {re.sub(r' *[(]type=[^)]*[)]', '', detail)}"
        return Problem((*path, "arguments"), found, f"the arguments of {expectation.type}: {', '.join(known)}")
    return Problem(path, reason, "an expectation that fits the columns' types, on pandas; see docs/expectations.md")


def _suggestion(word: str, words: tuple[str, ...]) -> str:
    matches = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def _fingerprint(config: PipelineConfig, types: Mapping[str, ColumnType]) -> str:
    code = [hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in _CODE]
    expectations: list[JsonValue] = [expectation.model_dump(mode="json") for expectation in config.expectations]
    return digest([expectations, dict(types), version("great-expectations"), version("pandas"), *code])


def _write(path: File, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
