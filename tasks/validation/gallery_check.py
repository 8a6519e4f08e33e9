"""Expectations are checked against Great Expectations' own classes before anything uses them; the answer is kept.

Great Expectations takes three seconds to import. So the mistakes found, or that there are none, are remembered by what
they depend on, and the next command is told at once.
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

_JUDGES = ("tasks/validation/expectations.py", "tasks/validation/gallery.py", "tasks/validation/gallery_check.py")


def check_expectations(config: PipelineConfig, settings: Settings) -> None:
    """Look whether Great Expectations takes every expectation, for columns of the contract's types.

    Raises:
        ConfigError: a name it does not have, arguments it refuses, or columns of a type that it can't ask about.
    """
    if not config.expectations:
        return
    types = {name: column.type for name, column in config.observation_columns.items()}
    stamp = settings.state / "checked" / f"{_fingerprint(config, types)}.json"
    if stamp.is_file():
        found = [Problem(tuple(path), *texts) for path, *texts in json.loads(stamp.read_text(encoding="utf-8"))]
    else:
        found = list(problems(config.expectations, types))
        _write(stamp, json.dumps(found))
    if found:
        raise mistake(config.name, found)


def problems(expectations: tuple[Expectation, ...], types: Mapping[str, ColumnType]) -> Iterator[Problem]:
    """The mistakes in expectations, at most one each."""
    from tasks.validation import gallery
    from tasks.validation.expectations import misfits

    for number, reason in misfits(expectations, types):
        one = expectations[number]
        yield _problem(number, one, reason, gallery.names(), gallery.arguments(one.type))


def _problem(number: int, one: Expectation, reason: str, names: tuple[str, ...], known: tuple[str, ...]) -> Problem:
    path: Path = ("expectations", number)
    if one.type not in names:
        return Problem((*path, "type"), f"{one.type!r}", f"a name that Great Expectations has{_near(one.type, names)}")
    strange = next((name for name in one.arguments if name not in known), None)
    if strange is not None:
        allowed = f"the arguments of {one.type}: {', '.join(known)}{_near(strange, known)}"
        return Problem((*path, "arguments", strange), "an unknown argument", allowed)
    _, refuses, what = reason.partition("refuses its arguments: ")
    if refuses:
        found = f"arguments that Great Expectations refuses: {re.sub(r' *[(]type=[^)]*[)]', '', what)}"
        return Problem((*path, "arguments"), found, f"the arguments of {one.type}: {', '.join(known)}")
    return Problem(path, reason, "an expectation that fits the columns' types, on pandas; see docs/expectations.md")


def _near(word: str, words: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _fingerprint(config: PipelineConfig, types: Mapping[str, ColumnType]) -> str:
    code = [hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in _JUDGES]
    asked: list[JsonValue] = [one.model_dump(mode="json") for one in config.expectations]
    return digest([asked, dict(types), version("great-expectations"), version("pandas"), *code])


def _write(path: File, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
